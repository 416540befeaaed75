// SPDX-License-Identifier: Apache-2.0
package penstock.client;

/** As many calls wait for a connection as may wait. The server has not seen the request. */
public final class ClientBusyException extends PenstockException {
    private static final long serialVersionUID = 1;

    ClientBusyException(String message, Throwable cause) {
        super(message, cause);
    }
}
