// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"fmt"
	"math/bits"
	"reflect"
	"unsafe"
)

// Type is the type of a tensor's elements, with GraphPipe's numbers.
type Type uint8

// The types that GraphPipe has. A model's bool is sent as Uint8, bfloat16 as Float32.
const (
	Uint8 Type = iota + 1
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Uint64
	Int64
	Float16
	Float32
	Float64
	String
)

var typeNames = [...]string{"Null", "Uint8", "Int8", "Uint16", "Int16", "Uint32", "Int32", "Uint64", "Int64", "Float16",
	"Float32", "Float64", "String"}

var typeSizes = [...]int{0, 1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8, 0}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Size is the number of bytes of an element; 0 for String and for what GraphPipe does not have.
func (t Type) Size() int {
	if int(t) < len(typeSizes) {
		return typeSizes[t]
	}
	return 0
}

// Element is what a slice may have that becomes a tensor, or comes from one. Half is Float16, bool is sent as Uint8, string and
// []byte are String. For int and uint choose a size.
type Element interface {
	~bool | ~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64 | ~string | ~[]byte
}

// Tensor is an input or an output: a type, a shape, and the elements in row-major order. It does not change; its elements are
// those of the slice that it was made of, or a part of the answer.
type Tensor struct {
	name    string
	kind    Type
	shape   []int
	data    []byte   // the elements, little-endian
	strings [][]byte // those of the type String
	err     error    // what is wrong with it; said when it is sent
}

// NewTensor makes a tensor of a slice, without a copy of numbers. Do not change the slice before the call that sends it returns.
// Without a shape the tensor has one dimension. A shape that does not fit is an error of the call that sends the tensor.
func NewTensor[T Element](elements []T, shape ...int) Tensor {
	if len(shape) == 0 {
		shape = []int{len(elements)}
	}
	return makeTensor(elements, shape)
}

// Scalar makes a tensor without dimensions.
func Scalar[T Element](element T) Tensor { return makeTensor([]T{element}, nil) }

// RawTensor makes a tensor of elements that are little-endian bytes already. Not for String.
func RawTensor(kind Type, data []byte, shape ...int) Tensor {
	t := Tensor{kind: kind, shape: shape, data: data}
	if size := kind.Size(); size == 0 {
		t.err = argumentError("RawTensor makes numbers, not %v", kind)
	} else if len(data)%size != 0 {
		t.err = argumentError("%d bytes are no elements of type %v, which have %d each", len(data), kind, size)
	} else {
		t.check(len(data) / size)
	}
	return t
}

// Named is the same tensor for the input of that name. Without names, tensors are the inputs in the order of the metadata.
func (t Tensor) Named(name string) Tensor {
	t.name = name
	return t
}

// Name is the input's, or that of an output that was asked for by its name.
func (t Tensor) Name() string { return t.name }

// Type is that of the elements.
func (t Tensor) Type() Type { return t.kind }

// Shape has the size of each dimension. Do not change it.
func (t Tensor) Shape() []int { return t.shape }

// Len is the number of elements.
func (t Tensor) Len() int {
	if t.kind == String {
		return len(t.strings)
	}
	if size := t.kind.Size(); size != 0 {
		return len(t.data) / size
	}
	return 0
}

// Bytes are the elements as they are in the message, little-endian. Nil for String.
func (t Tensor) Bytes() []byte { return t.data }

// String tells the type and the shape, not the elements.
func (t Tensor) String() string { return fmt.Sprintf("%v%v", t.kind, t.shape) }

// Data is the elements of a tensor as a slice of the type that the tensor has. Numbers and []byte are views of the answer, which
// stays in memory as long as one of them: copy a small output that you keep for long. Numbers are copied only if the server did
// not align them. string and bool are copied.
func Data[T Element](t Tensor) ([]T, error) {
	if t.err != nil {
		return nil, t.err
	}
	kind, goKind := typeOf[T]()
	if kind != t.kind {
		var zero T
		return nil, argumentError("the tensor %q has elements of type %v, which are not %T", t.name, t.kind, zero)
	}
	switch goKind {
	case reflect.Bool:
		elements := make([]T, len(t.data))
		for i, value := range t.data {
			if value != 0 {
				viewOf[byte](elements)[i] = 1
			}
		}
		return elements, nil
	case reflect.String:
		elements := make([]T, len(t.strings))
		for i, value := range t.strings {
			viewOf[string](elements)[i] = string(value)
		}
		return elements, nil
	case reflect.Slice:
		return viewOf[T](t.strings), nil
	}
	size := kind.Size()
	if len(t.data) == 0 {
		return []T{}, nil
	}
	if isLittle && uintptr(unsafe.Pointer(&t.data[0]))%uintptr(size) == 0 {
		return unsafe.Slice((*T)(unsafe.Pointer(&t.data[0])), len(t.data)/size), nil
	}
	elements := make([]T, len(t.data)/size)
	copyLittle(bytesOf(elements), t.data, size)
	return elements, nil
}

