// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;

/**
 * A request as one flatbuffer. It has few tables, so this is done by hand: flatbuffers' builder copies each tensor into a block
 * of its own. A request is a short head and the tensors' own memory:
 *
 * <pre>
 * root offset | vtables | Request | InferRequest | config | names | list of tensors | Tensor tables |
 * shapes, strings and small tensors | padding, length, elements of each large tensor
 * </pre>
 *
 * Immutable.
 */
final class Message {
    /** Offsets of flatbuffers have 31 usable bits. */
    static final long BYTES_MAX = Integer.MAX_VALUE;

    static final Message METADATA_REQUEST = new Message(List.of(Part.ofBytes(ByteBuffer.wrap(
        HexFormat.of().parseHex("0c00000008000c000b000400080000000c000000000000020400040004000000")))));

    /** Smaller tensors are copied into the head: a copy costs less than one more write to the socket. */
    private static final int COPIED_BYTES_MAX = 2048;
    private static final int ALIGNMENT = 64;

    private static final int REQUEST_VTABLE = 4;
    private static final int INFER_VTABLE = 12;
    private static final int NUMBERS_VTABLE = 24;
    private static final int STRINGS_VTABLE = 34;
    private static final int REQUEST = 48;
    private static final int INFER = 60;
    private static final int TENSOR_BYTES = 16;
    private static final byte[] PREFIX = prefix();

    private final List<Part> parts;
    private final long size;

    private Message(List<Part> parts) {
        this.parts = List.copyOf(parts);
        this.size = parts.stream().mapToLong(Part::size).sum();
    }

    List<Part> parts() {
        return parts;
    }

    long size() {
        return size;
    }

    static Message inferRequest(List<Tensor> tensors, List<String> inputNames, List<String> outputNames, String config) {
        return inferRequest(tensors, inputNames, outputNames, config, BYTES_MAX);
    }

    /** `bytesMax`: for tests. */
    static Message inferRequest(List<Tensor> tensors, List<String> inputNames, List<String> outputNames, String config,
                                long bytesMax) {
        Head head = new Head(bytesMax);
        head.put(PREFIX);
        head.point(INFER + 4, head.size());
        head.putString(utf8(config));
        head.point(INFER + 8, head.size());
        head.putStrings(inputNames.stream().map(Message::utf8).toList());
        head.point(INFER + 16, head.size());
        head.putStrings(outputNames.stream().map(Message::utf8).toList());
        head.point(INFER + 12, head.size());
        head.putInt(tensors.size());
        int tables = head.size() + 4 * tensors.size();
        for (int i = 0; i < tensors.size(); i++) {
            head.putInt(tables + TENSOR_BYTES * i - head.size());
        }
        head.putZeros((long) TENSOR_BYTES * tensors.size());
        List<Large> large = new ArrayList<>();
        for (int i = 0; i < tensors.size(); i++) {
            putTensor(head, tables + TENSOR_BYTES * i, tensors.get(i), large);
        }
        return gather(head, large, bytesMax);
    }

    // Implementation below.

    /** A tensor that is not copied into the head, and the place of its table. */
    private record Large(int table, Part part) {}

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Root offset, vtables, Request (its vtable, the InferRequest, the kind), and a table of InferRequest without offsets. */
    private static byte[] prefix() {
        ByteBuffer out = ByteBuffer.allocate(INFER + 20).order(ByteOrder.LITTLE_ENDIAN);
        out.putInt(REQUEST);
        // A vtable has its own size, the size of its table, and for each field its place in the table (0: absent).
        putShorts(out, 8, 12, 8, 4); // Request
        putShorts(out, 12, 20, 4, 8, 12, 16); // InferRequest
        putShorts(out, 10, 16, 12, 4, 8); // Tensor of numbers
        putShorts(out, 12, 16, 12, 4, 0, 8, 0); // Tensor of strings, and padding
        out.putInt(REQUEST - REQUEST_VTABLE).putInt(INFER - (REQUEST + 4)).putInt(1);
        out.putInt(INFER - INFER_VTABLE);
        return out.array();
    }

    private static void putShorts(ByteBuffer out, int... values) {
        for (int value : values) {
            out.putShort((short) value);
        }
    }

