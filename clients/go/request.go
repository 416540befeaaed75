// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"encoding/binary"
	"math"
	"sort"
)

const (
	messageBytesMax = math.MaxInt32 // offsets of flatbuffers have 31 usable bits
	rankMax         = 254
	// Smaller tensors are copied into the head: a copy costs less than one more part to send.
	copiedBytesMax = 2048
	alignment      = 64
)

// Request is a call of a model.
type Request struct {
	// Inputs are in the order of the metadata, or each has a name.
	Inputs []Tensor
	// Outputs are the names of those that are wanted, in this order. Nil: all, in the order of the metadata.
	Outputs []string
	// Config is passed to the model's backend.
	Config string
}

// Buffers is the request as a GraphPipe message, for those who send it by themselves: parts to be sent one after the other. Large
// tensors are parts of their own, in the memory of the slice that they were made of.
//
// The message is one flatbuffer of few tables, so it needs no package for that; flatbuffers' builder would copy each tensor:
//
//	root offset | vtables | Request | InferRequest | config | names | list of tensors | Tensor tables |
//	shapes, strings and small tensors | padding, length, elements of each large tensor
func (r Request) Buffers() ([][]byte, error) { return r.buffers(messageBytesMax) }

// --- implementation

func (r Request) buffers(bytesMax int64) ([][]byte, error) {
	named := 0
	for i, t := range r.Inputs {
		if t.err != nil {
			return nil, t.err
		}
		if t.kind == 0 {
			return nil, argumentError("input %d is an empty Tensor; make it with NewTensor", i)
		}
		if t.name != "" {
			named++
		}
	}
	if named != 0 && named != len(r.Inputs) {
		return nil, argumentError("%d of %d inputs have a name; give one to each or to none", named, len(r.Inputs))
	}
	b := builder{head: append(make([]byte, 0, 512), requestPrefix...)}
	b.head = b.head[:inferEnd]
	b.point(inferAt + 4)
	putString(&b, r.Config)
	b.point(inferAt + 8)
	names := make([]string, named)
	for i := range names {
		names[i] = r.Inputs[i].name
	}
	putList(&b, names)
	b.point(inferAt + 16)
	putList(&b, r.Outputs)
	b.point(inferAt + 12)
	b.putTensors(r.Inputs)
	return b.gather(bytesMax)
}

// A vtable has its own size, the size of its table, and for each field its position in the table (0: absent).
const (
	requestVtable, inferVtable, numbersVtable, stringsVtable = 4, 12, 24, 34
	requestAt, inferAt, inferEnd                             = 48, 60, 80
	tensorBytes                                              = 16
)

var (
	little = binary.LittleEndian

	// What every request begins with: root offset, vtables, Request, and where the vtable of InferRequest is.
	requestPrefix = func() []byte {
		p := little.AppendUint32(make([]byte, 0, inferEnd), requestAt)
		for _, each := range []uint16{
			8, 12, 8, 4, // Request
			12, 20, 4, 8, 12, 16, // InferRequest
			10, 16, 12, 4, 8, // Tensor of numbers
			12, 16, 12, 4, 0, 8, // Tensor of strings
			0,
		} {
			p = little.AppendUint16(p, each)
		}
		p = little.AppendUint32(p, requestAt-requestVtable)
		p = little.AppendUint32(p, inferAt-(requestAt+4))
		p = little.AppendUint32(p, 1) // the kind, InferRequest, and padding
		return little.AppendUint32(p, inferAt-inferVtable)
	}()

	metadataRequest = []byte{12, 0, 0, 0, 8, 0, 12, 0, 11, 0, 4, 0, 8, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 2, 4, 0, 4, 0, 4, 0, 0, 0}
)

type builder struct {
	head  []byte
	large []largeTensor
}

// largeTensor is sent from its own memory. `offsetAt`: where the head leads to it.
type largeTensor struct {
	offsetAt int
	data     []byte
}

func (b *builder) uint32(value int) { b.head = little.AppendUint32(b.head, uint32(value)) }

