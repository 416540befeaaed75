// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Messages: what is written is read by rules that are not the client's, and damaged ones are refused. */
class MessageTest {
    private static final long[][] SHAPES = {{}, {0, 3}, {1}, {7}, {2, 3, 4}, {40, 50}};

    static List<Tensor> tensorsOfEveryType() {
        Random random = new Random(1);
        List<Tensor> tensors = new ArrayList<>();
        for (long[] shape : SHAPES) {
            for (DataType type : DataType.values()) {
                Tensor tensor;
                if (type == DataType.STRING) {
                    byte[][] strings = new byte[(int) Tensor.countOf(shape)][];
                    for (int i = 0; i < strings.length; i++) {
                        strings[i] = new byte[i % 6];
                        random.nextBytes(strings[i]);
                    }
                    tensor = Tensor.of(strings).reshape(shape);
                } else {
                    byte[] bytes = new byte[(int) Tensor.countOf(shape) * type.bytes()];
                    random.nextBytes(bytes);
                    tensor = Tensor.of(type, ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)).reshape(shape);
                }
                tensors.add(tensor);
            }
        }
        return tensors;
    }

    static byte[] joined(Message message) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        new RequestBody.Pieces(message.parts()).forEachRemaining(piece -> {
            byte[] bytes = new byte[piece.remaining()];
            piece.get(bytes);
            out.writeBytes(bytes);
        });
        assertEquals(message.size(), out.size());
        return out.toByteArray();
    }

    static byte[] request(Tensor... tensors) {
        return joined(Message.inferRequest(List.of(tensors), List.of(), List.of(), ""));
    }

    static void assertEqual(Tensor expected, Tensor got) {
        assertEquals(expected.type(), got.type());
        assertArrayEquals(expected.shape(), got.shape());
        if (expected.type() == DataType.STRING) {
            assertArrayEquals(expected.byteStrings().toArray(), got.byteStrings().toArray());
        } else {
            assertEquals(expected.asByteBuffer(), got.asByteBuffer());
        }
    }

    static void assertEqual(List<Tensor> expected, List<Tensor> got) {
        assertEquals(expected.size(), got.size());
        for (int i = 0; i < got.size(); i++) {
            assertEqual(expected.get(i), got.get(i));
        }
    }

    private static List<Tensor> read(byte[] answer) {
        return MessageReader.inferResponse(ByteBuffer.wrap(answer), Integer.MAX_VALUE);
    }

    @Test
    void requestsAreReadByTheRulesOfFlatbuffers() {
        List<Tensor> tensors = tensorsOfEveryType();
        List<String> names = tensors.stream().map(each -> "input " + each).toList();
        ReadRequest request =
            ReadRequest.of(joined(Message.inferRequest(tensors, names, List.of("y", "ü"), "{\"a\": 1}")));
        assertEquals("{\"a\": 1}", request.config());
        assertEquals(names, request.inputNames());
        assertEquals(List.of("y", "ü"), request.outputNames());
        assertEqual(tensors, request.tensors());
    }

    @Test
    void answersOfABuilderAreRead() {
        List<Tensor> tensors = tensorsOfEveryType();
        assertEqual(tensors, read(FlatBuilder.inferResponse(tensors.toArray(new Tensor[0]))));
    }

    @Test
    void arraysAndBuffersBecomeTensors() {
        float[] floats = {1, 2.5f, -3, 4, 5, 6};
        ByteBuffer big = ByteBuffer.allocate(24).order(ByteOrder.BIG_ENDIAN);
        big.asFloatBuffer().put(floats);
        ByteBuffer little = ByteBuffer.allocateDirect(28).order(ByteOrder.LITTLE_ENDIAN).position(4);
        little.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(floats);
        FloatBuffer middle = FloatBuffer.wrap(new float[] {9, 1, 2.5f, -3, 4, 5, 6, 9}, 1, 6);
        Tensor allocated = Tensor.allocate(DataType.FLOAT32, 2, 3);
        allocated.asFloatBuffer().put(floats);
        for (Tensor each : List.of(Tensor.of(floats, 2, 3), Tensor.of(middle, 2, 3), Tensor.of(big.asFloatBuffer(), 2, 3),
                Tensor.of(DataType.FLOAT32, big, 2, 3), Tensor.of(DataType.FLOAT32, little, 2, 3), allocated,
                Tensor.of(floats).reshape(2, 3))) {
            Tensor read = ReadRequest.of(request(each)).tensors().get(0);
            assertEquals("FLOAT32[2, 3]", read.toString());
            for (Tensor tensor : List.of(each, read)) {
                assertArrayEquals(floats, tensor.floats());
                assertEquals(FloatBuffer.wrap(floats), tensor.asFloatBuffer());
            }
        }
        assertEquals(4, little.position(), "the caller's buffer stays as it is");
        assertArrayEquals(new double[] {1, 2}, Tensor.of(new double[] {1, 2}).doubles());
        assertArrayEquals(new long[] {1, 1L << 40}, Tensor.of(new long[] {1, 1L << 40}).longs());
        assertArrayEquals(new int[] {1, -2}, Tensor.of(new int[] {1, -2}).ints());
        assertArrayEquals(new short[] {1, -2}, Tensor.of(new short[] {1, -2}).shorts());
        assertArrayEquals(new byte[] {1, -2}, Tensor.of(new byte[] {1, -2}).bytes());
        assertEquals(DataType.UINT8, Tensor.of(new boolean[] {true, false}).type());
        assertArrayEquals(new byte[] {1, 0}, Tensor.of(new boolean[] {true, false}).bytes());
        assertEquals(List.of("a", "ü"), Tensor.of(new String[] {"a", "ü"}).strings());
        assertEquals("UINT32[2]", Tensor.of(DataType.UINT32, IntBuffer.wrap(new int[] {-1, 1})).toString());
        assertArrayEquals(new float[] {1.5f, -0.25f}, Tensor.ofFloat16(new float[] {1.5f, -0.25f}).floats());
        assertEquals("FLOAT64[]", Tensor.allocate(DataType.FLOAT64).toString());
    }

    @Test
    void largeTensorsAreNotCopied() {
        Tensor direct = Tensor.allocate(DataType.FLOAT32, 300, 100);
        byte[] bytes = new byte[10000];
        Message message = Message.inferRequest(List.of(Tensor.of(bytes), direct), List.of(), List.of(), "");
        RequestBody.Pieces pieces = new RequestBody.Pieces(message.parts());
        assertEquals(0, pieces.next().remaining() % 64, "the elements begin at a multiple of 64");
        ByteBuffer first = pieces.next();
        assertEquals(120000, first.remaining(), "the largest comes first, in one piece");
        direct.asFloatBuffer().put(5, 1.5f);
        assertEquals(1.5f, first.getFloat(20));
        pieces.next();
        assertSame(bytes, pieces.next().array());
        byte[] answer = FlatBuilder.inferResponse(direct);
        Tensor read = read(answer).get(0);
        read.asFloatBuffer().put(0, 7);
        assertSame(answer, read.asByteBuffer().array());
        assertEquals(7, read(answer).get(0).asFloatBuffer().get(0));
    }

    @Test
    void theLargestTensorLiesWhereTheServerCanUseIt() {
        ReadRequest request =
            ReadRequest.of(request(Tensor.of(new float[700]), Tensor.of(new double[1000]), Tensor.of(new float[600])));
        assertEquals(0, request.largest() % 64);
        assertTrue(request.largest() < 4096);
    }

    @Test
    void piecesOfLongTensorsJoin() {
        Random random = new Random(1);
        float[] floats = new float[3 * RequestBody.PIECE_BYTES / 4 + 5];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = random.nextFloat();
        }
        for (DataType type : List.of(DataType.FLOAT32, DataType.INT8)) {
            Tensor tensor = type == DataType.FLOAT32 ? Tensor.of(floats) : Tensor.of(new byte[200001]);
            assertEqual(tensor, ReadRequest.of(request(tensor)).tensors().get(0));
        }
        double[] doubles = {1, 2, 3};
        long[] longs = new long[50000];
        longs[49999] = 7;
        short[] shorts = new short[50000];
        shorts[49999] = 7;
        int[] ints = new int[50000];
        ints[49999] = 7;
        double[] many = new double[50000];
        many[49999] = 7;
        List<Tensor> all = List.of(Tensor.of(doubles), Tensor.of(longs), Tensor.of(shorts), Tensor.of(ints), Tensor.of(many));
        assertEqual(all, ReadRequest.of(request(all.toArray(new Tensor[0]))).tensors());
    }

    @Test
    void wrongArgumentsAreRefused() {
        assertMessage("shape [2, 2] does not fit 3 elements", () -> Tensor.of(new float[3], 2, 2));
        assertMessage("shape [2] does not fit 3 elements", () -> Tensor.of(new float[3]).reshape(2));
        assertMessage("cannot have the shape [-1, 3]", () -> Tensor.of(new float[3], -1, 3));
        assertMessage("cannot have the shape", () -> Tensor.allocate(DataType.INT8, 1L << 32, 1L << 32));
        assertMessage("at most 2147483647", () -> Tensor.allocate(DataType.INT64, 1L << 30));
        assertMessage("FLOAT16 elements come in a ByteBuffer or ShortBuffer, not in a HeapFloatBuffer",
            () -> Tensor.of(DataType.FLOAT16, FloatBuffer.wrap(new float[1])));
        assertMessage("UINT8 elements come in a ByteBuffer, not in", () -> Tensor.of(DataType.UINT8, ShortBuffer.allocate(1)));
        assertMessage("3 bytes are no whole number of INT16", () -> Tensor.of(DataType.INT16, ByteBuffer.allocate(3)));
        assertMessage("strings are not in a buffer", () -> Tensor.of(DataType.STRING, ByteBuffer.allocate(4)));
        assertThrows(NullPointerException.class, () -> Tensor.of(new byte[][] {null}));
        IllegalStateException wrong = assertThrows(IllegalStateException.class, () -> Tensor.of(new int[2]).floats());
        assertEquals("floats() is for [FLOAT32, FLOAT16], but the tensor is INT32[2]", wrong.getMessage());
    }

    private static void assertMessage(String part, org.junit.jupiter.api.function.Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }

    @Test
    void messagesHaveAtMost2GiB() {
        Message.inferRequest(List.of(Tensor.of(new byte[9000])), List.of(), List.of(), "", 10000);
        Tensor half = Tensor.of(new byte[5000]);
        List<Tensor> small = new ArrayList<>(java.util.Collections.nCopies(10, Tensor.of(new byte[1000])));
        for (List<Tensor> each : List.of(List.of(Tensor.of(new byte[10000])), List.of(half, half), small,
                List.of(Tensor.of(new String[] {"x".repeat(10000)})))) {
            assertMessage("at most 10000: send fewer rows", () -> Message.inferRequest(each, List.of(), List.of(), "", 10000));
        }
        Tensor large = Tensor.of(DataType.FLOAT32, FloatBuffer.allocate(20 << 20));
        List<Tensor> many = java.util.Collections.nCopies(30, large);
        assertMessage("a GraphPipe message has at most 2147483647", () -> Message.inferRequest(many, List.of(), List.of(), ""));
    }

    @Test
    void metadataIsRead() {
        ModelMetadata metadata = MessageReader.metadataResponse(ByteBuffer.wrap(FlatBuilder.metadata("y", "z")), 1 << 20);
        assertEquals("m", metadata.name());
        assertEquals("", metadata.version());
        assertEquals(List.of(new IOMetadata("x", "", List.of(OptionalLong.empty()), DataType.FLOAT32)), metadata.inputs());
        assertEquals(List.of("y", "z"), metadata.outputs().stream().map(IOMetadata::name).toList());
        assertEquals(32, Message.METADATA_REQUEST.size());
    }

    @Test
    void errorsWithinAMessageAreThrown() {
        ServerException.BadRequest error =
            assertThrows(ServerException.BadRequest.class, () -> read(FlatBuilder.error(400, "no input q")));
        assertEquals("no input q", error.text());
        assertEquals(Integer.MAX_VALUE,
            assertThrows(ServerException.class, () -> read(FlatBuilder.error(1L << 40, "x"))).status());
    }

    /** Every fault is a PenstockException: never another exception, and never much memory. */
    @Test
    void damagedMessagesAreRefused() {
        byte[] answer = FlatBuilder.inferResponse(Tensor.of(new float[6], 2, 3), Tensor.of(new String[] {"a", "bcd"}),
            Tensor.of(new double[] {1}));
        byte[] metadata = FlatBuilder.metadata("y", "z");
        int refused = 0;
        int tried = 0;
        Random random = new Random(1);
        for (byte[] good : List.of(answer, metadata)) {
            List<byte[]> damaged = new ArrayList<>();
            for (int size = 0; size < good.length; size++) {
                damaged.add(Arrays.copyOf(good, size));
                damaged.add(new byte[size]);
                for (int value : new int[] {0, 1, 0x7f, 0x80, 0xff, random.nextInt(256)}) {
                    byte[] each = good.clone();
                    each[size] = (byte) value;
                    damaged.add(each);
                }
                if (size + 4 <= good.length) {
                    for (int value : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, good.length, 1 << 20}) {
                        byte[] each = good.clone();
                        ByteBuffer.wrap(each).order(ByteOrder.LITTLE_ENDIAN).putInt(size, value);
                        damaged.add(each);
                    }
                }
            }
            for (int i = 0; i < 20000; i++) {
                byte[] each = good.clone();
                for (int changes = 1 + random.nextInt(4); changes > 0; changes--) {
                    each[random.nextInt(each.length)] = (byte) random.nextInt(256);
                }
                damaged.add(each);
            }
            for (byte[] each : damaged) {
                tried += 2;
                refused += isRefused(() -> read(each)) ? 1 : 0;
                refused += isRefused(() -> MessageReader.metadataResponse(ByteBuffer.wrap(each), 1 << 20)) ? 1 : 0;
            }
        }
        assertTrue(refused > tried / 4 && refused < tried, refused + " of " + tried);
    }

    private static boolean isRefused(Runnable read) {
        try {
            read.run();
            return false;
        } catch (PenstockException error) {
            return true;
        }
    }

    @Test
    void stringsAreBounded() {
        byte[][] strings = new byte[10][100];
        byte[] answer = FlatBuilder.inferResponse(Tensor.of(strings));
        long needed = 64 + 8 + 10 * (100 + 16);
        assertEquals(10, MessageReader.inferResponse(ByteBuffer.wrap(answer), needed).get(0).count());
        ProtocolException error = assertThrows(ProtocolException.class,
            () -> MessageReader.inferResponse(ByteBuffer.wrap(answer), needed - 1));
        assertTrue(error.getMessage().contains("answerBytesMax"), error.getMessage());
    }

    /** 64 KiB of offsets that lead to one string of 64 KiB would be a gigabyte. */
    @Test
    void oneStringForManyOffsetsIsRefused() {
        int count = 1 << 14;
        byte[][] strings = new byte[count][];
        Arrays.fill(strings, new byte[0]);
        strings[0] = new byte[1 << 16];
        byte[] answer = FlatBuilder.inferResponse(Tensor.of(strings));
        ByteBuffer in = ByteBuffer.wrap(answer).order(ByteOrder.LITTLE_ENDIAN);
        int list = 0;
        while (in.getInt(list) != count || list < 40) { // the list of strings, not the shape that has the same number
            list += 4;
        }
        int target = list + 4 + in.getInt(list + 4);
        assertEquals(1 << 16, in.getInt(target));
        for (int i = 0; i < count; i++) {
            in.putInt(list + 4 + 4 * i, target - (list + 4 + 4 * i));
        }
        ProtocolException error = assertThrows(ProtocolException.class, () -> read(answer));
        assertTrue(error.getMessage().contains("memory"), error.getMessage());
    }

    @Test
    void halfFloatsAreExactBothWays() {
        for (int bits = 0; bits < 1 << 16; bits++) {
            float value = Float16.toFloat((short) bits);
            if (Float.isNaN(value)) {
                assertTrue(Float.isNaN(Float16.toFloat(Float16.fromFloat(value))));
            } else {
                assertEquals((short) bits, Float16.fromFloat(value));
                if (Math.abs(value) < 65504) { // half way to the next one is the even of both, a bit less is this one
                    float next = Float16.toFloat((short) (bits + 1));
                    float half = (value + next) / 2;
                    assertEquals((short) (bits + (bits & 1)), Float16.fromFloat(half));
                    assertEquals((short) bits, Float16.fromFloat(Math.nextAfter(half, value)));
                }
            }
        }
        assertEquals(Float.POSITIVE_INFINITY, Float16.toFloat(Float16.fromFloat(65520)));
        assertEquals(65504, Float16.toFloat(Float16.fromFloat(65519.99f)));
        assertEquals(Float.NEGATIVE_INFINITY, Float16.toFloat(Float16.fromFloat(Float.NEGATIVE_INFINITY)));
    }
}
