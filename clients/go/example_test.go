// SPDX-License-Identifier: Apache-2.0

package penstock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"penstock.example/penstock"
)

// One slice in, one slice out.
func ExampleInferOne() {
	client, err := penstock.NewClient("http://localhost:8501", nil)
	if err != nil {
		log.Fatal(err)
	}
	y, err := penstock.InferOne[float32](context.Background(), client.Model("half_plus_two"), []float32{1, 2, 5})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y) // [2.5 3 4.5]
}

// Named inputs, chosen outputs, a time for the call, and what can go wrong.
func ExampleModel_Do() {
	client, err := penstock.NewClient("https://host:8501", &penstock.Options{Token: "secret", CAFile: "ca.pem"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	outputs, err := client.Model("ranker").Label("stable").Do(ctx, penstock.Request{
		Inputs: []penstock.Tensor{
			penstock.NewTensor(make([]float32, 224*224*3), 1, 224, 224, 3).Named("image"),
			penstock.NewTensor([]string{"a cat"}).Named("text"),
		},
		Outputs: []string{"scores", "classes"},
	})
	var refused *penstock.ServerError
	switch {
	case errors.Is(err, penstock.ErrUnavailable):
		log.Fatal("later: ", err)
	case errors.As(err, &refused):
		log.Fatal("the server says: ", refused.Text)
	case err != nil:
		log.Fatal(err)
	}
	scores, err := penstock.Data[float32](outputs[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outputs[0].Shape(), scores[0])
}
