// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.net.http.HttpRequest.BodyPublisher;
import java.nio.ByteBuffer;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Hands the parts of a message to the HTTP client, piece by piece as it asks for them. Direct buffers are handed over whole.
 * Others come in pieces, because the socket copies each of them into direct memory first: a small piece is still in the
 * processor's cache then. Thread-safe; each subscription sends all.
 */
final class RequestBody implements BodyPublisher {
    static final int PIECE_BYTES = 1 << 16;

    private final Message message;

    RequestBody(Message message) {
        this.message = message;
    }

    @Override
    public long contentLength() {
        return message.size();
    }

    @Override
    public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
        subscriber.onSubscribe(new Sending(new Pieces(message.parts()), subscriber));
    }

    /** The pieces of all parts. One thread at a time. */
    static final class Pieces implements Iterator<ByteBuffer> {
        private final Iterator<Part> parts;
        private Part part;
        private long position;

        Pieces(List<Part> parts) {
            this.parts = parts.iterator();
        }

        @Override
        public boolean hasNext() {
            while (part == null || position == part.size()) {
                if (!parts.hasNext()) {
                    return false;
                }
                part = parts.next();
                position = 0;
            }
            return true;
        }

        @Override
        public ByteBuffer next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            long left = part.size() - position;
            ByteBuffer piece = part.piece(position, (int) (part.isDirect() ? left : Math.min(left, PIECE_BYTES)));
            position += piece.remaining();
            return piece;
        }
    }

    /** One subscription. request() may come from any thread, also from within onNext(). */
    private static final class Sending implements Flow.Subscription {
        private final Pieces pieces;
        private final Flow.Subscriber<? super ByteBuffer> subscriber;
        private final AtomicLong asked = new AtomicLong(); // and not sent yet; who makes it positive sends until it is 0
        private volatile boolean isOver;

        Sending(Pieces pieces, Flow.Subscriber<? super ByteBuffer> subscriber) {
            this.pieces = pieces;
            this.subscriber = subscriber;
        }

        @Override
        public void request(long count) {
            if (count <= 0) {
                isOver = true;
                subscriber.onError(new IllegalArgumentException("a subscriber asked for " + count + " pieces"));
                return;
            }
            if (asked.getAndAccumulate(count, (left, more) -> left + more < 0 ? Long.MAX_VALUE : left + more) == 0) {
                do {
                    send();
                } while (asked.decrementAndGet() > 0);
            }
        }

        @Override
        public void cancel() {
            isOver = true;
        }

        private void send() {
            if (isOver) {
                return;
            }
            try {
                subscriber.onNext(pieces.next());
            } catch (RuntimeException | OutOfMemoryError error) {
                isOver = true;
                subscriber.onError(error);
                return;
            }
            if (!isOver && !pieces.hasNext()) {
                isOver = true;
                subscriber.onComplete();
            }
        }
    }
}
