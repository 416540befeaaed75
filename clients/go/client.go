// SPDX-License-Identifier: Apache-2.0

// Package penstock is a client of Penstock, a model server: slices in, slices out. It speaks GraphPipe, one flatbuffer over
// HTTP, so a large tensor costs little more than its bytes.
//
//	client, err := penstock.NewClient("http://localhost:8501", nil)
//	...
//	y, err := penstock.InferOne[float32](ctx, client.Model("half_plus_two"), []float32{1, 2, 5})
package penstock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const errorTextBytesMax = 1 << 16

// Client is a server. It can be used by many goroutines; one for the whole process is best.
type Client struct {
	options Options
	base    string
	http    http.Client
	budget  *retryBudget
	header  http.Header
}

// NewClient makes a client of the server at a URL: http or https, host, port, and the path of a proxy; or unix:///path/of/socket.
// It does not connect yet. Nil options are the defaults.
func NewClient(serverURL string, options *Options) (*Client, error) {
	c := &Client{}
	if options != nil {
		c.options = *options
	}
	if err := c.options.complete(); err != nil {
		return nil, err
	}
	where, err := parseAddress(serverURL, &c.options)
	if err != nil {
		return nil, err
	}
	c.base = where.base
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.http.Transport, err = c.options.transport(where); err != nil {
		return nil, err
	}
	c.budget = newRetryBudget(c.options.Retry)
	c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	for name, values := range c.options.Headers {
		c.header[http.CanonicalHeaderKey(name)] = append([]string(nil), values...)
	}
	if c.options.Token != "" {
		c.header.Set("Authorization", "Bearer "+c.options.Token)
	}
	return c, nil
}

// CloseIdleConnections closes the connections that are not in use. The client can be used on.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Model is a model of the server, by its name.
func (c *Client) Model(name string) *Model { return newModel(c, target{name: name}) }

// DefaultModel is the model at `/`, where GraphPipe's own servers have their only one.
func (c *Client) DefaultModel() *Model { return newModel(c, target{isDefault: true}) }

// Model is a model of a Client. It can be used by many goroutines.
type Model struct {
	client *Client
	target target
	url    string
	err    error // what is wrong with the target; said by the calls
}

func newModel(c *Client, t target) *Model {
	path, err := t.path()
	return &Model{client: c, target: t, url: c.base + path, err: err}
}

// Version is this version of the model.
func (m *Model) Version(version int64) *Model {
	t := m.target
	t.version, t.hasVersion = version, true
	return newModel(m.client, t)
}

// Label is the version of the model that has this label.
func (m *Model) Label(label string) *Model {
	t := m.target
	t.label = label
	return newModel(m.client, t)
}

// Signature is another signature of the model.
func (m *Model) Signature(name string) *Model {
	t := m.target
	t.signature = name
	return newModel(m.client, t)
}

// Infer runs the model on inputs, which are in the order of the metadata or have names. All outputs come, in the order of the
// metadata.
func (m *Model) Infer(ctx context.Context, inputs ...Tensor) ([]Tensor, error) {
	return m.Do(ctx, Request{Inputs: inputs})
}

