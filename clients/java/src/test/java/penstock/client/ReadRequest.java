// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/**
 * A request as a server reads it, by the rules of flatbuffers alone.
 *
 * @param largest where the elements of the largest tensor begin
 */
record ReadRequest(String config, List<String> inputNames, List<Tensor> tensors, List<String> outputNames, int largest) {

    static ReadRequest of(byte[] message) {
        ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        int request = follow(in, 0);
        if (in.get(field(in, request, 0)) != 1) {
            throw new AssertionError("not an InferRequest");
        }
        int infer = follow(in, field(in, request, 1));
        int[] largest = {0, -1};
        List<Tensor> tensors = each(in, field(in, infer, 2), at -> tensor(in, follow(in, at), largest));
        return new ReadRequest(text(in, field(in, infer, 0)), each(in, field(in, infer, 1), at -> text(in, at)), tensors,
            each(in, field(in, infer, 3), at -> text(in, at)), largest[0]);
    }

    private static Tensor tensor(ByteBuffer in, int table, int[] largest) {
        DataType type = DataType.values()[in.get(field(in, table, 0)) - 1];
        long[] shape = each(in, field(in, table, 1), 8, in::getLong).stream().mapToLong(each -> each).toArray();
        if (type == DataType.STRING) {
            return Tensor.of(each(in, field(in, table, 3), at -> bytes(in, at)).toArray(new byte[0][]), shape).reshape(shape);
        }
        byte[] data = bytes(in, field(in, table, 2));
        if (data.length > largest[1]) {
            largest[0] = follow(in, field(in, table, 2)) + 4;
            largest[1] = data.length;
        }
        return Tensor.of(type, ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN), shape.length == 0 ? new long[] {1} : shape)
            .reshape(shape);
    }

    private static int follow(ByteBuffer in, int at) {
        return at + in.getInt(at);
    }

    private static int field(ByteBuffer in, int table, int index) {
        int vtable = table - in.getInt(table);
        return table + in.getShort(vtable + 4 + 2 * index);
    }

    private static <T> List<T> each(ByteBuffer in, int at, IntFunction<T> read) {
        return each(in, at, 4, read);
    }

    private static <T> List<T> each(ByteBuffer in, int at, int width, IntFunction<T> read) {
        int start = follow(in, at);
        List<T> values = new ArrayList<>();
        for (int i = 0; i < in.getInt(start); i++) {
            values.add(read.apply(start + 4 + width * i));
        }
        return values;
    }

    private static byte[] bytes(ByteBuffer in, int at) {
        int start = follow(in, at);
        byte[] bytes = new byte[in.getInt(start)];
        in.get(start + 4, bytes);
        return bytes;
    }

    private static String text(ByteBuffer in, int at) {
        return new String(bytes(in, at), StandardCharsets.UTF_8);
    }
}
