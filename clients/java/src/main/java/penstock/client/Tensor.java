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
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/**
 * A type, a shape, and elements in row-major order.
 *
 * <p>The elements are those of the array or buffer that a tensor was made of, not a copy: do not change them before the call
 * that sends them has ended. Outputs are views of the received answer. They can be written to, and all of them together keep the
 * whole answer in memory: copy a small output that you keep for long.
 *
 * <p>{@code asFloatBuffer()} and its like give a view; {@code floats()} and its like give a new array.
 *
 * <p>Type and shape are immutable. The elements are the caller's to guard.
 */
public final class Tensor {
    /** Of answers and of requests: the bounds of the server. */
    static final int RANK_MAX = 254;

    private final DataType type;
    private final long[] shape;
    /** A ByteBuffer in little-endian order, or a buffer of the type's width in any order. null for strings. */
    private final Buffer data;
    private final byte[][] strings;

    private Tensor(DataType type, long[] shape, Buffer data, byte[][] strings) {
        this.type = type;
        this.shape = shape;
        this.data = data;
        this.strings = strings;
    }

    // Making one.

    /** {@return a tensor of FLOAT32; without a shape a vector} */
    public static Tensor of(float[] values, long... shape) {
        return of(DataType.FLOAT32, FloatBuffer.wrap(values), shape);
    }

    /** {@return a tensor of FLOAT64; without a shape a vector} */
    public static Tensor of(double[] values, long... shape) {
        return of(DataType.FLOAT64, DoubleBuffer.wrap(values), shape);
    }

    /** {@return a tensor of INT64; without a shape a vector} */
    public static Tensor of(long[] values, long... shape) {
        return of(DataType.INT64, LongBuffer.wrap(values), shape);
    }

    /** {@return a tensor of INT32; without a shape a vector} */
    public static Tensor of(int[] values, long... shape) {
        return of(DataType.INT32, IntBuffer.wrap(values), shape);
    }

    /** {@return a tensor of INT16; without a shape a vector} */
    public static Tensor of(short[] values, long... shape) {
        return of(DataType.INT16, ShortBuffer.wrap(values), shape);
    }

    /** {@return a tensor of INT8; without a shape a vector. For other types use {@link #of(DataType, Buffer, long...)}} */
    public static Tensor of(byte[] values, long... shape) {
        return of(DataType.INT8, ByteBuffer.wrap(values), shape);
    }

