// SPDX-License-Identifier: Apache-2.0

package penstock

import "math"

// Half is the bits of a float16 (IEEE 754: 1 sign, 5 exponent, 10 fraction), which Go does not have.
type Half uint16

// Float32 is the value; each half has one.
func (h Half) Float32() float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h) & 0x3ff
	switch exponent {
	case 0: // zero and the numbers below 2^-14
		value := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(value) | sign)
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	}
}

// HalfOf is the nearest half; of two that are equally near, the even one. Too large values become infinity.
func HalfOf(value float32) Half {
	all := math.Float32bits(value)
	sign := Half(all >> 16 & 0x8000)
	magnitude := all & 0x7fffffff
	switch {
	case magnitude > 0x7f800000: // NaN keeps its upper bits, and stays one
		return sign | 0x7e00 | Half(magnitude>>13&0x1ff)
	case magnitude >= 0x477ff000: // from 65520 on
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14: multiples of 2^-24
		return sign | Half(math.RoundToEven(float64(math.Float32frombits(magnitude))*(1<<24)))
	default:
		rounded := magnitude + 0xfff + (magnitude >> 13 & 1)
		return sign | Half((rounded-112<<23)>>13)
	}
}
