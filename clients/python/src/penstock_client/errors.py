# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a call. Every class derives from Error; wrong arguments are ValueError and TypeError."""
import json


class Error(Exception):
    """A call that failed."""


class ConnectionFailed(Error):
    """No connection to the server came about. The server has not seen the request."""


class ConnectionLost(Error):
    """The connection ended before the whole answer was there. The server may have run the model."""


class TimeoutExpired(Error, TimeoutError):
    """The time of the call is over."""


class ProtocolError(Error):
    """The answer is not HTTP, or not a GraphPipe message."""


class ServerError(Error):
    """The server refused the call. `status`: HTTP's, or the code of an error within the message. `text`: the server's
    reason. `retry_after`: seconds that the server asks to wait, or None."""

    def __init__(self, status: int, text: str, retry_after: float | None = None):
        super().__init__(f'{status}: {text}')
        self.status = status
        self.text = text
        self.retry_after = retry_after

    def __reduce__(self):  # pickled when a process pool hands it over
        return type(self), (self.status, self.text, self.retry_after)


class BadRequest(ServerError):
    """400: the request does not fit the model."""


class Unauthorized(ServerError):
    """401: the token is missing or wrong."""


class Forbidden(ServerError):
    """403: the caller may not do this."""


class NotFound(ServerError):
    """404: no such model, version or label, or the caller may not see it."""


class TooLarge(ServerError):
    """413: the request is larger than the server allows."""


class Unavailable(ServerError):
    """503: the server is overloaded, or the model is not ready. Such calls are repeated (see Retry) before this is raised."""


def reason(body, content_type):
    """The text of a failed answer. What a server of Penstock refuses before its front end sees it has the text in JSON."""
    text = body.decode(errors='replace').strip()
    if (content_type or '').startswith('application/json'):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(found, dict) and isinstance(found.get('error'), str):
            return found['error'].strip()
    return text


_CLASSES = {400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 413: TooLarge, 503: Unavailable}


def server_error(status, text, retry_after=None):
    """The error of the class that belongs to the status."""
    return _CLASSES.get(status, ServerError)(status, text, retry_after)