    /** {@return a tensor of UINT8 with 0 and 1, which the server takes for bool; without a shape a vector} */
    public static Tensor of(boolean[] values, long... shape) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (values[i] ? 1 : 0);
        }
        return of(DataType.UINT8, ByteBuffer.wrap(bytes), shape);
    }

    /** {@return a tensor of strings, sent in UTF-8; without a shape a vector} */
    public static Tensor of(String[] values, long... shape) {
        byte[][] strings = new byte[values.length][];
        for (int i = 0; i < strings.length; i++) {
            strings[i] = values[i].getBytes(StandardCharsets.UTF_8);
        }
        return of(strings, shape);
    }

    /** {@return a tensor of strings that are any bytes; without a shape a vector} */
    public static Tensor of(byte[][] values, long... shape) {
        byte[][] strings = values.clone();
        for (int i = 0; i < strings.length; i++) {
            Objects.requireNonNull(strings[i], "a string is null");
        }
        return new Tensor(DataType.STRING, shapeOf(strings.length, shape), null, strings);
    }

    /** {@return a tensor of FLOAT32 with the remaining elements of the buffer; without a shape a vector} */
    public static Tensor of(FloatBuffer values, long... shape) {
        return of(DataType.FLOAT32, values, shape);
    }

    /** {@return a tensor of FLOAT64 with the remaining elements of the buffer; without a shape a vector} */
    public static Tensor of(DoubleBuffer values, long... shape) {
        return of(DataType.FLOAT64, values, shape);
    }

    /** {@return a tensor of INT64 with the remaining elements of the buffer; without a shape a vector} */
    public static Tensor of(LongBuffer values, long... shape) {
        return of(DataType.INT64, values, shape);
    }

    /** {@return a tensor of INT32 with the remaining elements of the buffer; without a shape a vector} */
    public static Tensor of(IntBuffer values, long... shape) {
        return of(DataType.INT32, values, shape);
    }

    /** {@return a tensor of INT16 with the remaining elements of the buffer; without a shape a vector} */
    public static Tensor of(ShortBuffer values, long... shape) {
        return of(DataType.INT16, values, shape);
    }

    /**
     * A tensor with the remaining elements of a buffer: a ByteBuffer for any type, or a buffer whose elements are as wide, such
     * as a ShortBuffer for UINT16 or FLOAT16. The order of a ByteBuffer says how its elements lie. If it is little-endian and
     * direct, the tensor is sent without a copy.
     *
     * @param type of the elements, not STRING
     * @param values the elements
     * @param shape without one, the tensor is a vector
     * @return the tensor
     */
    public static Tensor of(DataType type, Buffer values, long... shape) {
        Buffer data = sliceOf(type, values);
        long count = data instanceof ByteBuffer ? data.remaining() / type.bytes() : data.remaining();
        return new Tensor(type, shapeOf(count, shape), data, null);
    }

    /** {@return a tensor of FLOAT16 with the nearest values, which are a copy; without a shape a vector} */
    public static Tensor ofFloat16(float[] values, long... shape) {
        short[] bits = new short[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float16.fromFloat(values[i]);
        }
        return of(DataType.FLOAT16, ShortBuffer.wrap(bits), shape);
    }

    /**
     * A tensor of zeros in direct memory, which is sent without a copy. Fill it through {@link #asFloatBuffer()} or its like, and
     * use it again for further calls: direct memory is slow to get and to give back.
     *
     * @param type of the elements, not STRING
     * @param shape an empty one makes a scalar
     * @return the tensor
     */
    public static Tensor allocate(DataType type, long... shape) {
        long bytes = checkedCount(shape) * requireNumbers(type).bytes();
        if (bytes > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("a tensor of shape " + Arrays.toString(shape) + " and type " + type + " has "
                + bytes + " bytes; a GraphPipe message has at most " + Integer.MAX_VALUE);
        }
        return of(type, ByteBuffer.allocateDirect((int) bytes).order(ByteOrder.LITTLE_ENDIAN), shape).reshape(shape);
    }

    /** {@return a tensor of the same elements with another shape; {@code reshape()} makes a scalar of one element} */
    public Tensor reshape(long... shape) {
        if (checkedCount(shape) != count()) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + " does not fit " + count() + " elements");
        }
        return new Tensor(type, shape.clone(), data, strings);
    }

    /** A tensor of an answer, whose sizes have been checked. */
    static Tensor received(DataType type, long[] shape, ByteBuffer data, byte[][] strings) {
        return new Tensor(type, shape, data, strings);
    }

    // Reading one.

    /** {@return the type of the elements} */
    public DataType type() {
        return type;
    }

    /** {@return the shape, a copy; empty for a scalar} */
    public long[] shape() {
        return shape.clone();
    }

    /** {@return the number of elements} */
    public int count() {
        if (strings != null) {
            return strings.length;
        }
        return data instanceof ByteBuffer ? data.remaining() / type.bytes() : data.remaining();
    }

    /** {@return the elements of a FLOAT32 tensor: a view} */
    public FloatBuffer asFloatBuffer() {
        require("floats", DataType.FLOAT32);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes).asFloatBuffer() : ((FloatBuffer) data).duplicate();
    }

    /** {@return the elements of a FLOAT64 tensor: a view} */
    public DoubleBuffer asDoubleBuffer() {
        require("doubles", DataType.FLOAT64);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes).asDoubleBuffer() : ((DoubleBuffer) data).duplicate();
    }

    /** {@return the elements of an INT64 or UINT64 tensor: a view} */
    public LongBuffer asLongBuffer() {
        require("longs", DataType.INT64, DataType.UINT64);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes).asLongBuffer() : ((LongBuffer) data).duplicate();
    }

    /** {@return the elements of an INT32 or UINT32 tensor: a view. See {@link Integer#toUnsignedLong}} */
    public IntBuffer asIntBuffer() {
        require("ints", DataType.INT32, DataType.UINT32);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes).asIntBuffer() : ((IntBuffer) data).duplicate();
    }

    /** {@return the elements of an INT16, UINT16 or FLOAT16 tensor: a view. See {@link Float16}} */
    public ShortBuffer asShortBuffer() {
        require("shorts", DataType.INT16, DataType.UINT16, DataType.FLOAT16);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes).asShortBuffer() : ((ShortBuffer) data).duplicate();
    }

    /** {@return the bytes of the elements, little-endian: a view, or a copy if the tensor was made of another kind of buffer} */
    public ByteBuffer asByteBuffer() {
        requireNumbers(type);
        return data instanceof ByteBuffer bytes ? littleEndian(bytes) : part().whole();
    }

    /** {@return the elements of a FLOAT32 or FLOAT16 tensor in a new array} */
    public float[] floats() {
        float[] values = new float[require("floats", DataType.FLOAT32, DataType.FLOAT16)];
        if (type == DataType.FLOAT32) {
            asFloatBuffer().get(values);
            return values;
        }
        ShortBuffer bits = asShortBuffer();
        for (int i = 0; i < values.length; i++) {
            values[i] = Float16.toFloat(bits.get(i));
        }
        return values;
    }

    /** {@return the elements of a FLOAT64 tensor in a new array} */
    public double[] doubles() {
        double[] values = new double[require("doubles", DataType.FLOAT64)];
        asDoubleBuffer().get(values);
        return values;
    }

    /** {@return the elements of an INT64 or UINT64 tensor in a new array} */
    public long[] longs() {
        long[] values = new long[require("longs", DataType.INT64, DataType.UINT64)];
        asLongBuffer().get(values);
        return values;
    }

    /** {@return the elements of an INT32 or UINT32 tensor in a new array} */
    public int[] ints() {
        int[] values = new int[require("ints", DataType.INT32, DataType.UINT32)];
        asIntBuffer().get(values);
        return values;
    }

    /** {@return the elements of an INT16, UINT16 or FLOAT16 tensor in a new array} */
    public short[] shorts() {
        short[] values = new short[require("shorts", DataType.INT16, DataType.UINT16, DataType.FLOAT16)];
        asShortBuffer().get(values);
        return values;
    }

    /** {@return the elements of an INT8 or UINT8 tensor in a new array} */
    public byte[] bytes() {
        byte[] values = new byte[require("bytes", DataType.INT8, DataType.UINT8)];
        asByteBuffer().get(values);
        return values;
    }

    /** {@return the strings; bytes that are not UTF-8 are replaced} */
    public List<String> strings() {
        require("strings", DataType.STRING);
        List<String> values = new ArrayList<>(strings.length);
        for (byte[] each : strings) {
            values.add(new String(each, StandardCharsets.UTF_8));
        }
        return Collections.unmodifiableList(values);
    }

    /** {@return the bytes of each string, not a copy} */
    public List<byte[]> byteStrings() {
        require("byteStrings", DataType.STRING);
        return Collections.unmodifiableList(Arrays.asList(strings));
    }

    /** {@return type and shape, such as {@code FLOAT32[2, 3]}} */
    @Override
    public String toString() {
        return type + Arrays.toString(shape);
    }

    // Implementation below.

    /** What is sent of it. Not for strings. */
    Part part() {
        return new Part(data, type.bytes());
    }

    private int require(String what, DataType... types) {
        if (!Arrays.asList(types).contains(type)) {
            throw new IllegalStateException(what + "() is for " + Arrays.toString(types) + ", but the tensor is " + this);
        }
        return count();
    }

    private static DataType requireNumbers(DataType type) {
        if (type == DataType.STRING) {
            throw new IllegalArgumentException("strings are not in a buffer: use of(String[]) or of(byte[][]), and strings()");
        }
        return type;
    }

    private static ByteBuffer littleEndian(ByteBuffer bytes) {
        return bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN); // a duplicate is big-endian at first
    }

    /** The remaining elements, whatever becomes of the position and limit of `values`. */
    private static Buffer sliceOf(DataType type, Buffer values) {
        int width = requireNumbers(type).bytes();
        if (values instanceof ByteBuffer bytes) {
            if (bytes.remaining() % width != 0) {
                throw new IllegalArgumentException(bytes.remaining() + " bytes are no whole number of " + type + " elements");
            }
            ByteBuffer slice = bytes.slice().order(bytes.order());
            if (bytes.order() == ByteOrder.LITTLE_ENDIAN || width == 1) {
                return slice.order(ByteOrder.LITTLE_ENDIAN);
            }
            return switch (type) {
                case FLOAT32 -> slice.asFloatBuffer();
                case FLOAT64 -> slice.asDoubleBuffer();
                case INT64, UINT64 -> slice.asLongBuffer();
                case INT32, UINT32 -> slice.asIntBuffer();
                default -> slice.asShortBuffer();
            };
        }
        Class<?> wanted = switch (type) {
            case FLOAT32 -> FloatBuffer.class;
            case FLOAT64 -> DoubleBuffer.class;
            case INT64, UINT64 -> LongBuffer.class;
            case INT32, UINT32 -> IntBuffer.class;
            case INT16, UINT16, FLOAT16 -> ShortBuffer.class;
            default -> ByteBuffer.class;
        };
        if (!wanted.isInstance(values)) {
            throw new IllegalArgumentException(type + " elements come in a ByteBuffer"
                + (wanted == ByteBuffer.class ? "" : " or " + wanted.getSimpleName()) + ", not in a "
                + values.getClass().getSimpleName());
        }
        return values.slice();
    }

    private static long[] shapeOf(long count, long[] shape) {
        if (shape.length == 0) {
            return new long[] {count};
        }
        if (checkedCount(shape) != count) {
            throw new IllegalArgumentException("shape " + Arrays.toString(shape) + " does not fit " + count + " elements");
        }
        return shape.clone();
    }

    private static long checkedCount(long[] shape) {
        long count = shape.length > RANK_MAX ? -1 : countOf(shape);
        if (count < 0 || count > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("a tensor cannot have the shape " + Arrays.toString(shape));
        }
        return count;
    }

    /** The product, -1 for a negative size, Long.MAX_VALUE for what is more than that. */
    static long countOf(long[] shape) {
        long count = 1;
        boolean hasZero = false;
        for (long size : shape) {
            if (size < 0) {
                return -1;
            }
            hasZero |= size == 0;
            count = size != 0 && count > Long.MAX_VALUE / size ? Long.MAX_VALUE : count * Math.max(size, 1);
        }
        return hasZero ? 0 : count;
    }
}
