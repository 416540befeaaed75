// SPDX-License-Identifier: Apache-2.0
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import penstock.client.*;

/** Calls of the Java client to a real server, for test_client_java.py: the first argument names the part, the second is a URL. */
class ClientCalls {
    private static final Tensor X = Tensor.of(new float[] {1, 2, 5});

    public static void main(String[] arguments) throws Exception {
        String url = arguments[1];
        switch (arguments[0]) {
            case "plain" -> plain(url, arguments[2]);
            case "in_band" -> inBand(url);
            case "tls" -> tls(url, arguments[2], arguments[3], arguments[4], arguments[5], arguments[6]);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.out.println("all is well");
    }

    private static void plain(String url, String graphPipeUrl) throws Exception {
        Client client = new Client(url);
        pathsAndNames(client, new Client(graphPipeUrl).model());
        everyType(client.model("identity"));
        largeTensors(client.model("identity"));
        metadata(client.model("half_plus_two").metadata());
        errors(client);
    }

    private static void pathsAndNames(Client client, Model byDefault) {
        Model half = client.model("half_plus_two");
        for (Model each : List.of(half, half.version(1), half.signature("serving_default"), byDefault)) {
            check(Arrays.equals(each.inferOne(X).floats(), new float[] {2.5f, 3, 4.5f}), each);
            check(each.inferNamed(Map.of("x", X)).get("y").floats()[2] == 4.5f, each);
        }
        List<Tensor> got = client.model("identity").call().input("a", X).input("b", Tensor.of(new int[] {7})).outputs("b", "a")
            .config("{}").infer();
        check(got.get(0).ints()[0] == 7 && got.get(1).count() == 3, got);
    }

    private static void everyType(Model identity) {
        Random random = new Random(1);
        List<Tensor> tensors = new ArrayList<>();
        for (DataType type : DataType.values()) {
            for (long[] shape : new long[][] {{}, {0, 3}, {5}, {2, 3, 4}, {70, 50}}) {
                int count = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
                byte[] bytes = new byte[count * type.bytes()];
                random.nextBytes(bytes);
                byte[][] strings = new byte[count][];
                Arrays.setAll(strings, i -> ("ü\0" + "x".repeat(i % 5)).getBytes());
                tensors.add((type == DataType.STRING ? Tensor.of(strings)
                    : Tensor.of(type, ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN))).reshape(shape));
            }
        }
        equal(tensors, identity.infer(tensors.toArray(new Tensor[0])));
    }

    private static void largeTensors(Model identity) throws Exception {
        Tensor direct = Tensor.allocate(DataType.FLOAT32, 8, 224, 224, 3);
        float[] values = counting(direct.count());
        direct.asFloatBuffer().put(values);
        Tensor heap = Tensor.of(values, 8, 224, 224, 3);
        List<CompletableFuture<Tensor>> futures = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            futures.add(identity.inferOneAsync(i % 2 == 0 ? direct : heap));
        }
        for (CompletableFuture<Tensor> each : futures) {
            equal(List.of(direct), List.of(each.get()));
        }
    }

    private static float[] counting(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = i;
        }
        return values;
    }

    private static void metadata(ModelMetadata metadata) {
        IOMetadata x = metadata.inputs().get(0);
        check(metadata.name().equals("half_plus_two") && metadata.server().equals("penstock"), metadata);
        check(x.name().equals("x") && x.description().equals("of any rank") && x.shape().get(0).isEmpty()
            && x.type() == DataType.FLOAT32 && metadata.outputs().get(0).name().equals("y"), metadata);
    }

    private static void errors(Client client) {
        Model half = client.model("half_plus_two");
        fails(ServerException.BadRequest.class, "the inputs are: x", () -> half.infer(Map.of("q", X)));
        fails(ServerException.BadRequest.class, "label", () -> half.label("no").infer(X));
        fails(ServerException.NotFound.class, "none", () -> client.model("none").infer(X));
        fails(ServerException.NotFound.class, "7", () -> half.version(7).metadata());
        fails(ServerException.TooLarge.class, "", () -> client.model("identity").infer(Tensor.of(new double[3 << 20])));
        check(half.inferOne(X).count() == 3, "it goes on");
    }

    private static void inBand(String url) {
        fails(ServerException.BadRequest.class, "the inputs are: x",
            () -> new Client(url).model("half_plus_two").infer(Map.of("q", X)));
    }

    private static void tls(String url, String token, String ca, String certificate, String key, String otherCa)
            throws InterruptedException {
        Client client = Client.builder(url).caFile(Path.of(ca)).certificate(Path.of(certificate), Path.of(key)).token(token)
            .build();
        Model identity = client.model("identity");
        waitFor(identity);
        Tensor tensor = Tensor.of(counting(2 * 224 * 224 * 3), 2, 224, 224, 3);
        for (int i = 0; i < 3; i++) {
            equal(List.of(tensor), identity.infer(tensor));
        }
        fails(ServerException.Unauthorized.class, "", () -> Client.builder(url).caFile(Path.of(ca))
            .certificate(Path.of(certificate), Path.of(key)).token("wrong").build().model("identity").infer(tensor));
        for (Client.Builder each : List.of(Client.builder(url).caFile(Path.of(otherCa)), Client.builder(url))) {
            fails(ConnectionFailedException.class, "PKIX path", () -> each.build().model("identity").infer(tensor));
        }
        fails(ConnectionFailedException.class, "", () -> Client.builder(url).caFile(Path.of(ca)).token(token).build()
            .model("identity").timeout(Duration.ofSeconds(30)).infer(tensor));
    }

    /** The server opens its ports before its models are there. */
    private static void waitFor(Model model) throws InterruptedException {
        for (int i = 0; i < 500; i++) {
            try {
                model.metadata();
                return;
            } catch (ConnectionFailedException | ServerException.NotFound | ServerException.Unavailable error) {
                Thread.sleep(20);
            }
        }
    }

    private static void equal(List<Tensor> sent, List<Tensor> got) {
        check(sent.size() == got.size(), got);
        for (int i = 0; i < got.size(); i++) {
            Tensor one = sent.get(i);
            Tensor other = got.get(i);
            check(one.toString().equals(other.toString()), other);
            check(one.type() == DataType.STRING ? Arrays.deepEquals(one.byteStrings().toArray(), other.byteStrings().toArray())
                : one.asByteBuffer().equals(other.asByteBuffer()), other);
        }
    }

    private static void fails(Class<?> kind, String text, Runnable call) {
        try {
            call.run();
        } catch (PenstockException error) {
            check(kind.isInstance(error) && error.getMessage().contains(text), error);
            return;
        }
        throw new AssertionError("no error, where " + kind + " was due");
    }

    private static void check(boolean isRight, Object what) {
        if (!isRight) {
            throw new AssertionError(what.toString(), what instanceof Throwable error ? error : null);
        }
    }
}
