// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** The connection ended before the whole answer was there. The server may have run the model. */
public final class ConnectionLostException extends PenstockException {
    private static final long serialVersionUID = 1;

    ConnectionLostException(String message, Throwable cause) {
        super(message, cause);
    }
}
