// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"errors"
	"math"
	"math/rand"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Retry says when a request is sent again. It is, if the server answered 503 (it has not run the model), and once, if a
// connection that was kept from an earlier call ends before a byte of the answer. Never after the first byte of another answer.
// The zero value of each field is its default.
type Retry struct {
	// AttemptsMax is all tries of a call. Default: 4; 1: none again.
	AttemptsMax int
	// Delay is the wait after a 503 without Retry-After; it doubles with each. Default: 0.1 s.
	Delay time.Duration
	// DelayMax: a server that asks to wait longer is not waited for. Default: 10 s.
	DelayMax time.Duration
	// Budget is the tries again that all calls of a client have together, and BudgetRefill what each answered call adds. So an
	// overloaded server gets a tenth more requests, not four times as many. Default: 10 and 0.1.
	Budget, BudgetRefill float64
}

// --- implementation

func (r *Retry) complete() {
	orDefault(&r.AttemptsMax, 4)
	orDefault(&r.Delay, 100*time.Millisecond)
	orDefault(&r.DelayMax, 10*time.Second)
	orDefault(&r.Budget, 10)
	orDefault(&r.BudgetRefill, 0.1)
}

// retryBudget is the tries again that are left.
type retryBudget struct {
	retry Retry
	mutex sync.Mutex
	left  float64
}

func newRetryBudget(retry Retry) *retryBudget { return &retryBudget{retry: retry, left: retry.Budget} }

func (b *retryBudget) answered() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.left = math.Min(b.left+b.retry.BudgetRefill, b.retry.Budget)
}

func (b *retryBudget) take() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// mayResend is whether a request whose kept connection was closed may be sent again, at once.
func (b *retryBudget) mayResend() bool { return b.retry.AttemptsMax > 1 && b.take() }

// delay is how long to wait before try `attempt` + 1; false: no more tries. The server's wish is the least. `left`: the time of
// the call.
func (b *retryBudget) delay(attempt int, retryAfter, left time.Duration) (time.Duration, bool) {
	if attempt >= b.retry.AttemptsMax || retryAfter > b.retry.DelayMax {
		return 0, false
	}
	delay := retryAfter
	if delay <= 0 {
		delay = time.Duration(math.Min(float64(b.retry.Delay)*math.Pow(2, float64(attempt-1)), float64(b.retry.DelayMax)))
	}
	// Up to a quarter more, so that clients that were refused together do not come back together.
	more := time.Duration(rand.Float64() / 4 * float64(delay))
	if more > math.MaxInt64-delay {
		more = math.MaxInt64 - delay
	}
	delay += more
	return delay, delay < left && b.take()
}

// parseRetryAfter takes both forms that HTTP has; 0: none.
func parseRetryAfter(text string, now time.Time) time.Duration {
	// A number that is out of range is the largest one.
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		const most = int64(math.MaxInt64 / time.Second)
		if seconds > most {
			seconds = most
		}
		if seconds < 0 {
			seconds = 0
		}
		return time.Duration(seconds) * time.Second
	}
	when, err := http.ParseTime(text)
	if err != nil || !when.After(now) {
		return 0
	}
	return when.Sub(now)
}
