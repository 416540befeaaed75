// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.io.IOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.UnresolvedAddressException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.regex.Pattern;
import javax.net.ssl.SSLException;

/** Posts messages, and tries again where that is safe. Thread-safe. */
final class Caller {
    private static final Pattern CLOSED = Pattern.compile("connection reset|broken pipe", Pattern.CASE_INSENSITIVE);

    private final HttpClient http;
    private final Executor executor;
    private final Executor workers;
    private final List<String> headers;
    private final int answerBytesMax;
    private final int connectionsMax;
    private final Duration connectTimeout;
    private final RetryBudget budget;
    private final Places places;

    /** `workers`: threads that may wait, as many as there are calls. `headers`: names and values in turn. */
    Caller(HttpClient http, Executor executor, Executor workers, Client.Builder options, List<String> headers) {
        this.http = http;
        this.executor = executor;
        this.workers = workers;
        this.headers = headers;
        this.answerBytesMax = options.answerBytesMax;
        this.connectionsMax = options.connectionsMax;
        this.connectTimeout = options.connectTimeout;
        this.budget = new RetryBudget(options.retry);
        this.places = new Places(connectionsMax, options.waitingMax, executor);
    }

    int answerBytesMax() {
        return answerBytesMax;
    }

    /** What `parse` makes of the answer. A cancel of the future ends the call. */
    <T> CompletableFuture<T> call(URI uri, Message message, Function<ByteBuffer, T> parse, Deadline deadline) {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).POST(new RequestBody(message));
        request.headers(headers.toArray(new String[0]));
        Call<T> call = new Call<>(request.build(), parse, deadline);
        call.start();
        return call;
    }

    /** Waits for a call, or for something that is made of calls. An interrupt cancels it. */
    static <T> T await(CompletableFuture<T> future) {
        try {
            return future instanceof Caller.Call<T> call ? call.getInTime() : future.get();
        } catch (InterruptedException error) {
            future.cancel(true);
            Thread.currentThread().interrupt();
            throw new CallInterruptedException("the thread was interrupted before the answer had come", error);
        } catch (ExecutionException error) {
            if (error.getCause() instanceof PenstockException cause) {
                cause.fillInStackTrace(); // where the caller is, not the thread that found out
                throw cause;
            }
            if (error.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(error.getCause());
        }
    }

    // Implementation below.

    /** One call with all its tries. Each step is run by the thread that ended the one before. */
    private final class Call<T> extends CompletableFuture<T> {
        private final HttpRequest request;
        private final Function<ByteBuffer, T> parse;
        private final Deadline deadline;
        private int attempt = 1;
        private boolean isResent;
        /** What the call waits for now; cancelled if the result is there before it. */
        private volatile CompletableFuture<?> step;
        private volatile AnswerBody body; // of the last try; null: not sent yet

        Call(HttpRequest request, Function<ByteBuffer, T> parse, Deadline deadline) {
            this.request = request;
            this.parse = parse;
            this.deadline = deadline;
        }

        void start() {
            Duration left = deadline.isWatched() ? null : deadline.left();
            CompletableFuture<Void> timer = left == null ? null : timer(left);
            whenComplete((value, error) -> {
                if (timer != null) {
                    timer.cancel(false);
                }
                cancelStep();
            });
            if (timer != null) {
                timer.thenRunAsync(this::expire, executor);
            }
            attempt();
        }

        T getInTime() throws InterruptedException, ExecutionException {
            Duration left = deadline.isWatched() ? deadline.left() : null;
            if (left != null) {
                try {
                    return get(Deadline.nanos(left), TimeUnit.NANOSECONDS);
                } catch (TimeoutException error) {
                    expire();
                }
            }
            return get();
        }

        private void expire() {
            completeExceptionally(deadline.expired(missing()));
        }

        private String missing() {
            if (step instanceof Places.Place place && !place.isDone()) {
                return "one of the " + connectionsMax + " connections (connectionsMax)";
            }
            AnswerBody current = body;
            OptionalInt status = current == null ? OptionalInt.empty() : current.errorStatus();
            return status.isEmpty() ? "the answer" : "the text of an error with status " + status.getAsInt();
        }

        private void attempt() {
            Places.Place place = places.take();
            waitFor(place);
            place.whenComplete((nothing, error) -> {
                if (error == null) {
                    send();
                } else {
                    completeExceptionally(error);
                }
            });
        }

        private void send() {
            AnswerBody body = new AnswerBody(answerBytesMax);
            this.body = body;
            CompletableFuture<HttpResponse<ByteBuffer>> sent;
            try {
                if (isDone()) {
                    sent = CompletableFuture.failedFuture(new IOException("given up"));
                } else if (deadline.isWatched()) {
                    sent = new BlockingSend(request, body);
                } else {
                    sent = http.sendAsync(request, body);
                }
            } catch (RuntimeException error) {
                sent = CompletableFuture.failedFuture(error);
            }
            waitFor(sent);
            sent.whenComplete((response, error) -> {
                places.giveBack();
                if (isDone()) {
                    return;
                }
                try {
                    if (error == null) {
                        answered(response);
                    } else {
                        failed(unwrap(error), body);
                    }
                } catch (ServerException.Unavailable unavailable) {
                    tryAgain(unavailable);
                } catch (Throwable thrown) {
                    completeExceptionally(thrown);
                }
            });
        }

        private void answered(HttpResponse<ByteBuffer> response) {
            ByteBuffer body = response.body();
            if (response.statusCode() != 200) {
                String text = errorText(response);
                throw ServerException.of(response.statusCode(), text.isEmpty() ? "(no text)" : text, retryAfter(response));
            }
            T value;
            try {
                value = parse.apply(body);
            } catch (ServerException within) { // a message has no field for the time to wait
                throw ServerException.of(within.status(), within.text(), retryAfter(response));
            }
            budget.answered();
            complete(value);
        }

        private static String errorText(HttpResponse<ByteBuffer> response) {
            String text = StandardCharsets.UTF_8.decode(response.body()).toString().strip();
            boolean isJson = response.headers().firstValue("content-type").orElse("").startsWith("application/json");
            String inside = isJson ? JsonError.textOf(text) : null;
            return inside == null ? text : inside.strip();
        }

        private static Duration retryAfter(HttpResponse<?> response) {
            return RetryBudget.parseRetryAfter(response.headers().firstValue("retry-after").orElse(null));
        }

        private void tryAgain(ServerException.Unavailable error) {
            Duration delay = budget.delay(attempt, error.retryAfter().orElse(null), deadline.left());
            if (delay == null) {
                completeExceptionally(error);
                return;
            }
            attempt++;
            CompletableFuture<Void> pause = timer(delay);
            waitFor(pause);
            pause.thenRunAsync(this::attempt, executor);
        }

        private void failed(Throwable error, AnswerBody body) {
            boolean isUnseen = !body.isHeadSeen() && error instanceof IOException && isClosed(error);
            if (isUnseen && !isResent && budget.mayResend()) {
                isResent = true;
                attempt();
                return;
            }
            completeExceptionally(exceptionFor(error, body.isHeadSeen(), isUnseen));
        }

        private Throwable exceptionFor(Throwable error, boolean isHeadSeen, boolean isUnseen) {
            String server = request.uri().getScheme() + "://" + request.uri().getRawAuthority();
            if (error instanceof HttpConnectTimeoutException) {
                return new CallTimeoutException("no connection to " + server + " within " + connectTimeout.toMillis() / 1000.0
                    + " s (connectTimeout)", error);
            }
            if (error instanceof ConnectException || error instanceof UnresolvedAddressException
                || error instanceof NoRouteToHostException || error instanceof SSLException && !isHeadSeen) {
                return new ConnectionFailedException("no connection to " + server + ": " + connectReason(error), error);
            }
            if (isUnseen) {
                return new ConnectionLostException("the server closed the connection without an answer: " + reason(error), error);
            }
            // The second one is what the HTTP client has for lengths that are none.
            if (error instanceof java.net.ProtocolException || deepest(error) instanceof NumberFormatException) {
                return new ProtocolException("the answer is not HTTP: " + reason(error), error);
            }
            if (error instanceof IOException) {
                return new ConnectionLostException("the connection ended within the answer: " + reason(error), error);
            }
            return error;
        }

        private void waitFor(CompletableFuture<?> next) {
            step = next;
            if (isDone()) {
                cancelStep();
            }
        }

        private void cancelStep() {
            CompletableFuture<?> current = step;
            if (current != null) {
                current.cancel(true);
            }
        }
    }

    /**
     * send() of the HTTP client on a thread of the client. The thread that makes the call cannot do it, because send() has no
     * time limit for a body. sendAsync() has its answers handed on by the JDK's common pool, which starts a thread for each where
     * there are one or two processors: that costs more than all the rest of a small call.
     */
    private final class BlockingSend extends CompletableFuture<HttpResponse<ByteBuffer>> {
        private final FutureTask<Void> task;

        BlockingSend(HttpRequest request, AnswerBody body) {
            task = new FutureTask<>(() -> {
                try {
                    complete(http.send(request, body));
                } catch (Throwable error) {
                    completeExceptionally(error);
                }
                return null;
            });
            workers.execute(task);
        }

        @Override
        public boolean cancel(boolean mayInterrupt) {
            boolean isCancelled = super.cancel(mayInterrupt);
            task.cancel(true); // an interrupt ends the exchange
            return isCancelled;
        }
    }

    private static CompletableFuture<Void> timer(Duration duration) {
        return new CompletableFuture<Void>().completeOnTimeout(null, Deadline.nanos(duration), TimeUnit.NANOSECONDS);
    }

    private static Throwable unwrap(Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (each instanceof PenstockException) {
                return each; // what AnswerBody found
            }
        }
        return error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
    }

    /** Whether the connection ended before a byte of an answer. The HTTP client tells it in its texts only. */
    private static boolean isClosed(Throwable error) {
        Throwable deepest = error;
        for (Throwable each = error; each != null; each = each.getCause()) {
            String text = String.valueOf(each.getMessage());
            if (text.contains("received no bytes")) {
                return true;
            }
            if (text.contains("receiving [")) {
                return false; // a part of the head
            }
            deepest = each;
        }
        return deepest instanceof SocketException || deepest instanceof ClosedChannelException
            || CLOSED.matcher(String.valueOf(deepest.getMessage())).find();
    }

    /** The HTTP client has no words for the most frequent reasons: it tries twice, and the second time the channel is closed. */
    private static String connectReason(Throwable error) {
        Throwable deepest = deepest(error);
        if (deepest instanceof ClosedChannelException) {
            return "the host refuses the connection, or is not reachable";
        }
        return deepest instanceof UnresolvedAddressException ? "the host has no known address" : reason(error);
    }

    private static Throwable deepest(Throwable error) {
        Throwable deepest = error;
        while (deepest.getCause() != null && !(deepest instanceof SSLException)) {
            deepest = deepest.getCause();
        }
        return deepest;
    }

    private static String reason(Throwable error) {
        Throwable deepest = deepest(error);
        return deepest.getMessage() == null ? deepest.toString() : deepest.getMessage();
    }
}
