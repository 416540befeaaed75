module penstock.example/penstock

go 1.19
