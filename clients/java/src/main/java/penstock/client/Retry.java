// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.time.Duration;

/**
 * When a call is sent again. It is, if the server answered 503 (it has not run the model), and once, if a connection ends before
 * a byte of the answer: servers close idle connections, so this is nearly always a request that was not seen. Never after the
 * first byte of another answer.
 *
 * @param attemptsMax all tries of a call, 1 for none again
 * @param delay the wait after a 503 without Retry-After; it doubles
 * @param delayMax a server that asks to wait longer is not waited for
 * @param budget tries again that all calls of a client have together. So an overloaded server gets little more
 * @param budgetRefill what each answered call adds to the budget
 */
public record Retry(int attemptsMax, Duration delay, Duration delayMax, double budget, double budgetRefill) {
    /** 4 tries, 0.1 s, 10 s, a budget of 10, and 0.1 for each answer. */
    public static final Retry DEFAULT = new Retry(4, Duration.ofMillis(100), Duration.ofSeconds(10), 10, 0.1);
    /** Each request is sent once: for models whose runs change something. */
    public static final Retry NEVER = DEFAULT.withAttemptsMax(1);

    /** Checks the values. */
    public Retry {
        if (attemptsMax < 1) {
            throw new IllegalArgumentException("attemptsMax is at least 1, not " + attemptsMax);
        }
        if (delay.isNegative() || delayMax.isNegative() || !(budget >= 0) || !(budgetRefill >= 0)) {
            throw new IllegalArgumentException("the values of Retry are not negative");
        }
    }

    /** {@return the same with another attemptsMax} */
    public Retry withAttemptsMax(int value) {
        return new Retry(value, delay, delayMax, budget, budgetRefill);
    }

    /** {@return the same with another delay} */
    public Retry withDelay(Duration value) {
        return new Retry(attemptsMax, value, delayMax, budget, budgetRefill);
    }

    /** {@return the same with another delayMax} */
    public Retry withDelayMax(Duration value) {
        return new Retry(attemptsMax, delay, value, budget, budgetRefill);
    }

    /** {@return the same with another budget} */
    public Retry withBudget(double value, double refill) {
        return new Retry(attemptsMax, delay, delayMax, value, refill);
    }
}
