// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var x = []float32{1}

// received is a request that a test server got.
type received struct {
	connection, path string
	header           http.Header
	body             []byte
}

// serve answers with `play`, which gets the number of the request, from 0.
func serve(t *testing.T, play func(w http.ResponseWriter, number int, body []byte)) (string, func() []received) {
	var mutex sync.Mutex
	var requests []received
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mutex.Lock()
		number := len(requests)
		requests = append(requests, received{r.RemoteAddr, r.URL.RequestURI(), r.Header, body})
		mutex.Unlock()
		play(w, number, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []received {
		mutex.Lock()
		defer mutex.Unlock()
		return requests
	}
}

// answer gives each request the same answer.
func answer(message []byte) func(http.ResponseWriter, int, []byte) {
	return func(w http.ResponseWriter, _ int, _ []byte) { send(w, message) }
}

func send(w http.ResponseWriter, message []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(message)))
	w.Write(message)
}

func refuse(w http.ResponseWriter, status int, text, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func connect(t *testing.T, serverURL string, options Options) *Client {
	t.Helper()
	if options.Retry.Delay == 0 {
		options.Retry.Delay = time.Millisecond
	}
	client, err := NewClient(serverURL, &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func inferOne(client *Client) ([]float32, error) {
	return InferOne[float32](context.Background(), client.Model("m"), x)
}

func wantOne(t *testing.T, client *Client) {
	t.Helper()
	if y, err := inferOne(client); err != nil || !reflect.DeepEqual(y, x) {
		t.Fatal(y, err)
	}
}

func wantError(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("%v is not %v with %q", err, kind, text)
	}
}

func one(t *testing.T) []byte { return makeAnswer(t, NewTensor(x)) }

func TestCallsShareAConnection(t *testing.T) {
	serverURL, requests := serve(t, answer(one(t)))
	client := connect(t, serverURL, Options{Token: "secret", Headers: http.Header{"x-request-id": {"mine"}}})
	model := client.Model("m").Version(2)
	for i := 0; i < 3; i++ {
		if y, err := InferOne[float32](context.Background(), model, x); err != nil || y[0] != 1 {
			t.Fatal(y, err)
		}
	}
	for _, each := range requests() {
		if each.connection != requests()[0].connection || each.path != "/graphpipe/m/versions/2" {
			t.Error(each.connection, each.path)
		}
		if each.header.Get("Authorization") != "Bearer secret" || each.header.Get("X-Request-Id") != "mine" {
			t.Error(each.header)
		}
		if each.header.Get("Accept-Encoding") != "" {
			t.Error("asks for a compressed answer")
		}
	}
}

func TestPaths(t *testing.T) {
	serverURL, requests := serve(t, answer(one(t)))
	client := connect(t, serverURL+"/proxy/", Options{})
	for _, each := range []struct {
		model *Model
		path  string
	}{
		{client.Model("a/b c"), "/proxy/graphpipe/a%2Fb%20c"},
		{client.DefaultModel(), "/proxy/"},
		{client.DefaultModel().Signature("s"), "/proxy/?signature_name=s"},
		{client.Model("m").Label("new est").Signature("s&t"), "/proxy/graphpipe/m/labels/new%20est?signature_name=s%26t"},
		{client.Model("m").Version(0), "/proxy/graphpipe/m/versions/0"},
	} {
		if _, err := InferOne[float32](context.Background(), each.model, x); err != nil {
			t.Error(err)
		}
		if got := requests()[len(requests())-1].path; got != each.path {
			t.Errorf("%s, not %s", got, each.path)
		}
	}
	for text, model := range map[string]*Model{
		"needs the name": client.DefaultModel().Version(1),
		"not empty":      client.Model(""),
		"not both":       client.Model("m").Version(1).Label("l"),
	} {
		_, err := model.Metadata(context.Background())
		wantError(t, err, ErrArgument, text)
	}
}

func TestLargeTensorsArriveWhole(t *testing.T) {
	large := make([]float32, 3*224*224*3)
	for i := range large {
		large[i] = float32(i)
	}
	serverURL, requests := serve(t, answer(makeAnswer(t, NewTensor(large, 3, 224, 224, 3), NewTensor(large[:10]))))
	outputs, err := connect(t, serverURL, Options{}).Model("m").Infer(context.Background(),
		NewTensor(large, 3, 224, 224, 3), NewTensor(x), NewTensor(large))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Data[float32](outputs[0])
	if err != nil || !reflect.DeepEqual(whole, large) || !reflect.DeepEqual(outputs[0].Shape(), []int{3, 224, 224, 3}) {
		t.Error(outputs[0], err)
	}
	if bytes.Count(requests()[0].body, NewTensor(large).Bytes()) != 2 {
		t.Error("the server got something else")
	}
}

// What net/http asks of a body by Read is copied. It is what fits into the buffer with the head.
func TestLargeRequestsAreSentFromTheirMemory(t *testing.T) {
	serverURL, _ := serve(t, answer(one(t)))
	buffers, err := Request{Inputs: []Tensor{NewTensor(make([]float32, 1<<20))}}.Buffers()
	if err != nil {
		t.Fatal(err)
	}
	sent := newBody(buffers)
	request, err := http.NewRequest(http.MethodPost, serverURL, sent)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = int64(len(bytes.Join(buffers, nil)))
	response, err := connect(t, serverURL, Options{}).http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	sent.wait(context.Background())
	if sent.readBytes > 1<<14 || len(sent.left) != 0 {
		t.Errorf("%d bytes were copied", sent.readBytes)
	}
}

// Two packets would wake the server up twice.
func TestSmallRequestsAreSentInOnePiece(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	good := ok(one(t))
	first := make(chan []byte, 1)
	go func() {
		conn, err := inner.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		part := make([]byte, 1<<16)
		n, _ := conn.Read(part)
		first <- part[:n]
		conn.Write(good)
	}()
	wantOne(t, connect(t, "http://"+inner.Addr().String(), Options{}))
	if piece := <-first; !bytes.HasSuffix(piece, []byte{0, 0, 0x80, 0x3f}) { // the 1 that is sent
		t.Errorf("the first piece is %q", piece)
	}
}

func TestAnswersInChunks(t *testing.T) {
	large := makeAnswer(t, NewTensor(make([]float64, 10000)))
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, _ []byte) {
		for at := 0; at < len(large); at += 30000 {
			end := at + 30000
			if end > len(large) {
				end = len(large)
			}
			w.Write(large[at:end])
			w.(http.Flusher).Flush()
		}
	})
	model := connect(t, serverURL, Options{}).Model("m")
	for i := 0; i < 2; i++ {
		if y, err := InferOne[float64](context.Background(), model, x); err != nil || len(y) != 10000 {
			t.Fatal(len(y), err)
		}
	}
	if requests()[0].connection != requests()[1].connection {
		t.Error("the connection was not kept")
	}
}