// Do runs the model on a request, and gives the outputs in the order in which it asks for them.
func (m *Model) Do(ctx context.Context, request Request) ([]Tensor, error) {
	buffers, err := request.Buffers()
	if err != nil {
		return nil, err
	}
	var outputs []Tensor
	err = m.call(ctx, buffers, func(answer []byte) (err error) {
		outputs, err = decodeAnswer(answer, m.client.options.AnswerBytesMax)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(request.Outputs) > 0 && len(request.Outputs) != len(outputs) {
		return nil, protocolError("%d outputs were asked for, and %d came", len(request.Outputs), len(outputs))
	}
	for i, name := range request.Outputs {
		outputs[i].name = name
	}
	return outputs, nil
}

// DoNamed is Do, with the outputs by their names. Without names in the request it asks for the metadata first, because an answer
// has no names.
func (m *Model) DoNamed(ctx context.Context, request Request) (map[string]Tensor, error) {
	ctx, cancel := m.client.inTime(ctx) // both requests together
	defer cancel()
	if len(request.Outputs) == 0 {
		metadata, err := m.Metadata(ctx)
		if err != nil {
			return nil, err
		}
		for _, each := range metadata.Outputs {
			request.Outputs = append(request.Outputs, each.Name)
		}
	}
	outputs, err := m.Do(ctx, request)
	if err != nil {
		return nil, err
	}
	named := make(map[string]Tensor, len(outputs))
	for _, each := range outputs {
		named[each.name] = each
	}
	return named, nil
}

// Metadata is what the server says about the model.
func (m *Model) Metadata(ctx context.Context) (*Metadata, error) {
	var metadata *Metadata
	err := m.call(ctx, [][]byte{metadataRequest}, func(answer []byte) (err error) {
		metadata, err = decodeMetadata(answer, m.client.options.AnswerBytesMax)
		return err
	})
	return metadata, err
}

// InferOne runs a model that has one input and one output: a slice in, a slice out. Without a shape the input has one dimension.
// For an output's shape, or one of several outputs, use Do.
func InferOne[Out, In Element](ctx context.Context, m *Model, input []In, shape ...int) ([]Out, error) {
	outputs, err := m.Infer(ctx, NewTensor(input, shape...))
	if err != nil {
		return nil, err
	}
	if len(outputs) != 1 {
		return nil, argumentError("the model gave %d outputs: use Infer, or name the one that you want and use Do", len(outputs))
	}
	return Data[Out](outputs[0])
}

// --- implementation

// call posts the buffers, and gives the answer to `decode`; again, if the server is busy.
func (m *Model) call(ctx context.Context, buffers [][]byte, decode func([]byte) error) error {
	if m.err != nil {
		return m.err
	}
	c := m.client
	ctx, cancel := c.inTime(ctx)
	defer cancel()
	started := time.Now()
	for attempt := 1; ; attempt++ {
		var retryAfter time.Duration
		answer, err := m.exchange(ctx, buffers, &retryAfter)
		if err == nil {
			err = decode(answer)
			var within *ServerError
			if errors.As(err, &within) { // a message has no field for it
				within.RetryAfter = retryAfter
			}
		}
		if err == nil {
			c.budget.answered()
			return nil
		}
		if isOver(ctx) {
			return endOfCall(ctx, started)
		}
		var refused *ServerError
		if !errors.As(err, &refused) || !errors.Is(refused, ErrUnavailable) {
			return err
		}
		delay, again := c.budget.delay(attempt, refused.RetryAfter, timeLeft(ctx))
		if !again {
			return err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return endOfCall(ctx, started)
		}
	}
}

// inTime is the context, with Timeout if it has no deadline.
func (c *Client) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has || c.options.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.options.Timeout)
}

func timeLeft(ctx context.Context) time.Duration {
	if deadline, has := ctx.Deadline(); has {
		return time.Until(deadline)
	}
	return math.MaxInt64
}

// isOver: a socket may see the deadline a moment before the context does.
func isOver(ctx context.Context) bool { return ctx.Err() != nil || timeLeft(ctx) <= 0 }

func endOfCall(ctx context.Context, started time.Time) error {
	cause := ctx.Err()
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	took := time.Since(started).Round(time.Millisecond)
	return &callError{text: fmt.Sprintf("the call ended after %v without its answer", took), cause: cause}
}

// exchange is one request and its answer. A kept connection that the server had closed meanwhile is replaced, once.
// `retryAfter` is set to what a good answer says.
func (m *Model) exchange(ctx context.Context, buffers [][]byte, retryAfter *time.Duration) ([]byte, error) {
	answer, isUnanswered, err := m.exchangeOnce(ctx, buffers, retryAfter)
	if isUnanswered && !isOver(ctx) && m.client.budget.mayResend() {
		m.client.CloseIdleConnections() // they are as old, and the next try shall have a new one
		answer, _, err = m.exchangeOnce(ctx, buffers, retryAfter)
	}
	return answer, err
}

// progress is how far a request came.
type progress struct{ isConnected, isKept, isAnswered atomic.Bool }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			p.isKept.Store(info.Reused)
			p.isConnected.Store(true)
		},
		GotFirstResponseByte: func() { p.isAnswered.Store(true) },
	}
}

