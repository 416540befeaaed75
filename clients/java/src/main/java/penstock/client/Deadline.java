// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.time.Duration;

/** A moment by which a call must be over, or none. Immutable. */
final class Deadline {
    private final Duration timeout;
    private final boolean isWatched;
    private final long end;

    /** `timeout`: null for no end. */
    Deadline(Duration timeout) {
        this(timeout, false);
    }

    private Deadline(Duration timeout, boolean isWatched) {
        this.timeout = timeout;
        this.isWatched = isWatched;
        this.end = timeout == null ? 0 : System.nanoTime() + nanos(timeout);
    }

    /** One that Caller.await() watches: such a call needs no timer, which costs as much as a small call itself. */
    static Deadline watched(Duration timeout) {
        return new Deadline(timeout, true);
    }

    boolean isWatched() {
        return isWatched;
    }

    /** null for no end; not negative. */
    Duration left() {
        return timeout == null ? null : Duration.ofNanos(Math.max(end - System.nanoTime(), 0));
    }

    CallTimeoutException expired(String what) {
        return new CallTimeoutException(what + " did not come within " + timeout.toMillis() / 1000.0 + " s (timeout)", null);
    }

    /** What a long can hold; 0 for less than that. */
    static long nanos(Duration duration) {
        if (duration.isNegative()) {
            return 0;
        }
        return duration.compareTo(Duration.ofDays(10000)) < 0 ? duration.toNanos() : Duration.ofDays(10000).toNanos();
    }
}