func TestBusyServersAreAskedAgain(t *testing.T) {
	busy := read(t, "busy.bin")
	serverURL, requests := serve(t, func(w http.ResponseWriter, number int, _ []byte) {
		switch number {
		case 0, 1:
			refuse(w, 503, "the queue is full\n", "0")
		case 2:
			send(w, busy)
		default:
			send(w, one(t))
		}
	})
	wantOne(t, connect(t, serverURL, Options{}))
	if len(requests()) != 4 || !bytes.Equal(requests()[0].body, requests()[3].body) {
		t.Error(len(requests()))
	}
}

func TestTriesAreLimited(t *testing.T) {
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, _ []byte) { refuse(w, 503, "the queue is full\n", "") })
	client := connect(t, serverURL, Options{Retry: Retry{AttemptsMax: 2}})
	_, err := inferOne(client)
	wantError(t, err, ErrUnavailable, "503: the queue is full")
	if len(requests()) != 2 {
		t.Error(len(requests()))
	}
	client = connect(t, serverURL, Options{Retry: Retry{Budget: 5}})
	for i := 0; i < 20; i++ {
		inferOne(client)
	}
	if len(requests()) != 2+20+5 {
		t.Errorf("%d: an overloaded server gets few tries again", len(requests()))
	}
}

func TestLongWaitsAreLeftToTheCaller(t *testing.T) {
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, _ []byte) { refuse(w, 503, "loading", "30") })
	for _, options := range []Options{{}, {Timeout: 20 * time.Second, Retry: Retry{DelayMax: time.Minute}}} {
		_, err := inferOne(connect(t, serverURL, options))
		var refused *ServerError
		if !errors.As(err, &refused) || refused.RetryAfter != 30*time.Second {
			t.Error(err)
		}
	}
	if len(requests()) != 2 {
		t.Error(len(requests()))
	}
}

