// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.Function;

/**
 * Reads an answer in place: tensors of numbers are views of the received bytes. Each offset and count is checked before it is
 * used, and nothing is allocated for a count that is not there. Every fault is a {@link ProtocolException}. One thread.
 */
final class MessageReader {
    private static final int TABLE_BYTES = 64; // what an object for a table takes, at least
    private static final int STRING_BYTES = 16;
    private static final long BYTES_LEAST = 64 << 20;
    private static final int GROWTH_MAX = 16;

    private final ByteBuffer message;
    private final int size;
    /** Memory that may still be taken: many offsets may lead to the same bytes. */
    private long bytesLeft;

    private MessageReader(ByteBuffer message, long bytesMax) {
        this.message = message.slice().order(ByteOrder.LITTLE_ENDIAN);
        this.size = message.remaining();
        this.bytesLeft = Math.min(bytesMax, BYTES_LEAST + (long) GROWTH_MAX * size);
    }

    /** The outputs. An error within the message is thrown as the ServerException that it stands for. */
    static List<Tensor> inferResponse(ByteBuffer message, long bytesMax) {
        MessageReader reader = new MessageReader(message, bytesMax);
        Table response = reader.root();
        List<Table> errors = reader.tables(response.field(1));
        if (!errors.isEmpty()) {
            long at = errors.get(0).field(0);
            long code = at == 0 ? 0 : reader.readLong(at);
            throw ServerException.of((int) Math.max(Math.min(code, Integer.MAX_VALUE), Integer.MIN_VALUE),
                reader.text(errors.get(0).field(1)), null);
        }
        return reader.each(response.field(0), reader::tensor);
    }

    static ModelMetadata metadataResponse(ByteBuffer message, long bytesMax) {
        MessageReader reader = new MessageReader(message, bytesMax);
        Table table = reader.root();
        return new ModelMetadata(reader.text(table.field(0)), reader.text(table.field(1)), reader.text(table.field(2)),
            reader.text(table.field(3)), reader.each(table.field(4), reader::ioMetadata),
            reader.each(table.field(5), reader::ioMetadata));
    }

    // Implementation below. Positions are long, so they do not overflow; 0 stands for an absent field.

    private final class Table {
        private final long at;
        private final long vtable;
        private final int vtableSize;

        Table(long at) {
            this.at = at;
            vtable = at - readInt(at);
            vtableSize = readShort(vtable);
        }

        /** Where the field is. */
        long field(int index) {
            int place = 4 + 2 * index;
            if (place + 2 > vtableSize) {
                return 0;
            }
            int offset = readShort(vtable + place);
            return offset == 0 ? 0 : at + offset;
        }
    }

    private record Vector(long start, int count) {}

    private Table root() {
        long start = follow(0);
        if (start == 0) { // as in a message of zeros
            throw malformed("it has no root");
        }
        return new Table(start);
    }

    private Tensor tensor(Table table) {
        int number = readType(table.field(0));
        long[] shape = readShape(table.field(1));
        long count = Tensor.countOf(shape);
        if (count < 0) {
            throw malformed("an output has the shape " + Arrays.toString(shape) + ", which is none");
        }
        DataType type = DataType.ofNumber(number);
        if (type == null) {
            throw malformed("an output has elements of type " + number + ", which GraphPipe does not have");
        }
        boolean isStrings = type == DataType.STRING;
        Vector found = vector(table.field(isStrings ? 3 : 2), isStrings ? 4 : 1);
        if (isStrings ? found.count != count : count > size || found.count != count * type.bytes()) {
            throw malformed("an output of shape " + Arrays.toString(shape) + " and type " + type + " has " + found.count
                + (isStrings ? " strings" : " bytes"));
        }
        if (isStrings) {
            return Tensor.received(type, shape, null, strings(found));
        }
        ByteBuffer data = message.slice((int) found.start, found.count).order(ByteOrder.LITTLE_ENDIAN);
        return Tensor.received(type, shape, data, null);
    }

    private byte[][] strings(Vector places) {
        take((long) STRING_BYTES * places.count);
        byte[][] strings = new byte[places.count][];
        for (int i = 0; i < strings.length; i++) {
            strings[i] = bytes(places.start + 4L * i);
        }
        return strings;
    }

    private IOMetadata ioMetadata(Table table) {
        List<OptionalLong> shape = new ArrayList<>();
        for (long each : readShape(table.field(2))) {
            shape.add(each < 0 ? OptionalLong.empty() : OptionalLong.of(each));
        }
        return new IOMetadata(text(table.field(0)), text(table.field(1)), Collections.unmodifiableList(shape),
            DataType.ofNumber(readType(table.field(3))));
    }

    private List<Table> tables(long field) {
        return each(field, table -> table);
    }

    private <T> List<T> each(long field, Function<Table, T> read) {
        Vector places = vector(field, 4);
        take((long) TABLE_BYTES * places.count);
        List<T> values = new ArrayList<>(places.count);
        for (int i = 0; i < places.count; i++) {
            values.add(read.apply(new Table(follow(places.start + 4L * i))));
        }
        return Collections.unmodifiableList(values);
    }

    private Vector vector(long field, int width) {
        if (field == 0) {
            return new Vector(0, 0);
        }
        long start = follow(field);
        long count = Integer.toUnsignedLong(readInt(start));
        if (start + 4 + count * width > size) {
            throw malformed("a list of " + count + " elements is longer than the message (byte " + start + " of " + size + ")");
        }
        return new Vector(start + 4, (int) count);
    }

    private long[] readShape(long field) {
        Vector found = vector(field, 8);
        if (found.count > Tensor.RANK_MAX) {
            throw malformed("a shape has " + found.count + " dimensions");
        }
        take(8L * found.count);
        long[] shape = new long[found.count];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = readLong(found.start + 8L * i);
        }
        return shape;
    }

    private String text(long field) {
        return new String(field == 0 ? new byte[0] : bytes(field), StandardCharsets.UTF_8);
    }

    private byte[] bytes(long field) {
        Vector found = vector(field, 1);
        take(found.count);
        byte[] bytes = new byte[found.count];
        message.get((int) found.start, bytes);
        return bytes;
    }

    private int readType(long field) {
        return field == 0 ? 0 : message.get(checked(field, 1)) & 0xff;
    }

    private long follow(long at) {
        return at + Integer.toUnsignedLong(readInt(at));
    }

    private int readShort(long at) {
        return message.getShort(checked(at, 2)) & 0xffff;
    }

    private int readInt(long at) {
        return message.getInt(checked(at, 4));
    }

    private long readLong(long at) {
        return message.getLong(checked(at, 8));
    }

    private int checked(long at, int width) {
        if (at < 0 || at + width > size) {
            throw malformed("an offset leads " + (at < 0 ? "before the start" : "behind the end") + " (byte " + at + " of "
                + size + ")");
        }
        return (int) at;
    }

    private void take(long bytes) {
        bytesLeft -= bytes;
        if (bytesLeft < 0) {
            throw malformed("its strings and tables take more memory than a message of " + size + " bytes, or answerBytesMax, "
                + "allows");
        }
    }

    private static ProtocolException malformed(String why) {
        return new ProtocolException("the message is malformed: " + why, null);
    }
}
