// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** The thread was interrupted while it waited for the answer; it still is. The server may have run the model. */
public final class CallInterruptedException extends PenstockException {
    private static final long serialVersionUID = 1;

    CallInterruptedException(String message, Throwable cause) {
        super(message, cause);
    }
}
