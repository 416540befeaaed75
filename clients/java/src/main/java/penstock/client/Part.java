// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;

/**
 * Consecutive bytes of a request, given out piece by piece: a ByteBuffer as it is; a buffer of numbers as little-endian bytes,
 * which are made when they are asked for. Immutable.
 */
final class Part {
    private final Buffer source;
    private final int width;

    /** `source`: read from 0 to its limit. `width`: bytes of an element. */
    Part(Buffer source, int width) {
        this.source = source;
        this.width = width;
    }

    static Part ofBytes(ByteBuffer bytes) {
        return new Part(bytes, 1);
    }

    long size() {
        return source instanceof ByteBuffer ? source.limit() : (long) source.limit() * width;
    }

    /** True if a piece needs no copy, here or in the socket: then it can be as large as all. */
    boolean isDirect() {
        return source instanceof ByteBuffer && source.isDirect();
    }

    /** All bytes. */
    ByteBuffer whole() {
        return piece(0, Math.toIntExact(size()));
    }

    /** `size` bytes from `position` on. Both are multiples of 8, or the part ends there. */
    ByteBuffer piece(long position, int size) {
        if (source instanceof ByteBuffer bytes) {
            return bytes.slice((int) position, size).order(ByteOrder.LITTLE_ENDIAN);
        }
        ByteBuffer piece = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        int from = (int) (position / width);
        int count = size / width;
        if (source instanceof FloatBuffer numbers) {
            piece.asFloatBuffer().put(0, numbers, from, count);
        } else if (source instanceof DoubleBuffer numbers) {
            piece.asDoubleBuffer().put(0, numbers, from, count);
        } else if (source instanceof LongBuffer numbers) {
            piece.asLongBuffer().put(0, numbers, from, count);
        } else if (source instanceof IntBuffer numbers) {
            piece.asIntBuffer().put(0, numbers, from, count);
        } else {
            piece.asShortBuffer().put(0, (ShortBuffer) source, from, count);
        }
        return piece;
    }
}
