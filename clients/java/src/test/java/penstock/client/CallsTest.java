// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import penstock.client.ScriptedServer.Answer;

/** Calls to servers that behave as a test wants: connections, tries again, time-outs, errors. */
@Timeout(60)
class CallsTest {
    private static final Tensor X = Tensor.of(new float[] {1});
    private static final byte[] ONE = FlatBuilder.inferResponse(X);
    private static final Answer BUSY = Answer.of(503, "the queue is full\n").with("Retry-After", "0");
    private static final Retry QUICK = Retry.DEFAULT.withDelay(Duration.ofMillis(1));

    private final List<AutoCloseable> open = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }

    private ScriptedServer serve(ScriptedServer.Play play) throws Exception {
        ScriptedServer server = new ScriptedServer(play);
        open.add(server);
        return server;
    }

    private RawServer serveRaw(RawServer.Play play) throws Exception {
        RawServer server = new RawServer(play);
        open.add(server);
        return server;
    }

    private static Model model(String url, Retry retry) {
        return Client.builder(url).retry(retry).build().model("m");
    }

    private static float one(Model model) {
        return model.inferOne(X).asFloatBuffer().get(0);
    }

    private static <T extends Throwable> T assertThrowsWith(Class<T> kind, String part,
                                                            org.junit.jupiter.api.function.Executable action) {
        T error = assertThrows(kind, action);
        assertTrue(error.getMessage().contains(part), error.getMessage());
        return error;
    }

    @Test
    void callsShareAConnection() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(ONE));
        Client client = Client.builder(server.url()).token("secret").header("x-request-id", "mine").build();
        for (int i = 0; i < 3; i++) {
            assertEquals(1, one(client.model("m").version(2)));
        }
        assertEquals(1, server.connections());
        ScriptedServer.Seen seen = server.requests().get(0);
        assertEquals("/graphpipe/m/versions/2", seen.path());
        assertEquals("Bearer secret", seen.headers().getFirst("Authorization"));
        assertEquals("mine", seen.headers().getFirst("x-request-id"));
        assertEquals(Integer.toString(seen.body().length), seen.headers().getFirst("Content-Length"));
        assertFalse(seen.headers().containsKey("Transfer-Encoding"));
        assertFalse(seen.headers().containsKey("Upgrade"));
    }

    @Test
    void serversBehindAPath() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(ONE));
        Client client = new Client(server.url() + "/proxy/");
        client.model("a/b c").infer(X);
        client.model().infer(X);
        assertEquals(List.of("/proxy/graphpipe/a%2Fb%20c", "/proxy/"),
            server.requests().stream().map(ScriptedServer.Seen::path).toList());
    }

    @Test
    void largeTensorsOfEveryKindArriveWhole() throws Exception {
        float[] floats = new float[3 * 224 * 224 * 3];
        Random random = new Random(1);
        for (int i = 0; i < floats.length; i++) {
            floats[i] = random.nextFloat();
        }
        Tensor direct = Tensor.allocate(DataType.FLOAT32, 3, 224, 224, 3);
        direct.asFloatBuffer().put(floats);
        Tensor heap = Tensor.of(floats, 3, 224, 224, 3);
        ScriptedServer server = serve((number, body) ->
            Answer.of(FlatBuilder.inferResponse(ReadRequest.of(body).tensors().toArray(new Tensor[0]))));
        List<Tensor> sent = List.of(heap, X, direct, Tensor.of(DataType.FLOAT32, heap.asByteBuffer()));
        List<Tensor> got = new Client(server.url()).model("m").infer(sent.toArray(new Tensor[0]));
        MessageTest.assertEqual(sent, got);
        assertArrayEquals(floats, got.get(0).floats());
    }

    @Test
    void everyTypeAndShapeGoesThere() throws Exception {
        ScriptedServer server = serve((number, body) ->
            Answer.of(FlatBuilder.inferResponse(ReadRequest.of(body).tensors().toArray(new Tensor[0]))));
        List<Tensor> tensors = MessageTest.tensorsOfEveryType();
        MessageTest.assertEqual(tensors, new Client(server.url()).model("m").infer(tensors.toArray(new Tensor[0])));
    }

    @Test
    void answersInChunksAndUntilTheEnd() throws Exception {
        byte[] large = FlatBuilder.inferResponse(Tensor.of(new float[100000]));
        byte[] untilEnd = RawServer.concat("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".getBytes(), large);
        ScriptedServer chunks = serve((number, body) -> Answer.of(large).withLength(-1));
        RawServer raw = serveRaw((socket, number) -> untilEnd);
        for (String url : List.of(chunks.url(), raw.url())) {
            Model model = new Client(url).model("m");
            assertEquals(100000, model.inferOne(X).count());
            assertEquals(100000, model.inferOne(X).count());
        }
        assertEquals(1, chunks.connections());
        assertEquals(List.of(0, 1), raw.connections());
    }

    @Test
    void namesOutputsAndConfig() throws Exception {
        ScriptedServer server = serve((number, body) -> {
            if (body.length == 32) {
                return Answer.of(FlatBuilder.metadata("y", "z"));
            }
            ReadRequest request = ReadRequest.of(body);
            return Answer.of(FlatBuilder.inferResponse(Tensor.of(request.inputNames().toArray(new String[0])),
                Tensor.of(request.outputNames().toArray(new String[0])), Tensor.of(new String[] {request.config()})));
        });
        Model model = new Client(server.url()).model("m");
        List<Tensor> got = model.call().input("a", X).input("b", X).outputs("z", "y", "w").config("{}").infer();
        assertEquals(List.of("a", "b"), got.get(0).strings());
        assertEquals(List.of("z", "y", "w"), got.get(1).strings());
        assertEquals(List.of("{}"), got.get(2).strings());
        assertEquals(Set.of("a", "b"), Set.copyOf(model.infer(Map.of("a", X, "b", X)).get(0).strings()));
        assertEquals(List.of("y", "z"), model.metadata().outputs().stream().map(IOMetadata::name).toList());
        Map<String, Tensor> named = model.call().input(X).outputs("p", "q", "r").inferNamed();
        assertEquals(List.of("p", "q", "r"), List.copyOf(named.keySet()));
        assertThrowsWith(ProtocolException.class, "2 outputs were asked for, and 3 came",
            () -> model.inferNamed(Map.of("a", X)));
        assertThrowsWith(IllegalStateException.class, "the model gave 3 outputs", () -> model.inferOne(X));
        assertThrowsWith(IllegalStateException.class, "1 of 2 inputs have names",
            () -> model.call().input("a", X).input(X).infer());
    }

    @Test
    void anotherNumberOfOutputsThanWereAskedForIsRefused() throws Exception {
        List<byte[]> answers = List.of(FlatBuilder.inferResponse(), FlatBuilder.inferResponse(X, X, X));
        ScriptedServer server = serve((number, body) -> Answer.of(answers.get(number % 2)));
        Model model = new Client(server.url()).model("m");
        for (String count : List.of("0", "3")) {
            assertThrowsWith(ProtocolException.class, "1 outputs were asked for, and " + count + " came",
                () -> model.call().input(X).outputs("y").infer());
        }
        assertThrowsWith(ProtocolException.class, "asked for, and 0 came", () -> model.call().input(X).outputs("y").inferOne());
        CompletableFuture<List<Tensor>> later = model.call().input(X).outputs("y").inferAsync();
        assertSame(ProtocolException.class, assertThrows(ExecutionException.class, later::get).getCause().getClass());
    }

    @Test
    void busyServersAreAskedAgain() throws Exception {
        ScriptedServer server = serve((number, body) -> number < 3 ? BUSY : Answer.of(ONE));
        assertEquals(1, one(model(server.url(), QUICK)));
        assertEquals(4, server.requests().size());
        for (ScriptedServer.Seen each : server.requests()) {
            assertArrayEquals(server.requests().get(0).body(), each.body());
        }
    }

    @Test
    void triesAreLimited() throws Exception {
        ScriptedServer server = serve((number, body) -> BUSY);
        Model model = model(server.url(), QUICK.withAttemptsMax(2));
        ServerException.Unavailable error = assertThrows(ServerException.Unavailable.class, () -> model.infer(X));
        assertEquals("503: the queue is full", error.getMessage());
        assertEquals(Duration.ZERO, error.retryAfter().orElseThrow());
        assertEquals(2, server.requests().size());
    }

    @Test
    void anOverloadedServerGetsFewTriesAgain() throws Exception {
        ScriptedServer server = serve((number, body) -> BUSY);
        Model model = model(server.url(), QUICK.withBudget(5, 0.1));
        for (int i = 0; i < 20; i++) {
            assertThrows(ServerException.Unavailable.class, () -> model.infer(X));
        }
        assertEquals(25, server.requests().size());
    }

    @Test
    void longWaitsAreLeftToTheCaller() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(503, "loading").with("Retry-After", "30"));
        for (Model each : List.of(model(server.url(), Retry.DEFAULT),
                model(server.url(), Retry.DEFAULT.withDelayMax(Duration.ofMinutes(1))).timeout(Duration.ofSeconds(20)))) {
            ServerException.Unavailable error = assertThrows(ServerException.Unavailable.class, () -> each.infer(X));
            assertEquals(Duration.ofSeconds(30), error.retryAfter().orElseThrow());
        }
        assertEquals(2, server.requests().size());
    }

    @Test
    void retryAfterIsTheLeastWait() {
        RetryBudget budget = new RetryBudget(Retry.DEFAULT);
        assertBetween(3000, 3750, budget.delay(1, Duration.ofSeconds(3), Duration.ofMinutes(1)));
        assertBetween(200, 250, budget.delay(2, null, null));
        assertEquals(null, budget.delay(1, Duration.ofSeconds(3), Duration.ofSeconds(2)));
        assertEquals(null, budget.delay(4, null, null));
        assertEquals(Duration.ofSeconds(7), RetryBudget.parseRetryAfter("7"));
        assertEquals(Duration.ofSeconds(999_999_999), RetryBudget.parseRetryAfter("9".repeat(400)));
        assertEquals(null, RetryBudget.parseRetryAfter("Mon, 01 Jan 2024 00:00:00 +99999999999999"));
        assertEquals(null, RetryBudget.parseRetryAfter("soon"));
        assertEquals(null, RetryBudget.parseRetryAfter(null));
        assertEquals(Duration.ZERO, RetryBudget.parseRetryAfter("Fri, 31 Dec 1999 23:59:59 GMT"));
    }

    private static void assertBetween(long least, long most, Duration value) {
        assertTrue(value.toMillis() >= least && value.toMillis() <= most, value.toString());
    }

    @Test
    void aRetryAfterOfZeroDoesNotSendAllTriesAtOnce() {
        assertBetween(200, 250, new RetryBudget(Retry.DEFAULT).delay(2, Duration.ZERO, null));
    }

    @Test
    void otherErrorsAreNotTriedAgain() throws Exception {
        Map<Integer, Class<? extends ServerException>> kinds = Map.of(400, ServerException.BadRequest.class,
            401, ServerException.Unauthorized.class, 403, ServerException.Forbidden.class, 404, ServerException.NotFound.class,
            413, ServerException.TooLarge.class, 500, ServerException.class, 504, ServerException.class,
            302, ServerException.class, 407, ServerException.class);
        List<Integer> statuses = List.copyOf(kinds.keySet());
        ScriptedServer server = serve((number, body) -> Answer.of(statuses.get(number), "reason " + statuses.get(number) + "\n"));
        Model model = new Client(server.url()).model("m");
        for (int status : statuses) {
            ServerException error = assertThrows(ServerException.class, () -> model.infer(X));
            assertEquals(kinds.get(status), error.getClass());
            assertEquals(status, error.status());
            assertEquals("reason " + status, error.text());
            assertTrue(error.retryAfter().isEmpty());
        }
        assertEquals(statuses.size(), server.requests().size());
    }

    @Test
    void errorsWithinTheMessage() throws Exception {
        List<byte[]> answers = List.of(FlatBuilder.error(503, "busy"), FlatBuilder.error(400, "no input q"));
        ScriptedServer server = serve((number, body) -> Answer.of(answers.get(number)));
        assertThrowsWith(ServerException.BadRequest.class, "400: no input q", () -> model(server.url(), QUICK).infer(X));
        assertEquals(2, server.requests().size());
    }

    @Test
    void errorsWithinTheMessageHaveATimeToWait() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(FlatBuilder.error(503, "busy")).with("Retry-After", "30"));
        ServerException error = assertThrows(ServerException.Unavailable.class, () -> model(server.url(), QUICK).infer(X));
        assertEquals(Duration.ofSeconds(30), error.retryAfter().orElseThrow());
        assertEquals(1, server.requests().size());
    }

    @Test
    void longErrorTextsAreCut() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(500, "x".repeat(1 << 20)));
        ServerException error = assertThrows(ServerException.class, () -> new Client(server.url()).model("m").infer(X));
        assertEquals(1 << 16, error.text().length());
    }

    @Test
    void errorTextsThatDoNotEndAreCut() throws Exception {
        CountDownLatch closed = new CountDownLatch(1);
        RawServer endless = serveRaw((socket, number) -> {
            socket.getOutputStream().write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".getBytes());
            try {
                while (true) {
                    socket.getOutputStream().write(new byte[] {'x', 'x', 'x', 'x', 'x', 'x', 'x'});
                }
            } finally {
                closed.countDown();
            }
        });
        RawServer half = serveRaw((socket, number) -> {
            socket.getOutputStream().write("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nno input q".getBytes());
            return null;
        });
        RawServer stalled = serveRaw((socket, number) ->
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nno".getBytes());
        Model cut = new Client(endless.url()).model("m");
        ServerException error = assertThrows(ServerException.BadRequest.class, () -> cut.infer(X));
        assertEquals(1 << 16, error.text().length());
        assertTrue(closed.await(30, TimeUnit.SECONDS), "the connection is closed");
        assertThrowsWith(ServerException.BadRequest.class, "400: no input q", () -> new Client(half.url()).model("m").infer(X));
        assertThrowsWith(CallTimeoutException.class, "the text of an error with status 400 did not come within 0.3 s",
            () -> new Client(stalled.url()).model("m").timeout(Duration.ofMillis(300)).infer(X));
    }

    @Test
    void errorsInJsonShowTheirText() throws Exception {
        Map<String, String> texts = Map.of("{ \"error\": \"no \\\"m\\\" \\u00fc\\n\" }", "no \"m\" \u00fc",
            "{\"a\": [1, {\"error\": \"x\"}, null], \"error\": \"y\", \"b\": -1e5}", "y",
            "{\"error\": {\"error\": \"x\"}}", "{\"error\": {\"error\": \"x\"}}", "{\"error\": \"x", "{\"error\": \"x",
            "[".repeat(5000), "[".repeat(5000), "{\"a\":" + "[".repeat(5000), "{\"a\":" + "[".repeat(5000), "{}", "{}");
        List<String> bodies = List.copyOf(texts.keySet());
        ScriptedServer server = serve((number, body) ->
            Answer.of(400, bodies.get(number)).with("Content-Type", "application/json"));
        for (String each : bodies) {
            ServerException error = assertThrows(ServerException.class, () -> new Client(server.url()).model("m").infer(X));
            assertEquals(texts.get(each), error.text());
        }
        ScriptedServer plain = serve((number, body) -> Answer.of(400, "{\"error\": \"x\"}"));
        assertThrowsWith(ServerException.class, "{", () -> new Client(plain.url()).model("m").infer(X));
    }

    @Test
    void aKeptConnectionThatWasClosedIsReplaced() throws Exception {
        byte[] answer = RawServer.http("200 OK", "", ONE);
        RawServer server = serveRaw((socket, number) -> number == 1 ? null : answer);
        Model model = new Client(server.url()).model("m");
        assertEquals(1, one(model));
        assertEquals(1, one(model));
        assertEquals(List.of(0, 0, 1), server.connections());
    }

    @Test
    void aRequestIsSentOnceIfItMustBe() throws Exception {
        byte[] answer = RawServer.http("200 OK", "", ONE);
        RawServer server = serveRaw((socket, number) -> number == 0 ? answer : null);
        Model model = model(server.url(), Retry.NEVER);
        one(model);
        assertThrowsWith(ConnectionLostException.class, "without an answer", () -> one(model));
        assertEquals(2, server.connections().size());
    }

    @Test
    void aRequestThatEndsTheServerIsSentTwiceAtMost() throws Exception {
        RawServer server = serveRaw((socket, number) -> null);
        assertThrowsWith(ConnectionLostException.class, "without an answer", () -> one(new Client(server.url()).model("m")));
        assertEquals(2, server.connections().size());
    }

    @Test
    void connectionsThatEndEarly() throws Exception {
        ScriptedServer body = serve((number, request) -> Answer.of(ONE).withLength(1000));
        RawServer head = serveRaw((socket, number) -> "HTTP/1.1 200 OK\r\nContent-Le".getBytes());
        RawServer closing = serveRaw((socket, number) -> {
            socket.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Le".getBytes());
            return null;
        });
        assertThrowsWith(ConnectionLostException.class, "within the answer", () -> one(new Client(body.url()).model("m")));
        assertThrows(ConnectionLostException.class, () -> one(new Client(closing.url()).model("m")));
        assertThrows(CallTimeoutException.class, () -> one(new Client(head.url()).model("m").timeout(Duration.ofMillis(200))));
        assertEquals(1, body.requests().size(), "not sent again: the server may have run the model");
        assertEquals(1, closing.connections().size());
    }

    @Test
    void noServer() throws Exception {
        int port;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = socket.getLocalPort();
        }
        Model model = new Client("http://127.0.0.1:" + port).model("m");
        assertThrowsWith(ConnectionFailedException.class, "no connection to http://127.0.0.1:" + port
            + ": the host refuses the connection", () -> model.infer(X));
    }

    @Test
    void theTimeIsForTheWholeAnswer() throws Exception {
        CountDownLatch closed = new CountDownLatch(1);
        RawServer server = serveRaw((socket, number) -> {
            socket.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".getBytes());
            try {
                while (true) {
                    socket.getOutputStream().write('x');
                    Thread.sleep(5);
                }
            } finally {
                closed.countDown();
            }
        });
        Model model = new Client(server.url()).model("m");
        assertThrowsWith(CallTimeoutException.class, "the answer did not come within 0.3 s",
            () -> model.call().input(X).timeout(Duration.ofMillis(300)).infer());
        assertTrue(closed.await(30, TimeUnit.SECONDS), "the connection is closed");
    }

    @Test
    void answersThatAreTooLargeOrWrong() throws Exception {
        List<byte[]> answers = List.of(RawServer.http("200 OK", "", new byte[2000]),
            RawServer.concat("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".getBytes(), new byte[2000]),
            "HTTP/1.1 200 OK\r\nContent-Length: 2147483639\r\n\r\n".getBytes(),
            RawServer.http("200 OK", "", "not a message".getBytes()), RawServer.http("200 OK", "", new byte[0]),
            "junk\r\n\r\n".getBytes());
        List<String> texts =
            List.of("answerBytesMax is 1000", "answerBytesMax", "answerBytesMax", "malformed", "malformed", "not HTTP");
        RawServer server = serveRaw((socket, number) -> answers.get(number));
        Model model = Client.builder(server.url()).answerBytesMax(1000).build().model("m");
        for (String text : texts) {
            assertThrowsWith(ProtocolException.class, text, () -> model.infer(X));
        }
    }

    @Test
    void lengthsThatAreNoneAreTheFaultOfTheAnswer() throws Exception {
        List<String> lengths = List.of("12abc", "-5", "99999999999999999999", "");
        RawServer server = serveRaw((socket, number) ->
            ("HTTP/1.1 200 OK\r\nContent-Length: " + lengths.get(number) + "\r\n\r\nxxxx").getBytes());
        Model model = Client.builder(server.url()).timeout(null).build().model("m");
        for (String each : lengths) {
            assertThrows(ProtocolException.class, () -> model.infer(X), each);
        }
    }

    @Test
    void earlyRefusalsAreRead() throws Exception {
        byte[] refusal = RawServer.http("413 Too Large", "Connection: close\r\n", "at most 1000 bytes".getBytes());
        RawServer server = new RawServer((socket, number) -> {
            socket.getOutputStream().write(refusal);
            socket.shutdownOutput();
            socket.getInputStream().skipNBytes(1 << 22);
            return null;
        }, false);
        open.add(server);
        assertThrowsWith(ServerException.TooLarge.class, "at most 1000 bytes",
            () -> new Client(server.url()).model("m").infer(Tensor.of(new double[1 << 20])));
    }

    @Test
    void connectionsAreLimited() throws Exception {
        CountDownLatch entered = new CountDownLatch(1);
        CountDownLatch leave = new CountDownLatch(1);
        ScriptedServer server = serve((number, body) -> {
            if (number == 0) {
                entered.countDown();
                leave.await();
            }
            return Answer.of(ONE);
        });
        Client client = Client.builder(server.url()).connectionsMax(1).waitingMax(1).build();
        Model model = client.model("m");
        CompletableFuture<Tensor> first = model.inferOneAsync(X);
        entered.await();
        assertThrowsWith(CallTimeoutException.class, "one of the 1 connections (connectionsMax)",
            () -> model.timeout(Duration.ofMillis(50)).infer(X));
        CompletableFuture<Tensor> second = model.inferOneAsync(X);
        assertThrowsWith(ClientBusyException.class, "1 calls wait", () -> model.infer(X));
        leave.countDown();
        assertEquals(1, first.get().count());
        assertEquals(1, second.get().count());
        assertEquals(1, one(model));
        assertEquals(1, server.connections());
        client.close();
        assertThrowsWith(IllegalStateException.class, "closed", () -> model.infer(X));
    }

    @Test
    @Timeout(40)
    void theThreadsOfAClosedClientEnd() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(ONE));
        Client client = new Client(server.url());
        assertEquals(1, one(client.model("m")));
        assertTrue(client.workers.getPoolSize() > 0);
        client.close();
        while (client.workers.getPoolSize() > 0) {
            Thread.sleep(1);
        }
    }

    @Test
    void manyCallsAtOnce() throws Exception {
        ScriptedServer server = serve((number, body) ->
            Answer.of(FlatBuilder.inferResponse(ReadRequest.of(body).tensors().get(0))));
        Model model = Client.builder(server.url()).connectionsMax(3).build().model("m");
        List<CompletableFuture<Tensor>> futures =
            IntStream.range(0, 200).mapToObj(i -> model.inferOneAsync(Tensor.of(new int[] {i}))).toList();
        for (int i = 0; i < futures.size(); i++) {
            assertArrayEquals(new int[] {i}, futures.get(i).get().ints());
        }
        Set<Integer> got = IntStream.range(0, 100).parallel()
            .mapToObj(i -> model.inferOne(Tensor.of(new int[] {i})).ints()[0]).collect(Collectors.toSet());
        assertEquals(100, got.size());
        assertTrue(server.connections() <= 3, server.connections() + " connections");
    }

    @Test
    void anExecutorWithOneThreadIsEnough() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(ONE));
        ExecutorService executor = Executors.newSingleThreadExecutor();
        open.add(executor::shutdownNow);
        Model model = Client.builder(server.url()).executor(executor).build().model("m");
        assertEquals(1, one(model));
        CompletableFuture<Integer> chained = model.inferOneAsync(X).thenApply(Tensor::count);
        assertEquals(1, one(model));
        assertEquals(1, chained.get());
    }

    @Test
    void aCancelEndsTheCall() throws Exception {
        CountDownLatch entered = new CountDownLatch(1);
        CountDownLatch closed = new CountDownLatch(1);
        RawServer server = serveRaw((socket, number) -> {
            entered.countDown();
            while (socket.getInputStream().read() >= 0) {
                continue;
            }
            closed.countDown();
            return null;
        });
        CompletableFuture<List<Tensor>> future = new Client(server.url()).model("m").inferAsync(X);
        entered.await();
        assertTrue(future.cancel(true));
        assertTrue(closed.await(30, TimeUnit.SECONDS), "the connection is closed");
        assertEquals(1, server.connections().size());
    }

    @Test
    void anInterruptEndsTheCall() throws Exception {
        CountDownLatch entered = new CountDownLatch(1);
        CountDownLatch closed = new CountDownLatch(1);
        RawServer server = serveRaw((socket, number) -> {
            entered.countDown();
            while (socket.getInputStream().read() >= 0) {
                continue;
            }
            closed.countDown();
            return null;
        });
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                new Client(server.url()).model("m").infer(X);
            } catch (CallInterruptedException error) {
                thrown.set(Thread.currentThread().isInterrupted() ? error : null);
            }
        });
        thread.start();
        entered.await();
        thread.interrupt();
        thread.join();
        assertSame(CallInterruptedException.class, thrown.get().getClass());
        assertTrue(closed.await(30, TimeUnit.SECONDS), "the connection is closed");
    }

    @Test
    void futuresEndWithTheSameErrors() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(404, "no model"));
        Model model = new Client(server.url()).model("m");
        for (CompletableFuture<?> each : List.of(model.inferAsync(X), model.inferOneAsync(X), model.metadataAsync(),
                model.inferNamedAsync(Map.of("x", X)))) {
            Throwable error = assertThrows(ExecutionException.class, each::get).getCause();
            assertSame(ServerException.NotFound.class, error.getClass());
        }
    }

    @Test
    void theTraceOfAnErrorShowsTheCaller() throws Exception {
        ScriptedServer server = serve((number, body) -> Answer.of(404, "no model"));
        ServerException error = assertThrows(ServerException.class, () -> new Client(server.url()).model("m").infer(X));
        assertTrue(List.of(error.getStackTrace()).stream().anyMatch(each -> each.getClassName().contains("CallsTest")));
    }

    @Test
    void paths() {
        Client client = new Client("http://h/proxy");
        assertEquals("http://h/proxy/", client.model().uri().toString());
        assertEquals("http://h/proxy/graphpipe/m/labels/new%20est?signature_name=s%26t%C3%BC",
            client.model("m").label("new est").signature("s&tü").uri().toString());
        assertThrows(IllegalArgumentException.class, () -> client.model("m").version(1).label("l"));
        assertThrows(IllegalArgumentException.class, () -> client.model().version(1));
        assertThrows(IllegalArgumentException.class, () -> client.model(""));
    }

    @Test
    void wrongOptions() {
        for (String url : List.of("localhost:8501", "http://h?q", "ftp://h", "http://", "http://a b", "http://h:99999")) {
            assertThrowsWith(IllegalArgumentException.class, "the URL of a server is as", () -> new Client(url));
        }
        assertThrowsWith(IllegalArgumentException.class, "token", () -> new Client("http://u:p@h"));
        Client.Builder plain = Client.builder("http://h");
        assertThrowsWith(IllegalArgumentException.class, "at least 1", () -> plain.connectionsMax(0));
        assertThrowsWith(IllegalArgumentException.class, "more than 0", () -> plain.timeout(Duration.ZERO));
        assertEquals(0, Deadline.nanos(Duration.ofSeconds(Long.MIN_VALUE)));
        assertThrowsWith(IllegalArgumentException.class, "attemptsMax", () -> Retry.DEFAULT.withAttemptsMax(0));
        assertThrowsWith(IllegalArgumentException.class, "visible ASCII", () -> plain.token("a\nb"));
        assertThrows(IllegalArgumentException.class, () -> plain.header("a b", "c"));
        assertThrowsWith(IllegalArgumentException.class, "https", () -> Client.builder("http://h").caFile(Path.of("x")).build());
        assertThrowsWith(IllegalArgumentException.class, "TLS cannot be set up",
            () -> Client.builder("https://h").caFile(Path.of("/none")).build());
    }
}