// setOffset makes the offset at a position lead to another one.
func (b *builder) setOffset(at, target int) { little.PutUint32(b.head[at:], uint32(target-at)) }

func (b *builder) point(at int) { b.setOffset(at, len(b.head)) }

// pad adds zeros until what comes `before` bytes after the end is aligned.
func (b *builder) pad(before, alignment int) {
	b.head = append(b.head, zeros[:padding(len(b.head)+before, alignment)]...)
}

var zeros [alignment]byte

func padding(position, alignment int) int { return -position & (alignment - 1) }

// stringEnd is the number of zeros behind a string: at least one, which no count includes.
func stringEnd(length int) int { return 4 - length%4 }

func putString[T string | []byte](b *builder, value T) {
	b.uint32(len(value))
	b.head = append(b.head, value...)
	b.head = append(b.head, zeros[:stringEnd(len(value))]...)
}

func putList[T string | []byte](b *builder, values []T) {
	b.uint32(len(values))
	at := len(b.head) + 4*len(values)
	for _, value := range values {
		b.uint32(at - len(b.head))
		at += 4 + len(value) + stringEnd(len(value))
	}
	for _, value := range values {
		putString(b, value)
	}
}

func (b *builder) putTensors(tensors []Tensor) {
	b.uint32(len(tensors))
	tables := len(b.head) + 4*len(tensors)
	for i := range tensors {
		b.uint32(tables + tensorBytes*i - len(b.head))
	}
	b.head = append(b.head, make([]byte, tensorBytes*len(tensors))...)
	for i := range tensors {
		b.putTensor(tables+tensorBytes*i, &tensors[i])
	}
}

// putTensor fills the table at a position: its vtable, shape, elements, type.
func (b *builder) putTensor(at int, t *Tensor) {
	vtable := numbersVtable
	if t.kind == String {
		vtable = stringsVtable
	}
	little.PutUint32(b.head[at:], uint32(at-vtable))
	b.head[at+12] = byte(t.kind)
	b.pad(4, 8)
	b.point(at + 4)
	b.uint32(len(t.shape))
	for _, size := range t.shape {
		b.head = little.AppendUint64(b.head, uint64(size))
	}
	switch {
	case t.kind == String:
		b.point(at + 8)
		putList(b, t.strings)
	case len(t.data) <= copiedBytesMax:
		b.pad(4, 8)
		b.point(at + 8)
		b.uint32(len(t.data))
		b.head = append(b.head, t.data...)
		b.pad(0, 4)
	default:
		b.large = append(b.large, largeTensor{at + 8, t.data})
	}
}

// gather is the head and what follows it. The largest tensor comes first: then the server receives it where the model can use it.
func (b *builder) gather(bytesMax int64) ([][]byte, error) {
	sort.SliceStable(b.large, func(i, k int) bool { return len(b.large[i].data) > len(b.large[k].data) })
	total := int64(len(b.head))
	for _, each := range b.large {
		total += int64(padding(int(total)+4, alignment)) + 4 + int64(len(each.data))
		if total > bytesMax {
			break // the next ones do not matter, and int may be short
		}
	}
	if total > bytesMax {
		return nil, argumentError("the request has %d bytes or more; a GraphPipe message has at most %d: send fewer rows", total, bytesMax)
	}
	buffers := make([][]byte, 1, 1+2*len(b.large))
	end := len(b.head)
	for i, each := range b.large {
		pad := padding(end+4, alignment)
		b.setOffset(each.offsetAt, end+pad)
		before := b.head
		if i > 0 {
			before = nil
		}
		before = append(before, zeros[:pad]...)
		before = little.AppendUint32(before, uint32(len(each.data)))
		if i == 0 {
			b.head = before
		} else {
			buffers = append(buffers, before)
		}
		buffers = append(buffers, each.data)
		end += pad + 4 + len(each.data)
	}
	buffers[0] = b.head
	return buffers, nil
}
