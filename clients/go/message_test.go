// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// numbers is 1 to 6 as a tensor of 2 x 3.
func numbers[T ~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64]() Tensor {
	return NewTensor([]T{1, 2, 3, 4, 5, 6}, 2, 3)
}

// everyType is what testdata/make.py puts into the messages.
func everyType() []Tensor {
	halves := make([]Half, 6)
	for i := range halves {
		halves[i] = HalfOf(float32(i + 1))
	}
	large := make([]float32, 5000)
	for i := range large {
		large[i] = float32(i)
	}
	return []Tensor{
		numbers[uint8](), numbers[int8](), numbers[uint16](), numbers[int16](), numbers[uint32](), numbers[int32](),
		numbers[uint64](), numbers[int64](), NewTensor(halves, 2, 3), numbers[float32](), numbers[float64](),
		Scalar(0.5), NewTensor([]int32{}, 0, 3), NewTensor([]string{"one", "a\x00", "", "ü"}, 2, 2), NewTensor(large),
	}
}

func sameTensor(t *testing.T, got, want Tensor) {
	t.Helper()
	if got.Type() != want.Type() || len(got.Shape()) != len(want.Shape()) || got.Len() != want.Len() {
		t.Fatalf("%v, not %v", got, want)
	}
	for i := range want.Shape() {
		if got.Shape()[i] != want.Shape()[i] {
			t.Fatalf("%v, not %v", got, want)
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("%v: other elements", got)
	}
	for i := range want.strings {
		if !bytes.Equal(got.strings[i], want.strings[i]) {
			t.Fatalf("%v: %q, not %q", got, got.strings[i], want.strings[i])
		}
	}
}

func TestRequestsAreThoseOfThePythonClient(t *testing.T) {
	request := Request{Outputs: []string{"y", "ü"}, Config: `{"a": 1}`}
	names := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"}
	for i, each := range everyType() {
		request.Inputs = append(request.Inputs, each.Named("input "+names[i]))
	}
	buffers, err := request.Buffers()
	if err != nil {
		t.Fatal(err)
	}
	if len(buffers) != 2 || &buffers[1][0] != &request.Inputs[14].Bytes()[0] {
		t.Error("the large tensor is not sent from its own memory")
	}
	if !bytes.Equal(bytes.Join(buffers, nil), read(t, "request.bin")) {
		t.Error("other bytes")
	}
}

func TestAnswersOfTheFlatbuffersPackageAreRead(t *testing.T) {
	outputs, err := DecodeAnswer(read(t, "answer.bin"))
	if err != nil {
		t.Fatal(err)
	}
	want := everyType()
	if len(outputs) != len(want) {
		t.Fatalf("%d outputs", len(outputs))
	}
	for i := range want {
		sameTensor(t, outputs[i], want[i])
	}
	_, err = DecodeAnswer(read(t, "refusal.bin"))
	if err == nil || !errors.Is(err, ErrBadRequest) || err.Error() != "400: no input q" {
		t.Error(err)
	}
}

func TestLargeTensorsComeLargestFirstAndAligned(t *testing.T) {
	small, large := make([]float64, 1000), make([]float32, 10000)
	buffers, err := Request{Inputs: []Tensor{NewTensor(small), NewTensor(large, 100, 100)}}.Buffers()
	if err != nil || len(buffers) != 4 {
		t.Fatal(len(buffers), err)
	}
	if &buffers[1][0] != (*byte)(unsafe.Pointer(&large[0])) || &buffers[3][0] != (*byte)(unsafe.Pointer(&small[0])) {
		t.Error("not the memory of the slices, the largest first")
	}
	if len(buffers[0])%64 != 0 || (len(buffers[0])+len(buffers[1])+len(buffers[2]))%64 != 0 {
		t.Error("the elements are not aligned")
	}
}

func TestOutputsAreViews(t *testing.T) {
	sent := make([]float32, 10000)
	outputs, err := DecodeAnswer(makeAnswer(t, NewTensor(sent), NewTensor([][]byte{[]byte("abc")})))
	if err != nil {
		t.Fatal(err)
	}
	view, err := Data[float32](outputs[0])
	if err != nil || unsafe.Pointer(&view[0]) != unsafe.Pointer(&outputs[0].Bytes()[0]) {
		t.Error("a copy", err)
	}
	texts, err := Data[[]byte](outputs[1])
	if err != nil || &texts[0][0] != &outputs[1].strings[0][0] {
		t.Error("a copy", err)
	}
}

func TestUnalignedOutputsAreCopied(t *testing.T) {
	message := makeAnswer(t, NewTensor([]float64{1, 2, 3}))
	for shift := 0; shift < 8; shift++ {
		moved := append(make([]byte, shift, shift+len(message)), message...)[shift:]
		outputs, err := DecodeAnswer(moved)
		if err != nil {
			t.Fatal(err)
		}
		values, err := Data[float64](outputs[0])
		if err != nil || !reflect.DeepEqual(values, []float64{1, 2, 3}) {
			t.Error(shift, values, err)
		}
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	x := NewTensor([]float32{1})
	tooMany := make([]int, rankMax+1)
	for i := range tooMany {
		tooMany[i] = 1
	}
	for text, inputs := range map[string][]Tensor{
		"do not fit the shape [2 3]":            {NewTensor([]float32{1, 2}, 2, 3)},
		"do not fit the shape [-1 -1]":          {NewTensor([]float32{1}, -1, -1)},
		"do not fit the shape [4294967296 429":  {NewTensor([]float32{}, 1<<32, 1<<32)},
		"at most 254 dimensions, not 255":       {NewTensor([]float32{1}, tooMany...)},
		"2 of 3 inputs have a name":             {x.Named("a"), x, x.Named("c")},
		"input 1 is an empty Tensor":            {x, {}},
		"RawTensor makes numbers, not String":   {RawTensor(String, nil)},
		"3 bytes are no elements of type Int16": {RawTensor(Int16, make([]byte, 3), 1)},
	} {
		_, err := Request{Inputs: inputs}.Buffers()
		if !errors.Is(err, ErrArgument) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v instead of %q", err, text)
		}
	}
}

func TestMessagesHaveAtMost2GiB(t *testing.T) {
	large := Tensor{shape: []int{3 << 30}}
	if large.check(3 << 30); !errors.Is(large.err, ErrArgument) || !strings.Contains(large.err.Error(), "it has at most") {
		t.Error(large.err)
	}
	bytesOf := func(size int) Tensor { return NewTensor(make([]byte, size)) }
	const bytesMax = 10000 // instead of them
	if _, err := (Request{Inputs: []Tensor{bytesOf(9000)}}).buffers(bytesMax); err != nil {
		t.Error(err)
	}
	for _, inputs := range [][]Tensor{{bytesOf(10000)}, {bytesOf(5000), bytesOf(5000)}, {NewTensor([]string{strings.Repeat("x", 10000)})},
		{bytesOf(2000), bytesOf(2000), bytesOf(2000), bytesOf(2000), bytesOf(2000)}} {
		_, err := Request{Inputs: inputs}.buffers(bytesMax)
		wantError(t, err, ErrArgument, "at most 10000: send fewer rows")
	}
}

// damaged calls `use` with each beginning of a message, and with messages of which some bytes were changed.
func damaged(message []byte, use func([]byte)) {
	random := rand.New(rand.NewSource(1))
	for size := range message {
		use(message[:size:size])
	}
	for position := range message {
		for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff, byte(random.Intn(256))} {
			changed := append([]byte(nil), message...)
			changed[position] = value
			use(changed)
		}
	}
	for i := 0; i < 5000; i++ {
		changed := append([]byte(nil), message...)
		for k := random.Intn(4); k >= 0; k-- {
			changed[random.Intn(len(changed))] = byte(random.Intn(256))
		}
		use(changed)
	}
}

