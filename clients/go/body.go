// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// body is the buffers of a request, for net/http. The transport may still read it when the answer is there; wait says when it
// does not any more, as the buffers are the caller's. Thread-safe; one thread at a time reads.
type body struct {
	mutex     sync.Mutex
	isRead    bool // right now
	isClosed  bool
	left      net.Buffers
	released  chan struct{} // closed when nobody reads it any more
	readBytes int           // by Read, which copies
}

func newBody(buffers [][]byte) *body {
	return &body{left: append(net.Buffers(nil), buffers...), released: make(chan struct{})}
}

func (b *body) Read(p []byte) (int, error) {
	if !b.enter() {
		return 0, net.ErrClosed
	}
	defer b.leave()
	for len(b.left) > 0 && len(b.left[0]) == 0 {
		b.left = b.left[1:]
	}
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left[0])
	b.left[0] = b.left[0][n:]
	b.readBytes += n
	return n, nil
}

// sendTo writes what is left from the memory where it is, with one system call if the kernel takes it.
func (b *body) sendTo(conn net.Conn) (int64, error) {
	if !b.enter() {
		return 0, net.ErrClosed
	}
	defer b.leave()
	n, err := b.left.WriteTo(conn)
	if err != nil {
		b.left = nil
	}
	return n, err
}

func (b *body) Close() error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.isClosed {
		b.isClosed = true
		if !b.isRead {
			close(b.released)
		}
	}
	return nil
}

// wait ends when nobody reads any more. If a Transport does not close the body, the call's end does.
func (b *body) wait(ctx context.Context) {
	select {
	case <-b.released:
	case <-ctx.Done():
		b.Close()
		<-b.released
	}
}

func (b *body) enter() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.isRead = !b.isClosed
	return b.isRead
}

func (b *body) leave() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.isRead = false
	if b.isClosed {
		close(b.released)
	}
}

// gatheringConn sends a body without a copy. net/http lets a connection that has ReadFrom take the body by itself; without that
// method it would copy all of it through a buffer of 32 KiB.
type gatheringConn struct{ net.Conn }

func (c gatheringConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if b, ok := limited.R.(*body); ok {
			return c.sendBody(limited, b)
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

func (c gatheringConn) sendBody(limited *io.LimitedReader, b *body) (int64, error) {
	sent, err := b.sendTo(c.Conn)
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		// A server that refuses a request early may have said why before it closed the connection: so net/http shall
		// read on. If there is no answer, it sees the end of the connection there.
		sent, err = limited.N, nil
	}
	limited.N -= sent
	return sent, err
}