func TestRetryAfterIsTheLeastWait(t *testing.T) {
	retry := Retry{}
	retry.complete()
	budget := newRetryBudget(retry)
	const s = time.Second
	if delay, again := budget.delay(1, 3*s, 60*s); !again || delay < 3*s || delay > 4*s {
		t.Error(delay)
	}
	if delay, again := budget.delay(2, 0, 60*s); !again || delay < s/5 || delay > 3*s/10 {
		t.Error(delay)
	}
	if _, again := budget.delay(1, 3*s, 2*s); again {
		t.Error("waits longer than the call has")
	}
	if _, again := budget.delay(4, 0, 60*s); again {
		t.Error("a fifth try")
	}
	now := time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"7": 7 * s, "soon": 0, "": 0, "-1": 0,
		"Fri, 31 Dec 1999 23:59:59 GMT": 59 * s, "Fri, 31 Dec 1999 23:58:00 GMT": 0} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, large := range []string{"9999999999999", strings.Repeat("9", 400)} {
		if parseRetryAfter(large, now) < 1000*time.Hour {
			t.Error("overflows")
		}
	}
	if parseRetryAfter("-"+strings.Repeat("9", 400), now) != 0 {
		t.Error("not 0")
	}
}

func TestTheLongestDelayDoesNotOverflow(t *testing.T) {
	budget := newRetryBudget(Retry{AttemptsMax: 9, DelayMax: math.MaxInt64, Budget: 100})
	for i := 0; i < 20; i++ {
		if delay, again := budget.delay(1, math.MaxInt64, math.MaxInt64); again || delay < 0 {
			t.Error(delay, again)
		}
	}
}

func TestOtherErrorsAreNotTriedAgain(t *testing.T) {
	statuses := []int{400, 401, 403, 404, 413, 500, 504, 302}
	kinds := []error{ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrTooLarge, nil, nil, nil}
	serverURL, requests := serve(t, func(w http.ResponseWriter, number int, _ []byte) {
		w.Header().Set("Location", "/other")
		refuse(w, statuses[number], fmt.Sprintf("reason %d\n", number), "")
	})
	client := connect(t, serverURL, Options{})
	for i, status := range statuses {
		_, err := inferOne(client)
		var refused *ServerError
		if !errors.As(err, &refused) || refused.Status != status || refused.Text != fmt.Sprintf("reason %d", i) {
			t.Error(err)
		}
		for _, kind := range kinds {
			if kind != nil && errors.Is(err, kind) != (kind == kinds[i]) {
				t.Errorf("%d is %v", status, kind)
			}
		}
	}
	if len(requests()) != len(statuses) {
		t.Error(len(requests()))
	}
}

func TestRefusalsWithoutAText(t *testing.T) {
	serverURL, _ := serve(t, func(w http.ResponseWriter, _ int, _ []byte) { refuse(w, 404, "", "") })
	_, err := inferOne(connect(t, serverURL, Options{}))
	wantError(t, err, ErrNotFound, "404: Not Found")
}