// --- implementation

var isLittle = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

var halfType = reflect.TypeOf(Half(0))

// typeOf is GraphPipe's and Go's view of T.
func typeOf[T Element]() (Type, reflect.Kind) {
	var zero T
	goType := reflect.TypeOf(zero)
	switch kind := goType.Kind(); kind {
	case reflect.Bool, reflect.Uint8:
		return Uint8, kind
	case reflect.Int8:
		return Int8, kind
	case reflect.Uint16:
		if goType == halfType {
			return Float16, kind
		}
		return Uint16, kind
	case reflect.Int16:
		return Int16, kind
	case reflect.Uint32:
		return Uint32, kind
	case reflect.Int32:
		return Int32, kind
	case reflect.Uint64:
		return Uint64, kind
	case reflect.Int64:
		return Int64, kind
	case reflect.Float32:
		return Float32, kind
	case reflect.Float64:
		return Float64, kind
	default: // string and []byte
		return String, kind
	}
}

func makeTensor[T Element](elements []T, shape []int) Tensor {
	kind, goKind := typeOf[T]()
	t := Tensor{kind: kind, shape: shape}
	switch goKind {
	case reflect.String:
		t.strings = bytesOfStrings(viewOf[string](elements))
	case reflect.Slice:
		t.strings = viewOf[[]byte](elements)
	default:
		t.data = bytesOf(elements)
		if !isLittle && kind.Size() > 1 {
			t.data = make([]byte, len(t.data))
			copyLittle(t.data, bytesOf(elements), kind.Size())
		}
	}
	t.check(len(elements))
	return t
}

// check sets err if the shape does not have `count` elements.
func (t *Tensor) check(count int) {
	if int64(count) > messageBytesMax {
		t.err = argumentError("%d elements are more than a GraphPipe message can have: it has at most %d bytes", count, messageBytesMax)
	} else if expected, ok := elementCount(t.shape); !ok || expected != count {
		t.err = argumentError("%d elements do not fit the shape %v", count, t.shape)
	} else if len(t.shape) > rankMax {
		t.err = argumentError("a tensor has at most %d dimensions, not %d", rankMax, len(t.shape))
	}
}

// elementCount is the product of the sizes; false if there is none.
func elementCount(shape []int) (int, bool) {
	count := uint64(1)
	isEmpty := false
	for _, size := range shape {
		if size < 0 {
			return 0, false
		}
		isEmpty = isEmpty || size == 0
	}
	if isEmpty {
		return 0, true
	}
	for _, size := range shape {
		high, low := bits.Mul64(count, uint64(size))
		if high != 0 || low > messageBytesMax {
			return 0, false
		}
		count = low
	}
	return int(count), true
}

// viewOf is the same memory as a slice of another type that has the same form.
func viewOf[To, From any](from []From) []To {
	if len(from) == 0 {
		return []To{}
	}
	return unsafe.Slice((*To)(unsafe.Pointer(&from[0])), len(from))
}

// bytesOf is the memory of numbers.
func bytesOf[T any](elements []T) []byte {
	if len(elements) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&elements[0])), len(elements)*int(unsafe.Sizeof(elements[0])))
}

// bytesOfStrings copies all of them into one block.
func bytesOfStrings(values []string) [][]byte {
	total := 0
	for _, value := range values {
		total += len(value)
	}
	block := make([]byte, 0, total)
	result := make([][]byte, len(values))
	for i, value := range values {
		start := len(block)
		block = append(block, value...)
		result[i] = block[start:len(block):len(block)]
	}
	return result
}

// copyLittle copies elements of `size` bytes between this machine's order and little-endian.
func copyLittle(to, from []byte, size int) {
	if isLittle {
		copy(to, from)
		return
	}
	copySwapped(to, from, size)
}

func copySwapped(to, from []byte, size int) {
	for at := 0; at < len(from); at += size {
		for i := 0; i < size; i++ {
			to[at+i] = from[at+size-1-i]
		}
	}
}
