// SPDX-License-Identifier: Apache-2.0
package penstock.client; // of the client, because its messages are not public

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.function.Function;
import tensorflow.serving.Predict.PredictRequest;
import tensorflow.serving.Predict.PredictResponse;

/**
 * What clients in Java do with tensors: a request to bytes that can be sent, and an answer from bytes. Prints for each codec, as
 * one line of JSON, the times beside those of one copy of the same array into memory that is in use already. They alternate.
 */
final class Codecs {
    private static final long[] REQUEST = {128, 224, 224, 3};
    private static final long[] ANSWER = {128, 7, 7, 512};
    private static final int WARM_UP_ROUNDS = 10;

    /** Keeps results alive, so that no work is optimised away. */
    private static volatile Object kept;

    /**
     * One way to do it.
     *
     * @param source what a request is made of, from the values
     * @param write the request
     * @param written the values of a request
     * @param encode an answer; not measured
     * @param read the answer
     * @param values of what was read; not measured
     */
    record Codec(String name, Function<float[], Object> source, Function<Object, Object> write, Function<Object, float[]> written,
                 Function<float[], Object> encode, Function<Object, Object> read, Function<Object, float[]> values) {}

    public static void main(String[] arguments) {
        int rounds = Integer.parseInt(arguments[0]);
        float[] request = random(REQUEST);
        float[] answer = random(ANSWER);
        for (Codec codec : codecs()) {
            Object source = codec.source.apply(request);
            Object bytes = codec.encode.apply(answer);
            check(request, codec.written.apply(codec.write.apply(source)), codec);
            check(answer, codec.values.apply(codec.read.apply(bytes)), codec);
            double[] write = measure(codec.write, source, request, rounds);
            double[] read = measure(codec.read, bytes, answer, rounds);
            System.out.printf(Locale.ROOT, "{\"codec\": \"%s\", \"write\": %s, \"read\": %s}%n", codec.name,
                Arrays.toString(write), Arrays.toString(read));
        }
    }

    private static List<Codec> codecs() {
        return List.of(
            new Codec("penstock-client, direct buffer", Codecs::direct, Codecs::drained, Codecs::ofDrained, Codecs::response,
                Codecs::read, tensor -> ((Tensor) tensor).floats()),
            new Codec("penstock-client, float[] both ways", values -> Tensor.of(values, REQUEST), Codecs::drained,
                Codecs::ofDrained, Codecs::response, bytes -> ((Tensor) read(bytes)).floats(), values -> (float[]) values),
            new Codec("protobuf, tensor_content", values -> values, Codecs::writeContent,
                bytes -> floats(parse(bytes).getTensorContent()), Codecs::contentAnswer,
                bytes -> floats(parseAnswer(bytes).getTensorContent()), values -> (float[]) values),
            new Codec("protobuf, float_val", values -> values, Codecs::writeFloats, bytes -> floats(parse(bytes)),
                Codecs::floatsAnswer, bytes -> floats(parseAnswer(bytes)), values -> (float[]) values));
    }

    // Our client.

    private static Object direct(float[] values) {
        Tensor tensor = Tensor.allocate(DataType.FLOAT32, REQUEST);
        tensor.asFloatBuffer().put(values);
        return tensor;
    }

    /** Makes all pieces that the HTTP client would send, and keeps the last ones. */
    private static Object drained(Object tensor) {
        Message message = Message.inferRequest(List.of((Tensor) tensor), List.of(), List.of(), "");
        List<ByteBuffer> last = new ArrayList<>();
        new RequestBody.Pieces(message.parts()).forEachRemaining(piece -> {
            if (last.size() == 2) {
                kept = last.remove(0);
            }
            last.add(piece);
        });
        return message;
    }