// readAll reads a message as both kinds of answers, and each output. True if it is no answer.
func readAll(t testing.TB, message []byte) bool {
	outputs, err := decodeAnswer(message, 1<<20)
	for _, each := range outputs {
		readElements(t, each)
	}
	var refused *ServerError
	if err != nil && !errors.Is(err, ErrProtocol) && !errors.As(err, &refused) {
		t.Errorf("not a kind of this package: %v", err)
	}
	if metadata, metadataErr := decodeMetadata(message, 1<<20); (metadata == nil) != errors.Is(metadataErr, ErrProtocol) {
		t.Errorf("metadata: %v", metadataErr)
	}
	return err != nil
}

func readElements(t testing.TB, tensor Tensor) {
	if count, ok := elementCount(tensor.Shape()); !ok || count != tensor.Len() {
		t.Errorf("%v has %d elements", tensor, tensor.Len())
	}
	var err error
	sum := 0
	switch tensor.Type() {
	case Float64:
		var data []float64
		data, err = Data[float64](tensor)
		for _, each := range data {
			if each > 0 {
				sum++
			}
		}
	case String:
		var data []string
		data, err = Data[string](tensor)
		for _, each := range data {
			sum += len(each)
		}
	default:
		for _, each := range tensor.Bytes() {
			sum += int(each)
		}
	}
	if err != nil || sum < 0 {
		t.Error(err)
	}
}