    private static void putTensor(Head head, int table, Tensor tensor, List<Large> large) {
        boolean isStrings = tensor.type() == DataType.STRING;
        int shape = head.align(4, 8);
        long[] sizes = tensor.shape();
        head.putInt(sizes.length);
        for (long each : sizes) {
            head.putLong(each);
        }
        int elements = 0;
        if (isStrings) {
            elements = head.size();
            head.putStrings(tensor.byteStrings());
        } else {
            Part part = tensor.part();
            if (part.size() <= COPIED_BYTES_MAX) {
                elements = head.align(4, 8);
                head.putInt((int) part.size());
                head.put(part.whole());
                head.align(0, 4);
            } else {
                large.add(new Large(table, part));
            }
        }
        head.setInt(table, table - (isStrings ? STRINGS_VTABLE : NUMBERS_VTABLE));
        head.point(table + 4, shape);
        head.setInt(table + 8, elements == 0 ? 0 : elements - (table + 8));
        head.setInt(table + 12, tensor.type().number());
    }

    /**
     * The head, and the elements of the large tensors. The largest comes first: then the server receives it where the model can
     * use it.
     */
    private static Message gather(Head head, List<Large> large, long bytesMax) {
        large.sort(Comparator.comparingLong((Large each) -> each.part.size()).reversed());
        List<Part> parts = new ArrayList<>();
        long end = head.size();
        for (Large each : large) {
            int pad = (int) (-(end + 4) & ALIGNMENT - 1);
            long length = end + pad;
            end = length + 4 + each.part.size();
            if (end > bytesMax) {
                continue; // the sum of all is told below
            }
            head.setInt(each.table + 8, (int) (length - (each.table + 8)));
            if (parts.isEmpty()) {
                head.putZeros(pad);
                head.putInt((int) each.part.size());
            } else {
                parts.add(Part.ofBytes(ByteBuffer.allocate(pad + 4).order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(pad, (int) each.part.size())));
            }
            parts.add(each.part);
        }
        if (end > bytesMax) {
            throw tooLarge(end, bytesMax);
        }
        parts.add(0, Part.ofBytes(head.bytes()));
        return new Message(parts);
    }

    private static IllegalArgumentException tooLarge(long size, long bytesMax) {
        return new IllegalArgumentException("the request has " + size + " bytes; a GraphPipe message has at most " + bytesMax
            + ": send fewer rows");
    }

    /** Bytes that grow at their end. One thread at a time. */
    private static final class Head {
        private final long bytesMax;
        private ByteBuffer out = ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN);

        Head(long bytesMax) {
            this.bytesMax = bytesMax;
        }

        int size() {
            return out.position();
        }

        ByteBuffer bytes() {
            return out.flip();
        }

        void put(byte[] bytes) {
            room(bytes.length).put(bytes);
        }

        void put(ByteBuffer bytes) {
            room(bytes.remaining()).put(bytes);
        }

        void putInt(int value) {
            room(4).putInt(value);
        }

        void putLong(long value) {
            room(8).putLong(value);
        }

        void putZeros(long count) {
            room(count).position(out.position() + (int) count); // of a new block
        }

        void setInt(int at, int value) {
            out.putInt(at, value);
        }

        /** Lets the offset at `at` lead to `target`. */
        void point(int at, int target) {
            out.putInt(at, target - at);
        }

        /** Adds zeros until the end and `before` bytes more are aligned; the new end. */
        int align(int before, int alignment) {
            putZeros(-(out.position() + before) & alignment - 1);
            return out.position();
        }

        void putString(byte[] value) {
            putInt(value.length);
            put(value);
            putZeros(4 - value.length % 4); // at least one: a zero that no count includes
        }

        void putStrings(List<byte[]> values) {
            putInt(values.size());
            long offsets = out.position();
            putZeros(4L * values.size());
            for (int i = 0; i < values.size(); i++) {
                point((int) offsets + 4 * i, out.position());
                putString(values.get(i));
            }
        }

        private ByteBuffer room(long count) {
            if (count > out.remaining()) {
                long size = out.position() + count;
                if (size > bytesMax) {
                    throw tooLarge(size, bytesMax);
                }
                int capacity = (int) Math.min(Math.max(2L * out.capacity(), size), BYTES_MAX - 8); // arrays end a bit before
                out = ByteBuffer.allocate(Math.max(capacity, (int) size)).order(ByteOrder.LITTLE_ENDIAN).put(out.flip());
            }
            return out;
        }
    }
}
