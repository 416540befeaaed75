// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpResponse.ResponseInfo;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/**
 * Receives an answer into one block of memory: with a Content-Length of that size, otherwise one that grows. Of an error it keeps
 * the beginning, and does not wait for more. For one exchange; the HTTP client calls it from one thread at a time.
 */
final class AnswerBody implements BodyHandler<ByteBuffer>, BodySubscriber<ByteBuffer> {
    private static final int ERROR_TEXT_BYTES_MAX = 1 << 16;
    private static final int BLOCK_BYTES_FIRST = 1 << 14;

    private final int bytesMax;
    private final CompletableFuture<ByteBuffer> body = new CompletableFuture<>();
    private volatile boolean isHeadSeen;
    private volatile boolean isError;
    private int status;
    private String wrongLength;
    private OptionalLong length = OptionalLong.empty();
    private Flow.Subscription subscription;
    private byte[] block = {};
    private int size;

    AnswerBody(int bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** Whether status and header fields have come. */
    boolean isHeadSeen() {
        return isHeadSeen;
    }

    /** The status, if it has come and is that of an error. */
    OptionalInt errorStatus() {
        return isError ? OptionalInt.of(status) : OptionalInt.empty();
    }

    @Override
    public BodySubscriber<ByteBuffer> apply(ResponseInfo head) {
        status = head.statusCode();
        isError = status != 200;
        isHeadSeen = true;
        String said = head.headers().firstValue("content-length").orElse(null);
        if (said != null && said.matches("\\d{1,18}")) {
            length = OptionalLong.of(Long.parseLong(said));
        } else {
            wrongLength = said;
        }
        return this;
    }

    @Override
    public CompletionStage<ByteBuffer> getBody() {
        return body;
    }

    @Override
    public void onSubscribe(Flow.Subscription given) {
        subscription = given;
        if (wrongLength != null) {
            refuse("the answer has the Content-Length '" + wrongLength + "'");
            return;
        }
        if (!isError && length.isPresent()) {
            if (length.getAsLong() > bytesMax) {
                refuse("the answer has " + length.getAsLong() + " bytes, but answerBytesMax is " + bytesMax);
                return;
            }
            grow(length.getAsLong());
        }
        given.request(Long.MAX_VALUE);
    }

    @Override
    public void onNext(List<ByteBuffer> pieces) {
        for (ByteBuffer piece : pieces) {
            if (body.isDone()) {
                return;
            }
            int count = piece.remaining();
            if (isError) {
                count = Math.min(count, ERROR_TEXT_BYTES_MAX - size);
            }
            if (count > bytesMax - size && !isError) {
                refuse("the answer has more than " + bytesMax + " bytes (answerBytesMax)");
            } else if (count <= block.length - size || grow(Math.max((long) size + count, 2L * block.length))) {
                piece.get(block, size, count);
                size += count;
                if (piece.hasRemaining()) { // of an error; it may not end
                    onComplete();
                    subscription.cancel();
                }
            }
        }
    }

    @Override
    public void onError(Throwable error) {
        if (isError) {
            onComplete(); // a reason that is cut off is better than none
        } else {
            body.completeExceptionally(error);
        }
    }

    @Override
    public void onComplete() {
        body.complete(ByteBuffer.wrap(block, 0, size));
    }

    // Implementation below.

    /** Makes the block as large as asked for, or as is allowed. */
    private boolean grow(long wanted) {
        int allowed = isError ? ERROR_TEXT_BYTES_MAX : bytesMax;
        int capacity = (int) Math.min(Math.max(wanted, length.isPresent() ? 0 : BLOCK_BYTES_FIRST), allowed);
        try {
            byte[] larger = new byte[capacity];
            System.arraycopy(block, 0, larger, 0, size);
            block = larger;
            return true;
        } catch (OutOfMemoryError error) { // of one block, so there is some left for others
            refuse("there is no memory for an answer of " + capacity + " bytes: see answerBytesMax and the JVM's -Xmx");
            return false;
        }
    }

    private void refuse(String why) {
        block = new byte[0];
        body.completeExceptionally(new ProtocolException(why, null));
        subscription.cancel();
    }
}