func TestDamagedMessagesAreErrors(t *testing.T) {
	good := makeAnswer(t, NewTensor([]float32{1, 2, 3, 4, 5, 6}, 2, 3), NewTensor([]string{"a", "bcd"}), NewTensor([]float64{1}))
	all, refused := 0, 0
	count := func(message []byte) {
		all++
		if readAll(t, message) {
			refused++
		}
	}
	damaged(good, count)
	for size := 0; size < 100; size++ {
		count(make([]byte, size))
	}
	if refused < all/4 {
		t.Errorf("only %d of %d are errors", refused, all)
	}
}

func TestListsAreBounded(t *testing.T) {
	texts := make([]string, 10)
	for i := range texts {
		texts[i] = strings.Repeat("x", 100)
	}
	message := makeAnswer(t, NewTensor(texts))
	if _, err := decodeAnswer(message, 1248); err != nil { // the strings, slices for them, and the shape
		t.Error(err)
	}
	if _, err := decodeAnswer(message, 1247); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "AnswerBytesMax") {
		t.Error(err)
	}
}

// Each offset of the list of outputs leads to one tensor with 100,000 empty strings: 10 GB for an answer of 400 KB.
func TestOutputsThatShareAListAreBounded(t *testing.T) {
	message := makeAnswer(t, NewTensor(make([]string, 100_000)))
	outputs, one := len(message), bytes.Index(message[56:], []byte{1, 0, 0, 0})+56
	table := one + 4 + int(little.Uint32(message[one+4:]))
	message = little.AppendUint32(message, outputsMax)
	for i := 0; i < outputsMax; i++ {
		// Offsets lead forwards, so the table is copied behind the list. What it leads to is copied, too.
		message = little.AppendUint32(message, uint32(4*(outputsMax-i)))
	}
	moved := len(message) - table
	message = append(message, message[table:outputs]...)
	little.PutUint32(message[table+moved:], uint32(int(little.Uint32(message[table:]))+moved)) // its vtable stays
	little.PutUint32(message[52:], uint32(outputs-52))
	_, err := DecodeAnswer(message)
	wantError(t, err, ErrProtocol, "take more memory than")
}

func TestListsHaveLimits(t *testing.T) {
	many := make([]Tensor, outputsMax+1)
	for i := range many {
		many[i] = NewTensor([]byte{1})
	}
	if _, err := DecodeAnswer(makeAnswer(t, many[1:]...)); err != nil {
		t.Error(err)
	}
	_, err := DecodeAnswer(makeAnswer(t, many...))
	wantError(t, err, ErrProtocol, "a list has 4097 elements, more than 4096")

	ones := make([]int, rankMax)
	for i := range ones {
		ones[i] = 1
	}
	message := makeAnswer(t, NewTensor([]byte{1}, ones...))
	if _, err := DecodeAnswer(message); err != nil {
		t.Error(err)
	}
	at := bytes.Index(message, []byte{rankMax, 0, 0, 0, 1, 0, 0, 0})
	message[at]++
	_, err = DecodeAnswer(append(message, make([]byte, 8)...))
	wantError(t, err, ErrProtocol, "255 dimensions")
}

// FuzzAnswer: whatever an answer has, reading it ends with outputs or an error.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"answer.bin", "refusal.bin", "metadata.bin", "request.bin"} {
		f.Add(read(f, name))
	}
	f.Add(makeAnswer(f, NewTensor([]string{"a", "bcd"}), NewTensor([]float64{1})))
	f.Fuzz(func(t *testing.T, message []byte) { readAll(t, message) })
}

// makeAnswer is an answer with these outputs.
func makeAnswer(t testing.TB, outputs ...Tensor) []byte {
	b := builder{head: make([]byte, 56)}
	little.PutUint32(b.head, 48)
	copy(b.head[4:], []byte{6, 0, 8, 0, 4, 0})
	copy(b.head[numbersVtable:requestAt], requestPrefix[numbersVtable:])
	little.PutUint32(b.head[48:], 48-4)
	b.point(52)
	b.putTensors(outputs)
	buffers, err := b.gather(messageBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join(buffers, nil)
}

func TestMetadataIsRead(t *testing.T) {
	metadata, err := decodeMetadata(read(t, "metadata.bin"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := &Metadata{
		Name: "m", Version: "1.0", Server: "test", Description: "ü",
		Inputs:  []IOMetadata{{Name: "x", Description: "any", Shape: []int{-1, 3}, Type: Float32}},
		Outputs: []IOMetadata{{Name: "y", Shape: []int{}, Type: String}, {Name: "z", Shape: []int{2}, Type: Int64}},
	}
	if !reflect.DeepEqual(metadata, want) {
		t.Errorf("%+v", metadata)
	}
}
