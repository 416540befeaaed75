// SPDX-License-Identifier: Apache-2.0
package penstock.client;

import java.time.Duration;
import java.util.Optional;

/** The server refused the call. The most usual statuses have classes of their own. */
public class ServerException extends PenstockException {
    private static final long serialVersionUID = 1;

    private final int status;
    private final String text;
    private final Duration retryAfter;

    ServerException(int status, String text, Duration retryAfter) {
        super(status + ": " + text, null);
        this.status = status;
        this.text = text;
        this.retryAfter = retryAfter;
    }

    /** The exception of the class that belongs to the status. `retryAfter` may be null. */
    static ServerException of(int status, String text, Duration retryAfter) {
        return switch (status) {
            case 400 -> new BadRequest(text, retryAfter);
            case 401 -> new Unauthorized(text, retryAfter);
            case 403 -> new Forbidden(text, retryAfter);
            case 404 -> new NotFound(text, retryAfter);
            case 413 -> new TooLarge(text, retryAfter);
            case 503 -> new Unavailable(text, retryAfter);
            default -> new ServerException(status, text, retryAfter);
        };
    }

    /** {@return HTTP's status, or the code of an error within the message} */
    public int status() {
        return status;
    }

    /** {@return the server's reason} */
    public String text() {
        return text;
    }

    /** {@return how long the server asks to wait before the next try} */
    public Optional<Duration> retryAfter() {
        return Optional.ofNullable(retryAfter);
    }

    /** 400: the request does not fit the model. */
    public static final class BadRequest extends ServerException {
        private static final long serialVersionUID = 1;

        BadRequest(String text, Duration retryAfter) {
            super(400, text, retryAfter);
        }
    }

    /** 401: the token is missing or wrong. */
    public static final class Unauthorized extends ServerException {
        private static final long serialVersionUID = 1;

        Unauthorized(String text, Duration retryAfter) {
            super(401, text, retryAfter);
        }
    }

    /** 403: the caller may not do this. */
    public static final class Forbidden extends ServerException {
        private static final long serialVersionUID = 1;

        Forbidden(String text, Duration retryAfter) {
            super(403, text, retryAfter);
        }
    }

    /** 404: no such model, version or label, or the caller may not see it. */
    public static final class NotFound extends ServerException {
        private static final long serialVersionUID = 1;

        NotFound(String text, Duration retryAfter) {
            super(404, text, retryAfter);
        }
    }

    /** 413: the request is larger than the server allows. */
    public static final class TooLarge extends ServerException {
        private static final long serialVersionUID = 1;

        TooLarge(String text, Duration retryAfter) {
            super(413, text, retryAfter);
        }
    }

    /**
     * 503: the server is overloaded, or the model is not ready. Such calls are repeated (see {@link Retry}) before this is
     * thrown.
     */
    public static final class Unavailable extends ServerException {
        private static final long serialVersionUID = 1;

        Unavailable(String text, Duration retryAfter) {
            super(503, text, retryAfter);
        }
    }
}