func TestTextsOfErrorsInJSONAreTakenOut(t *testing.T) {
	texts := []string{`{ "error": "no such \"path\"" }`, `["error"]`}
	serverURL, _ := serve(t, func(w http.ResponseWriter, number int, _ []byte) {
		w.Header().Set("Content-Type", "application/json")
		refuse(w, 404, texts[number], "")
	})
	for _, want := range []string{`404: no such "path"`, `404: ["error"]`} {
		_, err := inferOne(connect(t, serverURL, Options{}))
		wantError(t, err, ErrNotFound, want)
	}
}

func TestErrorsWithinTheMessageHaveATimeToWait(t *testing.T) {
	message := read(t, "refusal.bin")
	at := bytes.Index(message, []byte{0x90, 1, 0, 0, 0, 0, 0, 0})
	little.PutUint64(message[at:], 503)
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, _ []byte) {
		w.Header().Set("Retry-After", "30")
		_, _ = w.Write(message)
	})
	_, err := inferOne(connect(t, serverURL, Options{}))
	var refused *ServerError
	if !errors.As(err, &refused) || refused.RetryAfter != 30*time.Second || len(requests()) != 1 {
		t.Error(err, len(requests()))
	}
}

func TestErrorsWithinTheMessage(t *testing.T) {
	serverURL, requests := serve(t, answer(read(t, "refusal.bin")))
	_, err := inferOne(connect(t, serverURL, Options{}))
	wantError(t, err, ErrBadRequest, "400: no input q")
	if len(requests()) != 1 {
		t.Error(len(requests()))
	}
}

func TestOutputsByName(t *testing.T) {
	metadata, two := read(t, "metadata.bin"), makeAnswer(t, NewTensor([]string{"a"}), NewTensor([]int64{1, 2}))
	serverURL, requests := serve(t, func(w http.ResponseWriter, number int, body []byte) {
		if bytes.Equal(body, metadataRequest) {
			send(w, metadata)
		} else {
			send(w, two)
		}
	})
	model := connect(t, serverURL, Options{}).Model("m")
	request := Request{Inputs: []Tensor{NewTensor(x).Named("x")}}
	outputs, err := model.DoNamed(context.Background(), request)
	if err != nil || outputs["y"].Type() != String || outputs["z"].Type() != Int64 || len(outputs) != 2 {
		t.Error(outputs, err)
	}
	request.Outputs = []string{"a", "b"}
	outputs, err = model.DoNamed(context.Background(), request)
	if err != nil || outputs["b"].Name() != "b" || len(requests()) != 3 {
		t.Error(outputs, err)
	}
	request.Outputs = []string{"a"}
	_, err = model.Do(context.Background(), request)
	wantError(t, err, ErrProtocol, "1 outputs were asked for, and 2 came")
	_, err = InferOne[float32](context.Background(), model, x)
	wantError(t, err, ErrArgument, "2 outputs")
}

// listen is a server that answers each request with bytes of its own; nil closes the connection.
type listener struct {
	net.Listener
	requests atomic.Int32
}

func listen(t *testing.T, play func(conn net.Conn, number int) []byte) *listener {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: inner}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go l.serve(conn, play)
		}
	}()
	return l
}

func (l *listener) serve(conn net.Conn, play func(net.Conn, int) []byte) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		answer := play(conn, int(l.requests.Add(1))-1)
		if answer == nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (l *listener) url() string { return "http://" + l.Addr().String() }

func ok(message []byte) []byte {
	return append([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(message))), message...)
}

func TestAKeptConnectionThatWasClosedIsReplaced(t *testing.T) {
	good := ok(one(t))
	server := listen(t, func(_ net.Conn, number int) []byte {
		if number == 1 {
			return nil
		}
		return good
	})
	client := connect(t, server.url(), Options{})
	wantOne(t, client)
	wantOne(t, client)
	if server.requests.Load() != 3 {
		t.Error(server.requests.Load())
	}
}

