// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** The element types of GraphPipe. The server takes {@link #UINT8} for bool, and {@link #FLOAT32} for bfloat16. */
public enum DataType {
    UINT8(1), INT8(1), UINT16(2), INT16(2), UINT32(4), INT32(4), UINT64(8), INT64(8), FLOAT16(2), FLOAT32(4), FLOAT64(8),
    STRING(0);

    private static final DataType[] VALUES = values();

    private final int bytes;

    DataType(int bytes) {
        this.bytes = bytes;
    }

    /** {@return the bytes of one element; 0 for strings, which have any length} */
    public int bytes() {
        return bytes;
    }

    /** The number in a message; 0 stands for no type. */
    int number() {
        return ordinal() + 1;
    }

    /** null for a number that GraphPipe does not have. */
    static DataType ofNumber(int number) {
        return number >= 1 && number <= VALUES.length ? VALUES[number - 1] : null;
    }
}
