// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** A call that failed. Its classes say how. */
public abstract class PenstockException extends RuntimeException {
    private static final long serialVersionUID = 1;

    PenstockException(String message, Throwable cause) {
        super(message, cause);
    }
}