func TestARequestIsSentOnceIfItMustBe(t *testing.T) {
	good := ok(one(t))
	server := listen(t, func(_ net.Conn, number int) []byte {
		if number == 0 {
			return good
		}
		return nil
	})
	client := connect(t, server.url(), Options{Retry: Retry{AttemptsMax: 1}})
	wantOne(t, client)
	_, err := inferOne(client)
	wantError(t, err, ErrConnectionLost, "without an answer")
	if server.requests.Load() != 2 {
		t.Error(server.requests.Load())
	}
}

func TestARequestThatEndsTheServerIsSentTwiceAtMost(t *testing.T) {
	good := ok(one(t))
	all := make(chan struct{})
	server := listen(t, func(_ net.Conn, number int) []byte {
		if number == 2 {
			close(all)
		}
		if number > 2 {
			return nil
		}
		<-all
		return good
	})
	client := connect(t, server.url(), Options{})
	var wait sync.WaitGroup
	for i := 0; i < 3; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			inferOne(client)
		}()
	}
	wait.Wait()
	_, err := inferOne(client)
	wantError(t, err, ErrConnectionLost, "")
	if server.requests.Load() != 5 {
		t.Error(server.requests.Load())
	}
}

func TestConnectionsThatEndEarly(t *testing.T) {
	good := ok(one(t)) // a head that ends early is no HTTP
	for _, part := range [][]byte{nil, good[:len(good)-20], good[:len(good)-1]} {
		server := listen(t, func(conn net.Conn, _ int) []byte {
			conn.Write(part)
			return nil
		})
		_, err := inferOne(connect(t, server.url(), Options{}))
		wantError(t, err, ErrConnectionLost, "")
		if server.requests.Load() != 1 {
			t.Error("sent again, though the server may have run the model")
		}
	}
}

func TestNoServer(t *testing.T) {
	server := listen(t, nil)
	server.Close()
	_, err := inferOne(connect(t, server.url(), Options{}))
	wantError(t, err, ErrConnectionFailed, "refused")
	_, err = inferOne(connect(t, "unix://"+filepath.Join(t.TempDir(), "none"), Options{}))
	wantError(t, err, ErrConnectionFailed, "no such file")
}

