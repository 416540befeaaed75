# SPDX-License-Identifier: Apache-2.0
"""The client for threads, on http.client: it writes buffers of any kind to the socket as they are, and reads an answer into
memory that is given. So a large tensor is not copied in this process, apart from what the kernel does."""
from __future__ import annotations

import http.client
import io
import select
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from . import message
from .errors import ConnectionFailed, ConnectionLost, ProtocolError, TimeoutExpired, Unavailable, reason, server_error
from .message import ModelMetadata, Outputs
from .options import (Deadline, Inputs, Options, RetryBudget, checked_headers, infer_buffers, only_output, parse_retry_after,
                      read_answer, target)

_ERROR_TEXT_BYTES_MAX = 1 << 16
_PIECE_BYTES = 1 << 20  # of answers whose length is not told
_READ_BYTES = 1 << 16
_JOINED_BYTES_MAX = 1 << 14


class Client:
    """A server. Thread-safe; one for the whole process is best. Close it, or use it as a context manager.
    The arguments are those of Options."""

    def __init__(self, url: str = 'http://localhost:8501', **options):
        self._options = Options(url, **options)
        is_tls, host, port, self._prefix = self._options.address()
        if is_tls:
            context = self._options.tls_context()
            self._pool = _Pool(lambda: _TlsConnection(host, port, context=context), self._options)
        else:
            self._pool = _Pool(lambda: _PlainConnection(host, port), self._options)
        self._budget = RetryBudget(self._options.retry)
        self._headers = self._options.request_headers()

    def model(self, name: str | None = None, version: int | None = None, label: str | None = None,
              signature: str | None = None) -> Model:
        """A model of the server. Without a name it is the one at `/`, as GraphPipe's own servers have it."""
        return Model(self, target(self._prefix, name, version, label, signature))

    def close(self) -> None:
        """Closes the connections that are not in use; those in use close when their call ends."""
        self._pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, path, buffers, parse, timeout=None, headers=None):
        """Posts the buffers, and gives the answer to `parse`."""
        deadline = Deadline(self._options.timeout if timeout is None else timeout)
        headers = {**self._headers, **checked_headers(headers)} if headers else self._headers
        attempt = 1
        while True:
            try:
                body, answered = self._exchange(path, buffers, headers, deadline)
                answer = read_answer(parse, body, answered, self._options.answer_bytes_max, deadline)
                self._budget.answered()
                return answer
            except Unavailable as error:
                left = deadline.left()
                delay = self._budget.delay(attempt, error.retry_after, float('inf') if left is None else left)
                if delay is None:
                    raise
            time.sleep(delay)
            attempt += 1

    def _exchange(self, path, buffers, headers, deadline):
        """One request and its answer. A kept connection that the server had closed meanwhile is replaced, once."""
        try:
            return self._exchange_on(self._pool.take(deadline), path, buffers, headers, deadline)
        except _ClosedBefore as error:
            if not error.was_kept or not self._budget.may_resend():
                raise ConnectionLost(f'the server closed the connection without an answer: {error}') from error
        try:
            return self._exchange_on(self._pool.take(deadline, is_new=True), path, buffers, headers, deadline)
        except _ClosedBefore as error:
            raise ConnectionLost(f'the server closed the connection without an answer: {error}') from error

    def _exchange_on(self, connection, path, buffers, headers, deadline):
        try:
            return self._exchange_through(connection, path, buffers, headers, deadline)
        finally:
            self._pool.give_back(connection, connection.is_kept)

    def _exchange_through(self, connection, path, buffers, headers, deadline):
        try:
            response = connection.send_request(path, buffers, headers, deadline, self._options.connect_timeout)
            if response.status != 200:
                text = reason(response.read(_ERROR_TEXT_BYTES_MAX), response.getheader('Content-Type'))
                connection.finish(response)
                raise server_error(response.status, text or response.reason,
                                   parse_retry_after(response.getheader('Retry-After')))
            body = _read_body(response, self._options.answer_bytes_max)
            connection.finish(response)
            return body, {name.lower(): value for name, value in response.getheaders()}
        except TimeoutExpired:
            raise
        except TimeoutError as error:  # of a socket
            raise deadline.expired('the answer') from error
        except http.client.IncompleteRead as error:
            raise ConnectionLost(f'the connection ended within the answer: {error}') from error
        except http.client.HTTPException as error:
            raise ProtocolError(f'the answer is not HTTP: {error!r}') from error
        except OSError as error:
            raise ConnectionLost(f'the connection ended within the answer: {error}') from error


