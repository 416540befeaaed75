// SPDX-License-Identifier: Apache-2.0

// What a client in Go does with tensors: a request to bytes, and an answer from bytes. Times as multiples of one copy of the same
// slice into memory that is in use already. Codec and copy alternate. No network, no server. Prints a JSON object for each codec.
// With -calls it makes whole calls to a server instead.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"runtime"
	"sort"
	"time"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"penstock.example/bench/tfs"
	"penstock.example/penstock"
)

var (
	requestShape = []int{128, 224, 224, 3}
	answerShape  = []int{128, 7, 7, 512}
)

// listRows: lists of numbers as text take seconds and gigabytes, so these codecs get a part of the rows, and are compared with
// that part of the time that a copy of all rows takes.
const listRows = 8

// codec: `encode` makes the bytes of an answer, and `written` reads the numbers of a request; these two are not measured.
type codec struct {
	name    string
	rows    int
	write   func(x []float32, shape []int) [][]byte
	encode  func(x []float32, shape []int) []byte
	read    func(message []byte) []float32
	written func(request []byte) []float32
}

func main() {
	rounds := flag.Int("rounds", 5, "alternations of codec and copy")
	server := flag.String("calls", "", "URL of a server whose identity model m is called")
	flag.Parse()
	output := json.NewEncoder(os.Stdout)
	if *server != "" {
		measureCalls(*server, *rounds, output)
		return
	}
	request, answer := numbers(requestShape), numbers(answerShape)
	for _, each := range codecs() {
		rows := requestShape[0]
		if each.rows != 0 {
			rows = each.rows
		}
		share := float64(rows) / float64(requestShape[0])
		x, xShape := part(request, requestShape, rows)
		y, yShape := part(answer, answerShape, rows)
		wantEqual(each.name, each.written(bytes.Join(each.write(x, xShape), nil)), x)
		message := each.encode(y, yShape)
		wantEqual(each.name, each.read(message), y)
		check(output.Encode(map[string]any{
			"codec": each.name,
			"write": againstCopy(func() { kept = each.write(x, xShape) }, request, share, *rounds),
			"read":  againstCopy(func() { kept = each.read(message) }, answer, share, *rounds),
		}))
	}
}

// kept holds a result, so that it is made.
var kept any

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func numbers(shape []int) []float32 {
	x := make([]float32, count(shape))
	state := uint32(1)
	for i := range x {
		state = state*1664525 + 1013904223
		x[i] = float32(state>>8) / (1 << 24)
	}
	return x
}

func count(shape []int) int {
	n := 1
	for _, size := range shape {
		n *= size
	}
	return n
}

func part(x []float32, shape []int, rows int) ([]float32, []int) {
	shape = append([]int{rows}, shape[1:]...)
	return x[:count(shape)], shape
}

func wantEqual(name string, got, want []float32) {
	for i := range want {
		if len(got) != len(want) || math.Abs(float64(got[i]-want[i])) > 1e-6 {
			log.Fatal(name, " gives other numbers")
		}
	}
}

// seconds of a call. What it made before is freed first.
func seconds(call func()) float64 {
	kept = nil
	runtime.GC()
	start := time.Now()
	call()
	return time.Since(start).Seconds()
}

// againstCopy: the median ratio to a share of a copy, and the median seconds of both.
func againstCopy(call func(), x []float32, share float64, rounds int) []float64 {
	target := append([]float32(nil), x...)
	var ratios, calls, copies []float64
	for i := 0; i < rounds; i++ {
		one := seconds(func() { copy(target, x) }) * share
		took := seconds(call)
		ratios, calls, copies = append(ratios, took/one), append(calls, took), append(copies, one)
	}
	return []float64{median(ratios), median(calls), median(copies)}
}

func median(values []float64) float64 {
	sort.Float64s(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

// bytesOf and floatsOf are the same memory as another type: what protobuf is given is not copied for it.
func bytesOf(x []float32) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x)) }

func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}

