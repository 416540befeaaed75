// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** Floats of 16 bits (IEEE 754 binary16), which Java 17 has no type for: their bits are in a short. */
public final class Float16 {
    private static final int FLOAT_BIAS_MORE = 127 - 15;
    private static final float SMALLEST = 0x1p-24f;

    private Float16() {}

    /** {@return the value of the bits; exact} */
    public static float toFloat(short bits) {
        int sign = (bits & 0x8000) << 16;
        int exponent = bits >> 10 & 0x1f;
        int fraction = bits & 0x3ff;
        if (exponent == 0x1f) {
            return Float.intBitsToFloat(sign | 0x7f800000 | fraction << 13);
        }
        if (exponent == 0) {
            return Float.intBitsToFloat(sign | Float.floatToRawIntBits(fraction * SMALLEST));
        }
        return Float.intBitsToFloat(sign | (exponent + FLOAT_BIAS_MORE) << 23 | fraction << 13);
    }

    /** {@return the bits of the nearest value; of two as near, the even one} */
    public static short fromFloat(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        int magnitude = bits & 0x7fffffff;
        if (magnitude > 0x7f800000) {
            return (short) (sign | 0x7e00 | magnitude >> 13 & 0x3ff); // NaN
        }
        if (magnitude >= 0x477ff000) {
            return (short) (sign | 0x7c00); // from half way to 2^16 on: infinite
        }
        if (magnitude < 0x38800000) {
            // Below 2^-14: a multiple of 2^-24. The product is exact, and rint rounds to even.
            return (short) (sign | (int) Math.rint((double) Math.abs(value) / SMALLEST));
        }
        int rounded = magnitude + 0xfff + (magnitude >> 13 & 1) >> 13;
        return (short) (sign | rounded - (FLOAT_BIAS_MORE << 10));
    }
}
