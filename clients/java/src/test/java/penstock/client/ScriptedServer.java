// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The JDK's HTTP server on a loopback port, which gives the answers that a test wants. It remembers the requests. */
final class ScriptedServer implements AutoCloseable {
    static {
        System.setProperty("sun.net.httpserver.nodelay", "true");
    }

    /** `length`: -1 for an answer in chunks. */
    record Answer(int status, byte[] body, Map<String, String> headers, long length) {
        static Answer of(byte[] body) {
            return new Answer(200, body, Map.of(), body.length);
        }

        static Answer of(int status, String text) {
            return new Answer(status, text.getBytes(), Map.of(), text.length());
        }

        Answer with(String name, String value) {
            return new Answer(status, body, Map.of(name, value), length);
        }

        /** Announces `value` bytes. If there are fewer, the connection ends after them. */
        Answer withLength(long value) {
            return new Answer(status, body, headers, value);
        }
    }

    record Seen(int port, String path, Headers headers, byte[] body) {}

    /** `number` counts the requests from 0. */
    interface Play {
        Answer answer(int number, byte[] body) throws Exception;
    }

    private final HttpServer server;
    private final ExecutorService executor = Executors.newCachedThreadPool();
    private final List<Seen> seen = new ArrayList<>();

    ScriptedServer(Play play) throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(executor);
        server.createContext("/", exchange -> serve(exchange, play));
        server.start();
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    synchronized List<Seen> requests() {
        return List.copyOf(seen);
    }

    /** Those of all requests, each once. */
    long connections() {
        return requests().stream().map(Seen::port).distinct().count();
    }

    @Override
    public void close() {
        server.stop(0);
        executor.shutdownNow();
    }

    private void serve(HttpExchange exchange, Play play) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        int number;
        synchronized (this) {
            number = seen.size();
            seen.add(new Seen(exchange.getRemoteAddress().getPort(), exchange.getRequestURI().toString(),
                exchange.getRequestHeaders(), body));
        }
        try {
            Answer answer = play.answer(number, body);
            answer.headers.forEach(exchange.getResponseHeaders()::add);
            exchange.sendResponseHeaders(answer.status, answer.length < 0 ? 0 : answer.length == 0 ? -1 : answer.length);
            exchange.getResponseBody().write(answer.body);
        } catch (Exception error) {
            throw new IOException(error);
        } finally {
            exchange.close();
        }
    }
}
