// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * So many calls may use a connection at the same time; further ones wait in the order in which they came, and not more than so
 * many. Thread-safe.
 */
final class Places {
    /** A place, when it is complete. */
    static final class Place extends CompletableFuture<Void> {}

    private final int waitingMax;
    private final Executor executor;
    private final ArrayDeque<Place> waiting = new ArrayDeque<>();
    private int free;

    /** `executor`: runs what waited for a place. */
    Places(int places, int waitingMax, Executor executor) {
        this.free = places;
        this.waitingMax = waitingMax;
        this.executor = executor;
    }

    /** Completes when there is a place, which is given back later; or at once with ClientBusyException. */
    Place take() {
        Place place = new Place();
        synchronized (this) {
            if (free == 0) {
                if (waiting.size() >= waitingMax) {
                    waiting.removeIf(CompletableFuture::isDone); // those whose time is over
                }
                if (waiting.size() >= waitingMax) {
                    place.completeExceptionally(
                        new ClientBusyException(waitingMax + " calls wait for a connection already (waitingMax)", null));
                } else {
                    waiting.add(place);
                }
                return place;
            }
            free--;
        }
        place.complete(null);
        return place;
    }

    void giveBack() {
        Place next;
        synchronized (this) {
            do {
                next = waiting.poll();
            } while (next != null && next.isDone());
            if (next == null) {
                free++;
                return;
            }
        }
        Place place = next;
        executor.execute(() -> {
            if (!place.complete(null)) {
                giveBack(); // it has been given up meanwhile
            }
        });
    }
}