func codecs() []codec {
	ours := codec{
		name: "penstock",
		write: func(x []float32, shape []int) [][]byte {
			return must(penstock.Request{Inputs: []penstock.Tensor{penstock.NewTensor(x, shape...)}}.Buffers())
		},
		encode: flatbuffersAnswer,
		read: func(message []byte) []float32 {
			return must(penstock.Data[float32](must(penstock.DecodeAnswer(message))[0]))
		},
		written: flatbuffersWritten,
	}
	joined := ours
	joined.name = "penstock, the buffers joined, the output copied"
	joined.write = func(x []float32, shape []int) [][]byte { return [][]byte{bytes.Join(ours.write(x, shape), nil)} }
	joined.read = func(message []byte) []float32 { return append([]float32(nil), ours.read(message)...) }
	return []codec{
		ours, joined,
		{"flatbuffers' builder and reader", 0, flatbuffersRequest, flatbuffersAnswer, flatbuffersRead, flatbuffersWritten},
		{
			name: "protobuf, tensor_content",
			write: func(x []float32, shape []int) [][]byte {
				return predictRequest(&tfs.TensorProto{Dtype: 1, TensorShape: shapeOf(shape), TensorContent: bytesOf(x)})
			},
			encode: func(x []float32, shape []int) []byte {
				return predictAnswer(&tfs.TensorProto{Dtype: 1, TensorShape: shapeOf(shape), TensorContent: bytesOf(x)})
			},
			read:    func(message []byte) []float32 { return floatsOf(answered(message).TensorContent) },
			written: func(message []byte) []float32 { return floatsOf(requested(message).TensorContent) },
		},
		{
			name: "protobuf, float_val",
			write: func(x []float32, shape []int) [][]byte {
				return predictRequest(&tfs.TensorProto{Dtype: 1, TensorShape: shapeOf(shape), FloatVal: x})
			},
			encode: func(x []float32, shape []int) []byte {
				return predictAnswer(&tfs.TensorProto{Dtype: 1, TensorShape: shapeOf(shape), FloatVal: x})
			},
			read:    func(message []byte) []float32 { return answered(message).FloatVal },
			written: func(message []byte) []float32 { return requested(message).FloatVal },
		},
		{
			name: "JSON, encoding/json",
			rows: listRows,
			write: func(x []float32, shape []int) [][]byte {
				return [][]byte{must(json.Marshal(map[string]any{"inputs": nested(x, shape)}))}
			},
			encode: func(x []float32, shape []int) []byte {
				return must(json.Marshal(map[string]any{"outputs": nested(x, shape)}))
			},
			read: func(message []byte) []float32 {
				var answer struct{ Outputs [][][][]float32 }
				check(json.Unmarshal(message, &answer))
				return flat(answer.Outputs)
			},
			written: func(message []byte) []float32 {
				var request struct{ Inputs [][][][]float32 }
				check(json.Unmarshal(message, &request))
				return flat(request.Inputs)
			},
		},
	}
}

func shapeOf(shape []int) *tfs.TensorShapeProto {
	result := &tfs.TensorShapeProto{}
	for _, size := range shape {
		result.Dim = append(result.Dim, &tfs.TensorShapeProto_Dim{Size: int64(size)})
	}
	return result
}

func predictRequest(tensor *tfs.TensorProto) [][]byte {
	return [][]byte{must(proto.Marshal(&tfs.PredictRequest{Inputs: map[string]*tfs.TensorProto{"x": tensor}}))}
}

func predictAnswer(tensor *tfs.TensorProto) []byte {
	return must(proto.Marshal(&tfs.PredictResponse{Outputs: map[string]*tfs.TensorProto{"y": tensor}}))
}

func requested(message []byte) *tfs.TensorProto {
	var request tfs.PredictRequest
	check(proto.Unmarshal(message, &request))
	return request.Inputs["x"]
}

func answered(message []byte) *tfs.TensorProto {
	var answer tfs.PredictResponse
	check(proto.Unmarshal(message, &answer))
	return answer.Outputs["y"]
}

// nested is the lists of the REST API. Both tensors have 4 dimensions.
func nested(x []float32, shape []int) [][][][]float32 {
	result := make([][][][]float32, shape[0])
	for i := range result {
		result[i] = make([][][]float32, shape[1])
		for k := range result[i] {
			result[i][k] = make([][]float32, shape[2])
			for l := range result[i][k] {
				result[i][k][l], x = x[:shape[3]], x[shape[3]:]
			}
		}
	}
	return result
}

func flat(lists [][][][]float32) []float32 {
	result := make([]float32, 0, len(lists)*len(lists[0])*len(lists[0][0])*len(lists[0][0][0]))
	for _, i := range lists {
		for _, k := range i {
			for _, l := range k {
				result = append(result, l...)
			}
		}
	}
	return result
}

func init() {
	if one := uint16(1); *(*byte)(unsafe.Pointer(&one)) != 1 {
		fmt.Println("needs a little-endian machine")
		os.Exit(1)
	}
}
