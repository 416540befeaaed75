// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// What can go wrong with a call. Ask with errors.Is; the error itself has the details. A call whose time is over is
// context.DeadlineExceeded, one that was cancelled is context.Canceled.
var (
	// ErrArgument: the call is wrong by itself, as a shape that does not fit the elements. Nothing was sent.
	ErrArgument = errors.New("wrong argument")
	// ErrConnectionFailed: no connection to the server came about. The server has not seen the request.
	ErrConnectionFailed = errors.New("no connection to the server")
	// ErrConnectionLost: the connection ended before the whole answer was there. The server may have run the model.
	ErrConnectionLost = errors.New("the connection to the server was lost")
	// ErrProtocol: the answer is not HTTP, not a GraphPipe message, or too large.
	ErrProtocol = errors.New("the answer cannot be read")

	// The next ones are kinds of *ServerError, by its status.

	// ErrBadRequest, 400: the request does not fit the model.
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized, 401: the token is missing or wrong.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden, 403: the caller may not do this.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound, 404: no such model, version or label, or the caller may not see it.
	ErrNotFound = errors.New("not found")
	// ErrTooLarge, 413: the request is larger than the server allows.
	ErrTooLarge = errors.New("too large")
	// ErrUnavailable, 503: the server is overloaded, or the model is not ready. See Retry.
	ErrUnavailable = errors.New("unavailable")
)

var kinds = map[int]error{
	http.StatusBadRequest:            ErrBadRequest,
	http.StatusUnauthorized:          ErrUnauthorized,
	http.StatusForbidden:             ErrForbidden,
	http.StatusNotFound:              ErrNotFound,
	http.StatusRequestEntityTooLarge: ErrTooLarge,
	http.StatusServiceUnavailable:    ErrUnavailable,
}

// ServerError is a call that the server refused. Its kinds are ErrBadRequest and so on.
type ServerError struct {
	// Status is HTTP's, or the code of an error within the message.
	Status int
	// Text is the server's reason.
	Text string
	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration
}

func (e *ServerError) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Text) }

// Is makes errors.Is(err, ErrNotFound) true for the status 404, and so on.
func (e *ServerError) Is(target error) bool {
	kind := kinds[e.Status]
	return kind != nil && kind == target
}

// callError is a failure of one of the first four kinds, or the end of the call's time (kind nil).
type callError struct {
	kind  error
	text  string
	cause error
}

func (e *callError) Error() string {
	switch {
	case e.cause == nil:
		return e.text
	case e.text == "":
		return e.cause.Error()
	default:
		return e.text + ": " + e.cause.Error()
	}
}

func (e *callError) Is(target error) bool { return e.kind != nil && e.kind == target }

func (e *callError) Unwrap() error { return e.cause }

// Timeout is what net.Error has: whether a time-out is the cause.
func (e *callError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.cause, &timeout) && timeout.Timeout()
}

func argumentError(format string, values ...any) error {
	return &callError{kind: ErrArgument, text: fmt.Sprintf(format, values...)}
}

func protocolError(format string, values ...any) error {
	return &callError{kind: ErrProtocol, text: fmt.Sprintf(format, values...)}
}
