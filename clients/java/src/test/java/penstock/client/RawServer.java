// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A server that breaks the rules of HTTP as a test wants. */
final class RawServer implements AutoCloseable {
    private static final Pattern LENGTH = Pattern.compile("content-length: *(\\d+)", Pattern.CASE_INSENSITIVE);

    /** `number` counts the requests from 0. The bytes of an answer; null closes the connection. */
    interface Play {
        byte[] answer(Socket socket, int number) throws Exception;
    }

    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final Play play;
    private final boolean readsBodies;
    private final List<Socket> sockets = new ArrayList<>();
    /** Of each request, the number of its connection. */
    private final List<Integer> seen = new ArrayList<>();

    RawServer(Play play) throws IOException {
        this(play, true);
    }

    RawServer(Play play, boolean readsBodies) throws IOException {
        this.play = play;
        this.readsBodies = readsBodies;
        start(this::accept);
    }

    static byte[] http(String status, String headers, byte[] body) {
        byte[] head = ("HTTP/1.1 " + status + "\r\nContent-Length: " + body.length + "\r\n" + headers + "\r\n").getBytes();
        return concat(head, body);
    }

    static byte[] concat(byte[] first, byte[] second) {
        byte[] all = new byte[first.length + second.length];
        System.arraycopy(first, 0, all, 0, first.length);
        System.arraycopy(second, 0, all, first.length, second.length);
        return all;
    }

    String url() {
        return "http://127.0.0.1:" + listener.getLocalPort();
    }

    synchronized List<Integer> connections() {
        return List.copyOf(seen);
    }

    @Override
    public synchronized void close() throws IOException {
        listener.close();
        for (Socket each : sockets) {
            each.close();
        }
    }

    private static void start(Runnable task) {
        Thread thread = new Thread(task, "raw-server");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        while (true) {
            try {
                Socket socket = listener.accept();
                int connection;
                synchronized (this) {
                    connection = sockets.size();
                    sockets.add(socket);
                }
                start(() -> serve(socket, connection));
            } catch (IOException closed) {
                return;
            }
        }
    }

    private void serve(Socket socket, int connection) {
        try (socket) {
            InputStream in = new BufferedInputStream(socket.getInputStream());
            while (readRequest(in)) {
                int number;
                synchronized (this) {
                    number = seen.size();
                    seen.add(connection);
                }
                byte[] answer = play.answer(socket, number);
                if (answer == null) {
                    return;
                }
                socket.getOutputStream().write(answer);
                if (new String(answer, StandardCharsets.ISO_8859_1).toLowerCase().contains("connection: close")) {
                    return;
                }
            }
        } catch (Exception ended) {
            // by the client, or by close()
        }
    }

    private boolean readRequest(InputStream in) throws IOException {
        StringBuilder head = new StringBuilder();
        while (!head.toString().endsWith("\r\n\r\n")) {
            int each = in.read();
            if (each < 0) {
                return false;
            }
            head.append((char) each);
        }
        Matcher length = LENGTH.matcher(head);
        return !readsBodies || length.find() && in.readNBytes(Integer.parseInt(length.group(1))) != null;
    }
}