func TestTheTimeIsForTheWholeAnswer(t *testing.T) {
	server := listen(t, func(conn net.Conn, _ int) []byte {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		for {
			if _, err := io.WriteString(conn, "x"); err != nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	_, err := inferOne(connect(t, server.url(), Options{Timeout: 200 * time.Millisecond}))
	wantError(t, err, context.DeadlineExceeded, "without its answer")
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !os.IsTimeout(err) {
		t.Error("not a time-out")
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err = connect(t, server.url(), Options{}).Model("m").Metadata(ctx)
	wantError(t, err, context.Canceled, "")
}

func TestAContextEndsAWaitForABusyServer(t *testing.T) {
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, _ []byte) { refuse(w, 503, "loading", "9") })
	ctx, cancel := context.WithCancel(context.Background())
	client := connect(t, serverURL, Options{})
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := client.Model("m").Infer(ctx, NewTensor(x))
	wantError(t, err, context.Canceled, "")
	if len(requests()) != 1 {
		t.Error(len(requests()))
	}
}

// A server that does not read: the call ends, and nobody reads the slice any more when it does (-race sees it).
func TestTheSliceIsFreeAfterTheCall(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	large := make([]float32, 8<<20)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	client := connect(t, "http://"+inner.Addr().String(), Options{})
	_, err = client.Model("m").Infer(ctx, NewTensor(large))
	wantError(t, err, context.DeadlineExceeded, "")
	for i := range large {
		large[i] = 1
	}
}

func TestEarlyRefusalsAreRead(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	go func() {
		for {
			conn, err := inner.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				reader := bufio.NewReader(conn)
				if _, err := http.ReadRequest(reader); err != nil {
					return
				}
				io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 18\r\nConnection: close\r\n\r\nat most 1000 bytes")
				io.Copy(io.Discard, io.LimitReader(reader, 1<<20)) // and then it closes the connection
			}()
		}
	}()
	client := connect(t, "http://"+inner.Addr().String(), Options{})
	for i := 0; i < 10; i++ {
		_, err = client.Model("m").Infer(context.Background(), NewTensor(make([]float64, 4<<20)))
		wantError(t, err, ErrTooLarge, "at most 1000 bytes")
	}
}

func TestAnswersThatAreTooLargeOrWrong(t *testing.T) {
	for _, each := range []struct {
		answer string
		text   string
	}{
		{string(ok(make([]byte, 2000))), "AnswerBytesMax"},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 2000), "AnswerBytesMax"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "not HTTP"},
		{string(ok([]byte("not a message"))), "malformed"},
		{string(ok(nil)), "malformed"},
		{"junk\r\n\r\n", "not HTTP"},
	} {
		server := listen(t, func(net.Conn, int) []byte { return []byte(each.answer) })
		_, err := inferOne(connect(t, server.url(), Options{AnswerBytesMax: 1000}))
		wantError(t, err, ErrProtocol, each.text)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	serverURL, requests := serve(t, func(w http.ResponseWriter, number int, _ []byte) {
		if number == 0 {
			close(enter)
			<-leave
		}
		send(w, one(t))
	})
	client := connect(t, serverURL, Options{ConnectionsMax: 1})
	done := make(chan error)
	go func() {
		_, err := inferOne(client)
		done <- err
	}()
	<-enter
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Model("m").Metadata(ctx)
	wantError(t, err, context.DeadlineExceeded, "")
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantOne(t, client)
	for _, each := range requests() {
		if each.connection != requests()[0].connection {
			t.Error("a second connection")
		}
	}
}

func TestManyGoroutines(t *testing.T) {
	serverURL, requests := serve(t, func(w http.ResponseWriter, _ int, body []byte) {
		send(w, makeAnswer(t, RawTensor(Float32, body[len(body)-4:], 1)))
	})
	client := connect(t, serverURL, Options{ConnectionsMax: 3})
	var wait sync.WaitGroup
	for i := 0; i < 8; i++ {
		wait.Add(1)
		go func(value float32) {
			defer wait.Done()
			for k := 0; k < 20; k++ {
				y, err := InferOne[float32](context.Background(), client.Model("m"), []float32{value})
				if err != nil || y[0] != value {
					t.Error(y, err)
				}
			}
		}(float32(i))
	}
	wait.Wait()
	connections := map[string]bool{}
	for _, each := range requests() {
		connections[each.connection] = true
	}
	if len(connections) > 3 {
		t.Error(len(connections))
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	inner, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		send(w, one(t))
	}))
	server.Listener.Close()
	server.Listener = inner
	server.Start()
	defer server.Close()
	client := connect(t, "unix://"+path, Options{})
	wantOne(t, client)
	if _, err := client.Model("m").Infer(context.Background(), NewTensor(make([]float32, 1<<20))); err != nil {
		t.Error(err)
	}
}

