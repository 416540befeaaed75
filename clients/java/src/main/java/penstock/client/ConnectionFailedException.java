// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** No connection to the server came about. The server has not seen the request. */
public final class ConnectionFailedException extends PenstockException {
    private static final long serialVersionUID = 1;

    ConnectionFailedException(String message, Throwable cause) {
        super(message, cause);
    }
}
