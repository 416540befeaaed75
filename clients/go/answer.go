// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"fmt"
	"strings"
)

const (
	outputsMax  = 4096    // Penstock's limit, too
	metadataMax = 1 << 16 // graphpipe-tf lists each tensor of the graph
)

// Metadata is what the server says about a model. Version is the server's.
type Metadata struct {
	Name, Version, Server, Description string

	Inputs, Outputs []IOMetadata
}

// IOMetadata is an input or output. A dimension of -1 may have any size.
type IOMetadata struct {
	Name, Description string

	Shape []int
	Type  Type
}

// DecodeAnswer reads the answer to a Request, for those who send messages by themselves. The outputs are views of the message.
// An error within it becomes a *ServerError.
func DecodeAnswer(message []byte) ([]Tensor, error) { return decodeAnswer(message, messageBytesMax) }

// decodeAnswer also bounds what the strings and shapes take: many offsets may lead to the same bytes.
func decodeAnswer(message []byte, listBytesMax int64) ([]Tensor, error) {
	r := newReader(message, listBytesMax)
	response := r.root()
	if tables := r.tables(r.field(response, 1), outputsMax); len(tables) > 0 && r.err == nil {
		code := r.int64(r.field(tables[0], 0))
		text := r.text(r.field(tables[0], 1))
		if r.err == nil {
			return nil, &ServerError{Status: int(code), Text: text}
		}
	}
	tables := r.tables(r.field(response, 0), outputsMax)
	outputs := make([]Tensor, 0, len(tables))
	for _, each := range tables {
		outputs = append(outputs, r.tensor(each))
		if r.err != nil {
			break
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return outputs, nil
}

func decodeMetadata(message []byte, listBytesMax int64) (*Metadata, error) {
	r := newReader(message, listBytesMax)
	response := r.root()
	metadata := &Metadata{
		Name:        r.text(r.field(response, 0)),
		Version:     r.text(r.field(response, 1)),
		Server:      r.text(r.field(response, 2)),
		Description: r.text(r.field(response, 3)),
		Inputs:      r.ioMetadata(r.field(response, 4)),
		Outputs:     r.ioMetadata(r.field(response, 5)),
	}
	if r.err != nil {
		return nil, r.err
	}
	return metadata, nil
}

// --- implementation

// reader reads a message that may have any bytes. Each read checks its position; the first fault stays in err, and everything
// after it reads as 0. Positions are never negative, and have 64 bits, so that no sum of them overflows.
type reader struct {
	data          []byte
	listBytesLeft int64
	err           error
}

// What may be made of a message, beside AnswerBytesMax.
const (
	listBytesLeast = 64 << 20
	growthMax      = 16
	stringBytes    = 24 // a slice of bytes
)

func newReader(message []byte, listBytesMax int64) reader {
	if most := listBytesLeast + growthMax*int64(len(message)); most < listBytesMax {
		listBytesMax = most
	}
	return reader{data: message, listBytesLeft: listBytesMax}
}

// table is the position of a table and its vtable, and the size of that.
type table struct{ at, vtable, size int64 }

func (r *reader) fail(format string, values ...any) {
	if r.err == nil {
		r.err = protocolError("the message of %d bytes is malformed: %s", len(r.data), fmt.Sprintf(format, values...))
	}
}

// bytes are the `count` ones at a position, or nil.
func (r *reader) bytes(at, count int64) []byte {
	if r.err != nil {
		return nil
	}
	if at < 0 || count > int64(len(r.data)) || at > int64(len(r.data))-count {
		r.fail("an offset leads behind the end (byte %d)", at)
		return nil
	}
	return r.data[at : at+count : at+count]
}

func (r *reader) uint16(at int64) int64 {
	if b := r.bytes(at, 2); b != nil {
		return int64(little.Uint16(b))
	}
	return 0
}

func (r *reader) uint32(at int64) int64 {
	if b := r.bytes(at, 4); b != nil {
		return int64(little.Uint32(b))
	}
	return 0
}

// int64 is a field; absent ones are 0.
func (r *reader) int64(at int64) int64 {
	if at == 0 {
		return 0
	}
	if b := r.bytes(at, 8); b != nil {
		return int64(little.Uint64(b))
	}
	return 0
}

func (r *reader) follow(at int64) int64 { return at + r.uint32(at) }

func (r *reader) table(at int64) table {
	vtable := at - int64(int32(r.uint32(at)))
	if vtable < 0 {
		r.fail("a vtable lies before the start (table at byte %d)", at)
	}
	return table{at, vtable, r.uint16(vtable)}
}

func (r *reader) root() table {
	at := r.follow(0)
	if at == 0 { // as in a message of zeros
		r.fail("it has no root")
	}
	return r.table(at)
}

// field is the position of a field; 0 if it is absent.
func (r *reader) field(t table, index int64) int64 {
	position := 4 + 2*index
	if r.err != nil || position+2 > t.size {
		return 0
	}
	offset := r.uint16(t.vtable + position)
	if offset == 0 {
		return 0
	}
	return t.at + offset
}

// list is the position of the elements and their number, of the list that a field leads to; none if it is absent.
func (r *reader) list(at, width int64) (start, count int64) {
	if at == 0 || r.err != nil {
		return 0, 0
	}
	start = r.follow(at)
	count = r.uint32(start)
	if r.err == nil && count*width > int64(len(r.data))-start-4 {
		r.fail("a list of %d elements is longer than the message (byte %d)", count, start)
	}
	if r.err != nil {
		return 0, 0
	}
	return start + 4, count
}

func (r *reader) tables(at, countMax int64) []table {
	start, count := r.list(at, 4)
	if count > countMax {
		r.fail("a list has %d elements, more than %d", count, countMax)
		return nil
	}
	result := make([]table, 0, count)
	for i := int64(0); i < count && r.err == nil; i++ {
		result = append(result, r.table(r.follow(start+4*i)))
	}
	return result
}

// take counts what a list takes in memory.
func (r *reader) take(bytes int64) {
	r.listBytesLeft -= bytes
	if r.listBytesLeft < 0 && r.err == nil {
		r.err = protocolError("the strings and shapes of the message take more memory than a message of %d bytes, or AnswerBytesMax, allows",
			len(r.data))
	}
}

// string is a view of the bytes of one.
func (r *reader) string(at int64) []byte {
	start, count := r.list(at, 1)
	r.take(count)
	return r.bytes(start, count)
}

func (r *reader) text(at int64) string {
	if at == 0 {
		return ""
	}
	return strings.ToValidUTF8(string(r.string(at)), "\uFFFD")
}

func (r *reader) kind(at int64) Type {
	if at == 0 {
		return 0
	}
	if b := r.bytes(at, 1); b != nil {
		return Type(b[0])
	}
	return 0
}

func (r *reader) shape(at int64) []int {
	start, rank := r.list(at, 8)
	if rank > rankMax {
		r.fail("a shape has %d dimensions", rank)
	}
	r.take(8 * rank)
	if r.err != nil {
		return nil
	}
	shape := make([]int, rank)
	for i := range shape {
		size := int64(little.Uint64(r.data[start+8*int64(i):]))
		shape[i] = int(size)
		if int64(shape[i]) != size {
			r.fail("a shape has a dimension of %d", size)
		}
	}
	return shape
}

func (r *reader) tensor(t table) Tensor {
	result := Tensor{kind: r.kind(r.field(t, 0)), shape: r.shape(r.field(t, 1))}
	if r.err != nil {
		return result
	}
	count, ok := elementCount(result.shape)
	if !ok {
		r.fail("an output has the shape %v, which is none", result.shape)
	} else if result.kind == String {
		r.stringElements(&result, r.field(t, 3), int64(count))
	} else if size := result.kind.Size(); size == 0 {
		r.fail("an output has elements of type %d, which GraphPipe does not know", result.kind)
	} else {
		start, found := r.list(r.field(t, 2), 1)
		if found != int64(count)*int64(size) {
			r.fail("an output of shape %v and type %v has %d bytes, not %d", result.shape, result.kind, found,
				int64(count)*int64(size))
		}
		result.data = r.bytes(start, found)
	}
	return result
}

func (r *reader) stringElements(result *Tensor, at, count int64) {
	start, found := r.list(at, 4)
	if found != count {
		r.fail("an output of shape %v has %d strings, not %d", result.shape, found, count)
		return
	}
	r.take(stringBytes * count)
	if r.err != nil {
		return
	}
	result.strings = make([][]byte, count)
	for i := range result.strings {
		result.strings[i] = r.string(start + 4*int64(i))
		if r.err != nil {
			return
		}
	}
}

func (r *reader) ioMetadata(at int64) []IOMetadata {
	tables := r.tables(at, metadataMax)
	result := make([]IOMetadata, 0, len(tables))
	for _, each := range tables {
		result = append(result, IOMetadata{
			Name:        r.text(r.field(each, 0)),
			Description: r.text(r.field(each, 1)),
			Shape:       r.shape(r.field(each, 2)),
			Type:        r.kind(r.field(each, 3)),
		})
		if r.err != nil {
			break
		}
		for i, size := range result[len(result)-1].Shape {
			if size < 0 {
				result[len(result)-1].Shape[i] = -1
			}
		}
	}
	return result
}
