// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"context"
	"errors"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
)

// The tests of this file need a running Penstock, with the models `half_plus_two` and `identity`. tests/e2e/test_client_go.py
// starts it and says by these variables where it is.
func realServer(t *testing.T, variable string) string {
	t.Helper()
	serverURL := os.Getenv(variable)
	if serverURL == "" {
		t.Skip(variable + " is not set: tests/e2e/test_client_go.py runs this")
	}
	return serverURL
}

func TestRealPathsAndNames(t *testing.T) {
	client := connect(t, realServer(t, "PENSTOCK_TEST_URL"), Options{})
	ctx := context.Background()
	in := []float32{1, 2, 5}
	for _, model := range []*Model{
		client.Model("half_plus_two"), client.Model("half_plus_two").Version(1),
		client.Model("half_plus_two").Signature("serving_default"),
		connect(t, realServer(t, "PENSTOCK_TEST_GRAPHPIPE_URL"), Options{}).DefaultModel(),
		connect(t, realServer(t, "PENSTOCK_TEST_SOCKET_URL"), Options{}).Model("half_plus_two"),
	} {
		if y, err := InferOne[float32](ctx, model, in); err != nil || !reflect.DeepEqual(y, []float32{2.5, 3, 4.5}) {
			t.Error(model.url, y, err)
		}
		named, err := model.DoNamed(ctx, Request{Inputs: []Tensor{NewTensor(in).Named("x")}})
		if err != nil || named["y"].Len() != 3 {
			t.Error(model.url, named, err)
		}
	}
	outputs, err := client.Model("identity").Do(ctx, Request{
		Inputs:  []Tensor{NewTensor(in).Named("a"), NewTensor([]int32{7}).Named("b")},
		Outputs: []string{"b", "a"}, Config: "{}"})
	if err != nil || outputs[0].Type() != Int32 || outputs[1].Len() != 3 {
		t.Error(outputs, err)
	}
}

func TestRealTypesAndShapes(t *testing.T) {
	client := connect(t, realServer(t, "PENSTOCK_TEST_URL"), Options{})
	sent := everyType()
	for kind := Uint8; kind < String; kind++ {
		data := make([]byte, 3500*kind.Size())
		rand.New(rand.NewSource(int64(kind))).Read(data)
		size := kind.Size()
		sent = append(sent, RawTensor(kind, data, 70, 50), RawTensor(kind, data[:24*size], 2, 3, 4), RawTensor(kind, data[:size]),
			RawTensor(kind, nil, 0, 3), RawTensor(kind, data[:5*size], 5))
	}
	sent = append(sent, NewTensor([]string{}), Scalar(""), NewTensor([]string{"abcd", "\x00"}, 1, 2))
	got, err := client.Model("identity").Infer(context.Background(), sent...)
	if err != nil || len(got) != len(sent) {
		t.Fatal(len(got), err)
	}
	for i := range sent {
		sameTensor(t, got[i], sent[i])
	}
}

func TestRealLargeTensorsAreViews(t *testing.T) {
	client := connect(t, realServer(t, "PENSTOCK_TEST_URL"), Options{})
	large := make([]float64, 8*224*224*3)
	for i := range large {
		large[i] = float64(i)
	}
	outputs, err := client.Model("identity").Infer(context.Background(), NewTensor(large, 8, 224, 224, 3), NewTensor(large[:999]))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range outputs {
		data, err := Data[float64](each)
		if err != nil || data[0] != 0 || !reflect.DeepEqual(data, large[:len(data)]) {
			t.Error(each, err)
		}
		if data[0] = 1; each.Bytes()[7] == 0 {
			t.Error("a copy: the answer is not aligned")
		}
	}
}

func TestRealMetadata(t *testing.T) {
	client := connect(t, realServer(t, "PENSTOCK_TEST_URL"), Options{})
	metadata, err := client.Model("half_plus_two").Metadata(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []IOMetadata{{Name: "x", Description: "of any rank", Shape: []int{-1}, Type: Float32}}
	if metadata.Name != "half_plus_two" || metadata.Server != "penstock" || !reflect.DeepEqual(metadata.Inputs, want) ||
		metadata.Outputs[0].Name != "y" {
		t.Errorf("%+v", metadata)
	}
}

func TestRealErrors(t *testing.T) {
	client := connect(t, realServer(t, "PENSTOCK_TEST_URL"), Options{})
	ctx := context.Background()
	input := NewTensor(x)
	for _, each := range []struct {
		model *Model
		input Tensor
		kind  error
		text  string
	}{
		{client.Model("half_plus_two"), input.Named("q"), ErrBadRequest, "the inputs are: x"},
		{client.Model("half_plus_two").Label("no"), input, ErrBadRequest, "label"},
		{client.Model("none"), input, ErrNotFound, "none"},
		{client.Model("half_plus_two").Version(7), input, ErrNotFound, "7"},
	} {
		_, err := each.model.Infer(ctx, each.input)
		wantError(t, err, each.kind, each.text)
		var refused *ServerError
		if !errors.As(err, &refused) || strings.HasSuffix(refused.Text, "\n") {
			t.Errorf("%q", refused.Text)
		}
	}
	if _, err := InferOne[float32](ctx, client.Model("half_plus_two"), x); err != nil {
		t.Error(err)
	}
}

func TestRealTLSAndTokens(t *testing.T) {
	serverURL := realServer(t, "PENSTOCK_TEST_TLS_URL")
	options := Options{Token: os.Getenv("PENSTOCK_TEST_TOKEN"), CAFile: os.Getenv("PENSTOCK_TEST_CA"),
		CertificateFile: os.Getenv("PENSTOCK_TEST_CERTIFICATE"), KeyFile: os.Getenv("PENSTOCK_TEST_KEY")}
	client := connect(t, serverURL, options)
	ctx := context.Background()
	for _, size := range []int{1, 1 << 20} {
		if y, err := InferOne[float32](ctx, client.Model("identity"), make([]float32, size)); err != nil || len(y) != size {
			t.Error(len(y), err)
		}
	}
	options.Token = "wrong"
	_, err := connect(t, serverURL, options).Model("identity").Infer(ctx, NewTensor(x))
	wantError(t, err, ErrUnauthorized, "")
	_, err = connect(t, serverURL, Options{}).Model("identity").Infer(ctx, NewTensor(x))
	wantError(t, err, ErrConnectionFailed, "certificate")
	options.CertificateFile, options.KeyFile = "", ""
	if _, err = connect(t, serverURL, options).Model("identity").Infer(ctx, NewTensor(x)); err == nil {
		t.Error("the server let a client without a certificate in")
	}
}
