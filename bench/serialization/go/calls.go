// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"syscall"
	"time"

	"penstock.example/penstock"
)

// measureCalls makes whole calls to the identity model `m` of a server: with our client, and with net/http alone, which moves the
// same bytes. Prints for each the CPU time of this process and the time of a call, for each round.
func measureCalls(serverURL string, rounds int, output *json.Encoder) {
	model := must(penstock.NewClient(serverURL, nil)).Model("m")
	for _, each := range []struct {
		shape []int
		calls int
	}{{[]int{1}, 500}, {[]int{32, 224, 224, 3}, 6}} {
		x := numbers(each.shape)
		message := bytes.Join(must(penstock.Request{Inputs: []penstock.Tensor{penstock.NewTensor(x, each.shape...)}}.Buffers()), nil)
		ours := func() []float32 {
			return must(penstock.InferOne[float32](context.Background(), model, x, each.shape...))
		}
		bare := func() []float32 {
			answer := post(serverURL+"/graphpipe/m", message)
			return floatsOf(answer[len(answer)-4*len(x):])
		}
		wantEqual("our client", ours(), x)
		var oursTimes, bareTimes [][2]float64
		for i := 0; i < rounds; i++ {
			oursTimes = append(oursTimes, perCall(ours, each.calls))
			bareTimes = append(bareTimes, perCall(bare, each.calls))
		}
		check(output.Encode(map[string]any{"shape": each.shape, "ours": oursTimes, "bare": bareTimes}))
	}
}

func post(target string, message []byte) []byte {
	response := must(http.Post(target, "application/octet-stream", bytes.NewReader(message)))
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		log.Fatal(response.Status)
	}
	answer := make([]byte, response.ContentLength)
	must(io.ReadFull(response.Body, answer))
	return answer
}

// perCall is the CPU seconds of this process, and the seconds.
func perCall(call func() []float32, calls int) [2]float64 {
	cpu, start := cpuSeconds(), time.Now()
	for i := 0; i < calls; i++ {
		kept = call()
	}
	return [2]float64{(cpuSeconds() - cpu) / float64(calls), time.Since(start).Seconds() / float64(calls)}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
