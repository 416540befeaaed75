// SPDX-License-Identifier: Apache-2.0

package penstock

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

type celsius float32

func TestSlicesBecomeTensorsAndComeBack(t *testing.T) {
	x := NewTensor([]celsius{1, 2})
	if x.Type() != Float32 || x.String() != "Float32[2]" {
		t.Error(x)
	}
	if back, err := Data[celsius](x); err != nil || !reflect.DeepEqual(back, []celsius{1, 2}) {
		t.Error(back, err)
	}
	isSet := NewTensor([]bool{true, false})
	if back, err := Data[bool](isSet); isSet.Type() != Uint8 || err != nil || !reflect.DeepEqual(back, []bool{true, false}) {
		t.Error(back, err)
	}
	if back, err := Data[bool](RawTensor(Uint8, []byte{7, 0}, 2)); err != nil || !reflect.DeepEqual(back, []bool{true, false}) {
		t.Error(back, err)
	}
	texts := NewTensor([]string{"a", "", "ü"}, 3, 1)
	if back, err := Data[string](texts); err != nil || !reflect.DeepEqual(back, []string{"a", "", "ü"}) {
		t.Error(back, err)
	}
	if back, err := Data[[]byte](texts); err != nil || string(back[2]) != "ü" || cap(back[0]) != 1 {
		t.Error(back, err)
	}
	scalar := Scalar(int64(7))
	if back, err := Data[int64](scalar); err != nil || len(scalar.Shape()) != 0 || back[0] != 7 {
		t.Error(back, err)
	}
	if back, err := Data[Half](NewTensor([]Half{}, 0, 3)); err != nil || len(back) != 0 {
		t.Error(back, err)
	}
	raw := RawTensor(Uint16, []byte{1, 0, 2, 1}, 2)
	if back, err := Data[uint16](raw); err != nil || !reflect.DeepEqual(back, []uint16{1, 258}) {
		t.Error(back, err)
	}
}

func TestElementsOfAnotherTypeAreAnError(t *testing.T) {
	_, err := Data[float64](NewTensor([]float32{1}).Named("y"))
	if !errors.Is(err, ErrArgument) || err.Error() != `the tensor "y" has elements of type Float32, which are not float64` {
		t.Error(err)
	}
	for _, each := range []Tensor{{}, NewTensor([]Half{1}), NewTensor([]string{"a"})} {
		if _, err := Data[uint16](each); !errors.Is(err, ErrArgument) {
			t.Error(each, err)
		}
	}
}

func TestHalves(t *testing.T) {
	for bits := 0; bits < 1<<16; bits++ {
		half := Half(bits)
		value := half.Float32()
		if value != value {
			if back := HalfOf(value).Float32(); back == back {
				t.Fatalf("%#x is no number any more", bits)
			}
			continue
		}
		if back := HalfOf(value); back != half {
			t.Fatalf("%#x becomes %v becomes %#x", bits, value, back)
		}
		if next := half + 1; bits&0x7fff < 0x7bff {
			middle := (value + next.Float32()) / 2
			even := half + half&1
			below := math.Nextafter32(middle, value)
			if HalfOf(middle) != even || HalfOf(below) != half || HalfOf(math.Nextafter32(middle, next.Float32())) != next {
				t.Fatalf("around %v, after %#x", middle, bits)
			}
		}
	}
	for value, want := range map[float32]Half{1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65519.9: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00,
		6e-8: 1, 1e-9: 0} {
		if got := HalfOf(value); got != want {
			t.Errorf("%v: %#x", value, got)
		}
	}
}

func TestTheOtherByteOrder(t *testing.T) {
	swapped := make([]byte, 8)
	copySwapped(swapped, []byte{1, 2, 3, 4, 5, 6, 7, 8}, 4)
	if !reflect.DeepEqual(swapped, []byte{4, 3, 2, 1, 8, 7, 6, 5}) {
		t.Error(swapped)
	}
}
