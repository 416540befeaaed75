// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.concurrent.ThreadLocalRandom;

/** The tries again that all calls of a client have left. Thread-safe. */
final class RetryBudget {
    private final Retry retry;
    private double left;

    RetryBudget(Retry retry) {
        this.retry = retry;
        this.left = retry.budget();
    }

    synchronized void answered() {
        left = Math.min(left + retry.budgetRefill(), retry.budget());
    }

    private synchronized boolean take() {
        if (left < 1) {
            return false;
        }
        left -= 1;
        return true;
    }

    /** Whether a request whose connection was closed may be sent again, at once. */
    boolean mayResend() {
        return retry.attemptsMax() > 1 && take();
    }

    /**
     * How long to wait before try `attempt` + 1; null: no more tries. The server's wish is the least. `retryAfter` and `timeLeft`
     * may be null: none, and no end.
     */
    Duration delay(int attempt, Duration retryAfter, Duration timeLeft) {
        if (attempt >= retry.attemptsMax() || retryAfter != null && retryAfter.compareTo(retry.delayMax()) > 0) {
            return null;
        }
        Duration least = retryAfter;
        if (least == null || least.isZero()) { // 0 is no reason to send all tries at once
            Duration doubled = retry.delay().multipliedBy(1L << Math.min(attempt - 1, 20));
            least = doubled.compareTo(retry.delayMax()) < 0 ? doubled : retry.delayMax();
        }
        // A random part, so that clients that were refused together do not come back together.
        Duration delay = least.plusNanos((long) (least.toNanos() / 4.0 * ThreadLocalRandom.current().nextDouble()));
        return (timeLeft == null || delay.compareTo(timeLeft) < 0) && take() ? delay : null;
    }

    /** null if there is none, or it is in neither of the two forms that HTTP has. */
    static Duration parseRetryAfter(String text) {
        if (text == null) {
            return null;
        }
        if (text.matches("\\d+")) { // of any length
            return Duration.ofSeconds(text.length() < 10 ? Long.parseLong(text) : 999_999_999);
        }
        try {
            Instant when = Instant.from(DateTimeFormatter.RFC_1123_DATE_TIME.parse(text));
            Duration left = Duration.between(Instant.now(), when);
            return left.isNegative() ? Duration.ZERO : left;
        } catch (DateTimeException error) {
            return null;
        }
    }
}