func TestTransportsOfOnesOwn(t *testing.T) {
	serverURL, requests := serve(t, answer(one(t)))
	parts, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, "http://model.example", Options{Transport: &http.Transport{Proxy: http.ProxyURL(parts)}})
	wantOne(t, client)
	if _, err := client.Model("m").Infer(context.Background(), NewTensor(make([]float32, 1<<20))); err != nil {
		t.Error(err)
	}
	if len(requests()) != 2 {
		t.Error(len(requests()))
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestTransportsThatLeaveTheBodyOpenDoNotHang(t *testing.T) {
	large := NewTensor(make([]float32, 1<<12))
	model := func(transport transportFunc) *Model {
		return connect(t, "http://model.example", Options{Transport: transport, Timeout: 50 * time.Millisecond}).Model("m")
	}
	fails := model(func(*http.Request) (*http.Response, error) { return nil, errors.New("no luck") })
	_, err := fails.Infer(context.Background(), large)
	wantError(t, err, ErrConnectionFailed, "no luck")
	answers := model(func(request *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: request, ContentLength: -1,
			Body: io.NopCloser(bytes.NewReader(one(t)))}, nil
	})
	if _, err = answers.Infer(context.Background(), large); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() != "broken" {
			t.Error("the panic is lost")
		}
	}()
	model(func(*http.Request) (*http.Response, error) { panic("broken") }).Infer(context.Background(), large)
}

func TestAnswersWithoutALengthAreJoined(t *testing.T) {
	for _, size := range []int{0, 1, 1 << 14, 1<<14 + 1, 1 << 20, 3<<20 + 7} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i % 251)
		}
		got, err := readToEnd(bytes.NewReader(want), int64(size))
		if err != nil || !bytes.Equal(got, want) {
			t.Error(size, err)
		}
		if size > 0 {
			_, err = readToEnd(bytes.NewReader(want), int64(size)-1)
			wantError(t, err, ErrProtocol, "AnswerBytesMax")
		}
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		send(w, one(t))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	trusting := server.Client().Transport.(*http.Transport).TLSClientConfig
	client := connect(t, server.URL, Options{TLS: trusting})
	wantOne(t, client)
	if _, err := client.Model("m").Infer(context.Background(), NewTensor(make([]float32, 1<<20))); err != nil {
		t.Error(err)
	}
	_, err := inferOne(connect(t, server.URL, Options{}))
	wantError(t, err, ErrConnectionFailed, "certificate")
}

func TestWrongOptions(t *testing.T) {
	for _, each := range []struct {
		url     string
		options Options
		text    string
	}{
		{"localhost:8501", Options{}, "the URL"},
		{"http://h?q", Options{}, "the URL"},
		{"http://[", Options{}, "the URL"},
		{"http://h?", Options{}, "the URL"},
		{"http://h#", Options{}, "the URL"},
		{"http://h", Options{Token: "a\nb"}, "Token has visible ASCII"},
		{"http://h", Options{Headers: http.Header{"a b": {"c"}}}, "no header \"a b\""},
		{"http://h", Options{Headers: http.Header{"": {"c"}}}, "no header"},
		{"http://h", Options{Headers: http.Header{"x": {"a\r\nb: c"}}}, "value of x"},
		{"unix://host/path", Options{}, "the URL"},
		{"http://u:p@h", Options{}, "Token"},
		{"http://h", Options{CAFile: "x"}, "https"},
		{"unix:///s", Options{CAFile: "x"}, "https"},
		{"unix:///s", Options{Transport: http.DefaultTransport}, "transport"},
		{"https://h", Options{CAFile: "x", Transport: http.DefaultTransport}, "to the Transport"},
		{"https://h", Options{CAFile: "x", TLS: &tls.Config{}}, "not both"},
		{"https://h", Options{CAFile: "testdata/none"}, "CAFile"},
		{"https://h", Options{CAFile: "testdata/answer.bin"}, "no PEM"},
		{"https://h", Options{CertificateFile: "x"}, "together"},
		{"https://h", Options{CertificateFile: "testdata/none", KeyFile: "testdata/none"}, "KeyFile"},
		{"http://h", Options{ConnectionsMax: -1}, "negative"},
		{"http://h", Options{AnswerBytesMax: 1 << 40}, "at most"},
	} {
		options := each.options
		_, err := NewClient(each.url, &options)
		wantError(t, err, ErrArgument, each.text)
	}
}
