// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** The answer is not HTTP, not a GraphPipe message, or too large. */
public final class ProtocolException extends PenstockException {
    private static final long serialVersionUID = 1;

    ProtocolException(String message, Throwable cause) {
        super(message, cause);
    }
}