    private static float[] ofDrained(Object message) {
        ByteBuffer elements = ((Message) message).parts().get(1).whole();
        float[] values = new float[elements.remaining() / 4];
        elements.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    /** The layout of an answer: the request of the same tensor has it, too, but for the table in front. */
    private static Object response(float[] values) {
        ByteBuffer out = ByteBuffer.allocate(192 + 4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        // Root offset, and vtables of InferResponse (at 4) and Tensor (at 10).
        out.putInt(20).putShort((short) 6).putShort((short) 8).putShort((short) 4);
        for (int each : new int[] {10, 16, 12, 4, 8}) {
            out.putShort((short) each);
        }
        // InferResponse at 20, its list at 28, Tensor at 36, shape at 52, the elements at 192.
        out.putInt(20, 16).putInt(24, 4).putInt(28, 1).putInt(32, 4);
        out.putInt(36, 26).putInt(40, 12).putInt(44, 188 - 44).putInt(48, 10);
        out.putInt(52, ANSWER.length).position(56);
        for (long each : ANSWER) {
            out.putLong(each);
        }
        out.putInt(188, 4 * values.length).position(192).slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values);
        return out.rewind();
    }

    private static Object read(Object bytes) {
        return MessageReader.inferResponse((ByteBuffer) bytes, Integer.MAX_VALUE).get(0);
    }

    // Protobuf.

    private static Object writeContent(Object values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * ((float[]) values).length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put((float[]) values);
        return request(tensor(REQUEST).setTensorContent(ByteString.copyFrom(bytes)));
    }

    private static Object writeFloats(Object values) {
        tensorflow.Tensor.TensorProto.Builder tensor = tensor(REQUEST);
        for (float each : (float[]) values) {
            tensor.addFloatVal(each);
        }
        return request(tensor);
    }

    private static Object contentAnswer(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return answer(tensor(ANSWER).setTensorContent(ByteString.copyFrom(bytes)));
    }

    private static Object floatsAnswer(float[] values) {
        tensorflow.Tensor.TensorProto.Builder tensor = tensor(ANSWER);
        for (float each : values) {
            tensor.addFloatVal(each);
        }
        return answer(tensor);
    }

    private static tensorflow.Tensor.TensorProto.Builder tensor(long[] shape) {
        tensorflow.Tensor.TensorProto.Builder tensor = tensorflow.Tensor.TensorProto.newBuilder().setDtypeValue(1);
        for (long each : shape) {
            tensor.getTensorShapeBuilder().addDimBuilder().setSize(each);
        }
        return tensor;
    }

    private static Object request(tensorflow.Tensor.TensorProto.Builder tensor) {
        return PredictRequest.newBuilder().putInputs("x", tensor.build()).build().toByteArray();
    }

    private static Object answer(tensorflow.Tensor.TensorProto.Builder tensor) {
        return PredictResponse.newBuilder().putOutputs("y", tensor.build()).build().toByteArray();
    }

    private static tensorflow.Tensor.TensorProto parse(Object bytes) {
        try {
            return PredictRequest.parseFrom((byte[]) bytes).getInputsOrThrow("x");
        } catch (com.google.protobuf.InvalidProtocolBufferException error) {
            throw new IllegalStateException(error);
        }
    }

    private static tensorflow.Tensor.TensorProto parseAnswer(Object bytes) {
        try {
            return PredictResponse.parseFrom((byte[]) bytes).getOutputsOrThrow("y");
        } catch (com.google.protobuf.InvalidProtocolBufferException error) {
            throw new IllegalStateException(error);
        }
    }

    private static float[] floats(ByteString content) {
        float[] values = new float[content.size() / 4];
        content.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    private static float[] floats(tensorflow.Tensor.TensorProto tensor) {
        float[] values = new float[tensor.getFloatValCount()];
        for (int i = 0; i < values.length; i++) {
            values[i] = tensor.getFloatVal(i);
        }
        return values;
    }

    // Measuring.

    private static float[] random(long[] shape) {
        float[] values = new float[(int) Tensor.countOf(shape)];
        Random random = new Random(1);
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat();
        }
        return values;
    }

    private static void check(float[] expected, float[] got, Codec codec) {
        if (!Arrays.equals(expected, got)) {
            throw new IllegalStateException(codec.name + " loses values");
        }
    }

    /** Medians: the ratio to a copy of the values, and the seconds of both. */
    private static double[] measure(Function<Object, Object> function, Object argument, float[] values, int rounds) {
        FloatBuffer source = FloatBuffer.wrap(values);
        float[] target = values.clone();
        List<double[]> measured = new ArrayList<>();
        for (int i = -WARM_UP_ROUNDS; i < rounds; i++) {
            double copy = seconds(() -> source.get(0, target));
            double took = seconds(() -> kept = function.apply(argument));
            kept = null;
            if (i >= 0) {
                measured.add(new double[] {took / copy, took, copy});
            }
        }
        double[] medians = new double[3];
        Arrays.setAll(medians, k -> measured.stream().mapToDouble(each -> each[k]).sorted().toArray()[measured.size() / 2]);
        return medians;
    }

    private static double seconds(Runnable run) {
        long start = System.nanoTime();
        run.run();
        return (System.nanoTime() - start) / 1e9;
    }
}
