// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Answers of a server, built from the end to the front as the flatbuffers packages do: other bytes than the client would write.
 * Places are counted from the end.
 */
final class FlatBuilder {
    private byte[] bytes = new byte[1 << 12];
    private int used;

    static byte[] inferResponse(Tensor... tensors) {
        FlatBuilder out = new FlatBuilder();
        List<Integer> tables = new ArrayList<>();
        for (Tensor each : tensors) {
            tables.add(out.tensor(each));
        }
        return out.finish(out.table(out.offsets(tables)));
    }

    static byte[] error(long code, String text) {
        FlatBuilder out = new FlatBuilder();
        int error = out.table(code, out.string(text.getBytes(StandardCharsets.UTF_8)));
        return out.finish(out.table(null, out.offsets(List.of(error))));
    }

    /** One input and the outputs, all FLOAT32 of any size. */
    static byte[] metadata(String... outputs) {
        FlatBuilder out = new FlatBuilder();
        List<Integer> tables = new ArrayList<>();
        for (String each : outputs) {
            tables.add(out.ioMetadata(each));
        }
        int inputs = out.offsets(List.of(out.ioMetadata("x")));
        int outputTables = out.offsets(tables);
        return out.finish(out.table(out.string("m".getBytes()), null, out.string("s".getBytes()), null, inputs, outputTables));
    }

    private int ioMetadata(String name) {
        return table(string(name.getBytes(StandardCharsets.UTF_8)), null, longs(-1), (byte) 10);
    }

    private int tensor(Tensor tensor) {
        int shape = longs(tensor.shape());
        if (tensor.type() == DataType.STRING) {
            List<Integer> strings = new ArrayList<>();
            for (byte[] each : tensor.byteStrings()) {
                strings.add(string(each));
            }
            return table((byte) 12, shape, null, offsets(strings));
        }
        ByteBuffer data = tensor.asByteBuffer();
        byte[] elements = new byte[data.remaining()];
        data.get(elements);
        align(4, elements.length);
        put(elements);
        putInt(elements.length);
        return table((byte) (tensor.type().ordinal() + 1), shape, used, null);
    }

    private int longs(long... values) {
        align(4, 8 * values.length);
        for (int i = values.length - 1; i >= 0; i--) {
            put(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(values[i]).array());
        }
        putInt(values.length);
        return used;
    }

    private int string(byte[] value) {
        align(4, value.length + 1);
        put((byte) 0);
        put(value);
        putInt(value.length);
        return used;
    }

    private int offsets(List<Integer> places) {
        align(4, 0);
        for (int i = places.size() - 1; i >= 0; i--) {
            putInt(used + 4 - places.get(i));
        }
        putInt(places.size());
        return used;
    }

    /** Integer: an offset to that place. Byte, Long: the number. null: absent. */
    private int table(Object... fields) {
        int end = used;
        int[] places = new int[fields.length];
        for (int i = 0; i < fields.length; i++) {
            if (fields[i] instanceof Integer place) {
                align(4, 0);
                putInt(used + 4 - place);
            } else if (fields[i] instanceof Long number) {
                put(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(number).array());
            } else if (fields[i] instanceof Byte number) {
                put(number);
            }
            places[i] = fields[i] == null ? 0 : used;
        }
        align(4, 0);
        int vtable = 4 + 2 * fields.length;
        putInt(vtable);
        int table = used;
        for (int i = fields.length - 1; i >= 0; i--) {
            putShort(places[i] == 0 ? 0 : table - places[i]);
        }
        putShort(table - end);
        putShort(vtable);
        return table;
    }

    private byte[] finish(int root) {
        align(4, 4);
        putInt(used + 4 - root);
        return Arrays.copyOfRange(bytes, bytes.length - used, bytes.length);
    }

    private void align(int alignment, int before) {
        while ((used + before) % alignment != 0) {
            put((byte) 0);
        }
    }

    private void putShort(int value) {
        put((byte) value, (byte) (value >> 8));
    }

    private void putInt(int value) {
        put((byte) value, (byte) (value >> 8), (byte) (value >> 16), (byte) (value >> 24));
    }

    private void put(byte... values) {
        if (used + values.length > bytes.length) {
            byte[] larger = new byte[2 * (used + values.length)];
            System.arraycopy(bytes, bytes.length - used, larger, larger.length - used, used);
            bytes = larger;
        }
        used += values.length;
        System.arraycopy(values, 0, bytes, bytes.length - used, values.length);
    }
}