// exchangeOnce also says whether it failed because a kept connection ended before the answer began.
func (m *Model) exchangeOnce(ctx context.Context, buffers [][]byte, retryAfter *time.Duration) (answer []byte, isUnanswered bool, err error) {
	c := m.client
	var p progress
	hasResponse := false
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, p.trace()), http.MethodPost, m.url, nil)
	if err != nil {
		return nil, false, &callError{kind: ErrArgument, text: "the URL of the model", cause: err}
	}
	if len(buffers) == 1 {
		// All of it is in the head, which is ours. net/http sends a reader that it knows together with HTTP's head.
		request.Body = io.NopCloser(bytes.NewReader(buffers[0]))
	} else {
		sent := newBody(buffers)
		defer func() {
			if !hasResponse { // a Transport that fails or panics may leave the body open
				sent.Close()
			}
			sent.wait(ctx)
		}()
		request.Body = sent
	}
	for _, each := range buffers {
		request.ContentLength += int64(len(each))
	}
	request.Header = c.header.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		switch {
		case !p.isConnected.Load():
			return nil, false, &callError{kind: ErrConnectionFailed, text: "no connection", cause: err}
		case !p.isAnswered.Load():
			return nil, p.isKept.Load(), &callError{kind: ErrConnectionLost, text: "the connection ended without an answer", cause: err}
		default:
			return nil, false, readError(err)
		}
	}
	hasResponse = true
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, false, refusal(response)
	}
	*retryAfter = parseRetryAfter(response.Header.Get("Retry-After"), time.Now())
	answer, err = readAnswer(response, c.options.AnswerBytesMax)
	return answer, false, err
}

// readError is what went wrong within an answer.
func readError(err error) error {
	var network net.Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &network) {
		return &callError{kind: ErrConnectionLost, text: "the connection ended within the answer", cause: err}
	}
	return &callError{kind: ErrProtocol, text: "the answer is not HTTP", cause: err}
}

func refusal(response *http.Response) error {
	// A reason that is cut off is better than none.
	text, _ := io.ReadAll(io.LimitReader(response.Body, errorTextBytesMax))
	reason := strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
	// What a server of Penstock refuses before its front end sees it has the text in JSON.
	var inside struct{ Error string }
	isJSON := strings.HasPrefix(response.Header.Get("Content-Type"), "application/json")
	if isJSON && json.Unmarshal(text, &inside) == nil && inside.Error != "" {
		reason = strings.TrimSpace(inside.Error)
	}
	if reason == "" {
		reason = strings.TrimSpace(strings.TrimPrefix(response.Status, fmt.Sprint(response.StatusCode)))
	}
	return &ServerError{response.StatusCode, reason, parseRetryAfter(response.Header.Get("Retry-After"), time.Now())}
}

// readAnswer reads into one block of memory. Go aligns blocks of some KiB and more to 64 bytes and more, as Penstock aligns large
// tensors within an answer.
func readAnswer(response *http.Response, bytesMax int64) ([]byte, error) {
	length := response.ContentLength
	if length > bytesMax {
		return nil, protocolError("the answer has %d bytes, but AnswerBytesMax is %d", length, bytesMax)
	}
	if length >= 0 {
		block := make([]byte, length)
		if _, err := io.ReadFull(response.Body, block); err != nil {
			return nil, readError(err)
		}
		return block, nil
	}
	// In chunks, or until the connection ends, as GraphPipe's own servers send them.
	return readToEnd(response.Body, bytesMax)
}

// readToEnd reads into blocks that grow, and joins them at the end. To grow one block would copy it again and again, and take
// twice its memory also for an answer that has no end.
func readToEnd(from io.Reader, bytesMax int64) ([]byte, error) {
	const first, most = 1 << 14, 1 << 26
	var full [][]byte
	block := make([]byte, 0, first)
	for total := int64(0); ; {
		n, err := from.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		if total += int64(n); total > bytesMax {
			return nil, protocolError("the answer has more than %d bytes (AnswerBytesMax)", bytesMax)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, readError(err)
		}
		if len(block) == cap(block) {
			full = append(full, block)
			size := 2 * cap(block)
			if size > most {
				size = most
			}
			block = make([]byte, 0, size)
		}
	}
	if len(full) == 0 {
		return block, nil
	}
	return bytes.Join(append(full, block), nil), nil
}
