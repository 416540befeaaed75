module penstock.example/bench

go 1.23

require (
	github.com/google/flatbuffers v25.12.19+incompatible
	google.golang.org/protobuf v1.36.12
	penstock.example/penstock v0.1.0
)

replace penstock.example/penstock => ../../../clients/go
