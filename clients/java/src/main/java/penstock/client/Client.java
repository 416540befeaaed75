// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;

/**
 * A server. Thread-safe; one for the whole process is best, because calls share its connections.
 */
public final class Client implements AutoCloseable {
    private final String base;
    private final Duration timeout;
    /** Threads of the client's own. Package-private for tests. */
    final ThreadPoolExecutor workers = newWorkers();
    private volatile Caller caller;

    /**
     * A client with the default options.
     *
     * @param url as for {@link #builder}
     */
    public Client(String url) {
        this(builder(url));
    }

    private Client(Builder options) {
        base = options.base();
        timeout = options.timeout;
        Executor executor = options.executor != null ? options.executor : workers;
        // HTTP/2 would put all calls on one connection, whose windows are small for large tensors.
        HttpClient.Builder http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).executor(executor)
            .connectTimeout(Duration.ofNanos(Deadline.nanos(options.connectTimeout))); // it fails for those that are too long
        if (options.isTls()) {
            http.sslContext(options.tlsContext());
        }
        caller = new Caller(http.build(), executor, workers, options, options.requestHeaders());
    }

    /**
     * Options for a client.
     *
     * @param url http:// or https://, host, port, and a path if a proxy puts one before the server's paths
     * @return the options, with their defaults
     */
    public static Builder builder(String url) {
        return new Builder(url);
    }

    /** {@return the model at {@code /}, where GraphPipe's own servers have their only one} */
    public Model model() {
        return new Model(this, base, null, null, null, null, timeout);
    }

    /** {@return a model of the server} */
    public Model model(String name) {
        if (name.isEmpty()) {
            throw new IllegalArgumentException("the name of a model is not empty; without a name it is the default model");
        }
        return new Model(this, base, name, null, null, null, timeout);
    }

    /**
     * Ends the use of this client: further calls are refused, those under way go on. The client's threads end with them. One
     * thread of the HTTP client and connections that are not in use go as soon as the garbage collector finds them; the HTTP
     * client of Java 17 has no other way.
     */
    @Override
    public void close() {
        caller = null;
        workers.setKeepAliveTime(0, TimeUnit.SECONDS); // a shutdown would refuse work that calls under way still have
    }

    Caller caller() {
        Caller current = caller;
        if (current == null) {
            throw new IllegalStateException("the client is closed");
        }
        return current;
    }

    private static ThreadPoolExecutor newWorkers() {
        AtomicInteger count = new AtomicInteger();
        return new ThreadPoolExecutor(0, Integer.MAX_VALUE, 60, TimeUnit.SECONDS, new SynchronousQueue<>(), task -> {
            Thread thread = new Thread(task, "penstock-client-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        });
    }

    /** The options of a client. One thread at a time. */
    public static final class Builder {
        private final URI url;
        private String token;
        private Path caFile;
        private Path certificateFile;
        private Path keyFile;
        private SSLContext sslContext;
        private Duration timeout = Duration.ofSeconds(60);
        private Executor executor;
        private final List<String> headers = new ArrayList<>(List.of("Content-Type", "application/octet-stream"));
        Duration connectTimeout = Duration.ofSeconds(5);
        int connectionsMax = 8;
        int waitingMax = 1000;
        int answerBytesMax = Integer.MAX_VALUE - 8; // an array can have no more
        Retry retry = Retry.DEFAULT;

        private Builder(String url) {
            try {
                this.url = new URI(url);
            } catch (URISyntaxException error) {
                throw new IllegalArgumentException(wrongUrl(url), error);
            }
            String scheme = this.url.getScheme();
            if (!("http".equalsIgnoreCase(scheme) || "https".equalsIgnoreCase(scheme)) || this.url.getHost() == null
                || this.url.getPort() > 65535 || this.url.getRawQuery() != null || this.url.getRawFragment() != null) {
                throw new IllegalArgumentException(wrongUrl(url));
            }
            if (this.url.getRawUserInfo() != null) {
                throw new IllegalArgumentException("the URL may not have a user; give the token to token()");
            }
        }

        /** Sent as a bearer token with each request. */
        public Builder token(String value) {
            if (!value.matches("[\\x21-\\x7e]+")) {
                throw new IllegalArgumentException("a token has visible ASCII characters only, and at least one");
            }
            token = value;
            return this;
        }

        /** A PEM file of the authorities to trust, instead of the system's. */
        public Builder caFile(Path file) {
            caFile = Objects.requireNonNull(file);
            return this;
        }

        /** The client's own certificate and those that vouch for it, and its key in PKCS#8: PEM files. */
        public Builder certificate(Path certificateFile, Path keyFile) {
            this.certificateFile = Objects.requireNonNull(certificateFile);
            this.keyFile = Objects.requireNonNull(keyFile);
            return this;
        }

        /** TLS as the context has it, instead of files. */
        public Builder sslContext(SSLContext context) {
            sslContext = Objects.requireNonNull(context);
            return this;
        }

        /** The time for a connection. Default: 5 seconds. */
        public Builder connectTimeout(Duration value) {
            connectTimeout = positive("connectTimeout", value);
            return this;
        }

        /** The time for a whole call: waits, tries again, the last byte of the answer. null: no end. Default: 60 seconds. */
        public Builder timeout(Duration value) {
            timeout = value == null ? null : positive("timeout", value);
            return this;
        }

        /** Calls at the same time; others wait. Default: 8. */
        public Builder connectionsMax(int value) {
            connectionsMax = atLeast("connectionsMax", value, 1);
            return this;
        }

        /** Calls that wait for a connection; further ones fail with {@link ClientBusyException}. Default: 1000. */
        public Builder waitingMax(int value) {
            waitingMax = atLeast("waitingMax", value, 0);
            return this;
        }

        /** Larger answers are refused before memory is taken for them. Default: 2 GiB, the most that an array can have. */
        public Builder answerBytesMax(int value) {
            answerBytesMax = Math.min(atLeast("answerBytesMax", value, 1), Integer.MAX_VALUE - 8);
            return this;
        }

        /** When a call is sent again. Default: {@link Retry#DEFAULT}. */
        public Builder retry(Retry value) {
            retry = Objects.requireNonNull(value);
            return this;
        }

        /** A header field of each request, such as {@code x-request-id}. */
        public Builder header(String name, String value) {
            HttpRequest.newBuilder().header(name, value); // checks both
            headers.addAll(List.of(name, value));
            return this;
        }

        /** Runs the work of the HTTP client. Default: threads of the client's own. */
        public Builder executor(Executor value) {
            executor = Objects.requireNonNull(value);
            return this;
        }

        /** {@return the client} */
        public Client build() {
            if (!isTls() && (caFile != null || certificateFile != null || sslContext != null)) {
                throw new IllegalArgumentException("certificates are for https://, but the URL is '" + url + "'");
            }
            return new Client(this);
        }

        private static String wrongUrl(String url) {
            return "the URL of a server is as http://host:8501 or https://host:8501, not '" + url + "'";
        }

        private static Duration positive(String name, Duration value) {
            if (value.isNegative() || value.isZero()) {
                throw new IllegalArgumentException(name + " is more than 0, not " + value);
            }
            return value;
        }

        private static int atLeast(String name, int value, int least) {
            if (value < least) {
                throw new IllegalArgumentException(name + " is at least " + least + ", not " + value);
            }
            return value;
        }

        private boolean isTls() {
            return "https".equalsIgnoreCase(url.getScheme());
        }

        private SSLContext tlsContext() {
            return sslContext != null ? sslContext : Pem.context(caFile, certificateFile, keyFile);
        }

        /** The URL without a slash at the end. */
        private String base() {
            return url.toString().replaceFirst("/+$", "");
        }

        /** Names and values in turn. */
        private List<String> requestHeaders() {
            List<String> all = new ArrayList<>(headers);
            if (token != null) {
                all.addAll(List.of("Authorization", "Bearer " + token));
            }
            return List.copyOf(all);
        }
    }
}