class Model:
    """A model of a client. Thread-safe. Get one from Client.model()."""

    def __init__(self, client, path):
        self._client = client
        self._path = path

    def infer(self, inputs: Inputs, outputs: Sequence[str] | None = None, config: str = '',
              timeout: float | None = None, headers: Mapping[str, str] | None = None) -> Outputs:
        """The outputs as a list of arrays, in the order of `outputs`; without it all of them, in the order of the
        metadata. Inputs: an array, a list of arrays in the order of the metadata, or a dict of arrays by name.
        `headers`: of this request. The list has those of the answer as `headers`, by their names in lower case.

        Arrays of strings have the dtype object and bytes in them. The others share the memory of the answer: to keep a
        small one of several for long, copy it."""
        return self._client.call(self._path, infer_buffers(inputs, outputs, config), message.read_infer_response, timeout,
                                 headers)

    def infer_one(self, inputs: Inputs, output: str | None = None, config: str = '',
                  timeout: float | None = None, headers: Mapping[str, str] | None = None) -> np.ndarray:
        """The same for one output."""
        return only_output(self.infer(inputs, None if output is None else [output], config, timeout, headers))

    def infer_named(self, inputs: Inputs, outputs: Sequence[str] | None = None, config: str = '',
                    timeout: float | None = None, headers: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
        """The same as a dict by name. Without `outputs`, the names are asked for first: one more call."""
        names = [output.name for output in self.metadata(timeout, headers).outputs] if outputs is None else list(outputs)
        return dict(zip(names, self.infer(inputs, names, config, timeout, headers)))

    def metadata(self, timeout: float | None = None, headers: Mapping[str, str] | None = None) -> ModelMetadata:
        """What the server says about the model, a ModelMetadata."""
        return self._client.call(self._path, [message.METADATA_REQUEST], message.read_metadata_response, timeout,
                                 headers)


# --- implementation

class _ClosedBefore(Exception):
    """The connection was closed before the first byte of an answer. `was_kept`: it had answered a request before."""

    def __init__(self, reason, was_kept):
        super().__init__(reason)
        self.was_kept = was_kept


def aligned(size):
    """Memory from a multiple of 64 on. Answers of Penstock have their large tensors at such multiples, too."""
    raw = np.empty(size + 63, np.uint8)
    start = -raw.__array_interface__['data'][0] % 64
    return raw[start:start + size]


def _read_body(response, bytes_max):
    length = response.length
    if length is None:
        return _read_pieces(response, bytes_max)
    if length > bytes_max:
        raise ProtocolError(f'the answer has {length} bytes, but answer_bytes_max is {bytes_max}')
    array = aligned(length)
    view = memoryview(array)
    position = 0
    while position < length:
        count = response.readinto(view[position:])
        if count == 0:
            raise http.client.IncompleteRead(b'', length - position)
        position += count
    return array


def _read_pieces(response, bytes_max):
    """An answer in chunks, or one that ends with its connection, as GraphPipe's own servers send them."""
    pieces, size = [], 0
    while True:
        piece = response.read(_PIECE_BYTES)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > bytes_max:
            raise ProtocolError(f'the answer has more than {bytes_max} bytes (answer_bytes_max)')
    array = aligned(size)
    position = 0
    for piece in pieces:
        array[position:position + len(piece)] = np.frombuffer(piece, np.uint8)
        position += len(piece)
    return array


class _DeadlineFile(io.RawIOBase):
    """The receiving side of a socket: each read has the time that is left."""

    def __init__(self, owner, raw):
        self._owner = owner
        self._raw = raw

    def readable(self):
        return True

    def readinto(self, target):
        self._owner.arm()
        return self._raw.readinto(target)

    def close(self):
        if not self.closed:
            self._raw.close()
        super().close()


class _DeadlineSocket:
    """A socket for http.client, whose sends and reads all end by one deadline: a socket's own time-out begins anew with
    each byte. One thread at a time."""

    def __init__(self, sock):
        self.sock = sock
        self.deadline = None
        self._head = None

    def begin(self, deadline):
        """Before a request. Its first send is the head, which goes out with what follows."""
        self.deadline = deadline
        self._head = b''

    def arm(self):
        self.sock.settimeout(self.deadline.left())

    def sendall(self, data):
        if self._head == b'':
            self._head = data
            return
        if self._head is not None:
            head, self._head = self._head, None
            if memoryview(data).nbytes <= _JOINED_BYTES_MAX:
                data = b''.join((head, data))  # one packet, so the server wakes up once
            else:
                self.arm()
                self.sock.sendall(head)
        self.arm()
        self.sock.sendall(data)

    def makefile(self, mode, buffering=None):
        return io.BufferedReader(_DeadlineFile(self, self.sock.makefile('rb', buffering=0)), _READ_BYTES)

    def close(self):
        self.sock.close()


class _Response(http.client.HTTPResponse):
    """An answer whose chunks have no negative size: the library reads those to the end of the connection."""

    def _read_next_chunk_size(self):
        size = super()._read_next_chunk_size()
        if size < 0:
            raise http.client.HTTPException(f'a chunk has the size {size}')
        return size


class _Connection:
    """What both kinds of connections have. One thread at a time."""
    response_class = _Response
    is_used = False  # for an answered request
    is_kept = False  # it can have one more
    idle_since = 0.0

    def connect(self):
        super().connect()
        self.sock = _DeadlineSocket(self.sock)

    def send_request(self, path, buffers, headers, deadline, connect_timeout):
        """The head of the answer."""
        self.is_kept = False
        if self.sock is None:
            left = deadline.left()
            self.timeout = connect_timeout if left is None else min(connect_timeout, left)
            try:
                self.connect()
            except TimeoutError as error:
                raise TimeoutExpired(f'no connection to {self.host}:{self.port} within {self.timeout:.3g} s '
                                     '(connect_timeout, timeout)') from error
            except OSError as error:  # ssl.SSLError is one
                raise ConnectionFailed(f'no connection to {self.host}:{self.port}: {error}') from error
        self.sock.begin(deadline)
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        broken = None
        try:
            self.request('POST', path, buffers, {**headers, 'content-length': str(size)})
        except (BrokenPipeError, ConnectionResetError) as error:
            broken = error  # a server that refuses a request early may have said why
        try:
            return self.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            raise _ClosedBefore(broken or error, self.is_used) from error

    def finish(self, response):
        """After the answer."""
        self.is_used = True
        self.is_kept = response.isclosed() and not response.will_close and self.sock is not None
        self.idle_since = time.monotonic()

    def is_fit(self, idle_seconds_max):
        """Whether the server seems to keep it open: an idle connection has nothing to read."""
        if time.monotonic() - self.idle_since > idle_seconds_max:
            return False
        poll = select.poll() if hasattr(select, 'poll') else None
        if poll is None:
            return not select.select([self.sock.sock], [], [], 0)[0]
        poll.register(self.sock.sock, select.POLLIN)
        return not poll.poll(0)


class _PlainConnection(_Connection, http.client.HTTPConnection):
    pass


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Pool:
    """At most `connections_max` connections; the one that was used last is taken first. Thread-safe."""

    def __init__(self, connect, options):
        self._connect = connect
        self._options = options
        self._places = threading.BoundedSemaphore(options.connections_max)
        self._lock = threading.Lock()
        self._idle = []
        self._is_closed = False

    def take(self, deadline, is_new=False):
        """A connection; `is_new`: none that was used before."""
        if not self._places.acquire(timeout=deadline.left()):
            raise deadline.expired(f'one of the {self._options.connections_max} connections (connections_max)')
        try:
            while True:
                with self._lock:
                    if self._is_closed:
                        raise ValueError('the client is closed')
                    connection = self._idle.pop() if self._idle else None
                if connection is None:
                    return self._connect()
                if not is_new and connection.is_fit(self._options.idle_seconds_max):
                    return connection
                connection.close()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, connection, is_kept):
        with self._lock:
            if is_kept and not self._is_closed:
                self._idle.append(connection)
                connection = None
        if connection is not None:
            connection.close()
        self._places.release()

    def close(self):
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
