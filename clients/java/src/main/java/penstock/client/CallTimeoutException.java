// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** The time of the call is over. */
public final class CallTimeoutException extends PenstockException {
    private static final long serialVersionUID = 1;

    CallTimeoutException(String message, Throwable cause) {
        super(message, cause);
    }
}
