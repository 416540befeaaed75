# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio, on aiohttp: it sends a request from an iterator of buffers, and hands over an answer in the pieces
that came. (httpx takes and gives bytes only: one more copy each way, and a parser in Python.)"""
from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp
import numpy as np
import yarl

from . import message
from .client import aligned
from .errors import ConnectionFailed, ConnectionLost, ProtocolError, TimeoutExpired, Unavailable, reason, server_error
from .message import ModelMetadata, Outputs
from .options import (Deadline, Inputs, Options, RetryBudget, checked_headers, infer_buffers, only_output, parse_retry_after,
                      read_answer, target)

_ERROR_TEXT_BYTES_MAX = 1 << 16
# Each piece waits until the one before is nearly sent, because what the socket does not take at once is copied.
_SEND_BYTES = 1 << 20
_READ_BYTES = 1 << 20


class AsyncClient:
    """A server. For one event loop. Use it as `async with`. The arguments are those of Options."""

    def __init__(self, url: str = 'http://localhost:8501', **options):
        self._options = Options(url, **options)
        is_tls, _, _, self._prefix = self._options.address()
        self._origin = self._options.url[:len(self._options.url.rstrip('/')) - len(self._prefix)]
        self._tls = self._options.tls_context() if is_tls else True
        self._budget = RetryBudget(self._options.retry)
        self._headers = {**self._options.request_headers(), 'accept-encoding': 'identity'}
        self._session = None

    def model(self, name: str | None = None, version: int | None = None, label: str | None = None,
              signature: str | None = None) -> AsyncModel:
        """A model of the server. Without a name it is the one at `/`, as GraphPipe's own servers have it."""
        path = target(self._prefix, name, version, label, signature)
        return AsyncModel(self, yarl.URL(self._origin.rstrip('/') + path, encoded=True))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_):
        await self.close()

    def _open_session(self):
        if self._session is None:  # not before: it belongs to the running loop
            connector = aiohttp.TCPConnector(limit=self._options.connections_max, ssl=self._tls,
                                             keepalive_timeout=self._options.idle_seconds_max)
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_READ_BYTES, auto_decompress=False,
                                                  cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def call(self, url, buffers, parse, timeout=None, headers=None):
        """Posts the buffers, and gives the answer to `parse`."""
        deadline = Deadline(self._options.timeout if timeout is None else timeout)
        headers = {**self._headers, **checked_headers(headers)} if headers else self._headers
        attempt = 1
        while True:
            try:
                body, answered = await self._exchange(url, buffers, headers, deadline)
                answer = read_answer(parse, body, answered, self._options.answer_bytes_max, deadline)
                self._budget.answered()
                return answer
            except Unavailable as error:
                left = deadline.left()
                delay = self._budget.delay(attempt, error.retry_after, float('inf') if left is None else left)
                if delay is None:
                    raise
            await asyncio.sleep(delay)
            attempt += 1

    async def _exchange(self, url, buffers, headers, deadline):
        """One request and its answer. A kept connection that the server had closed meanwhile is replaced. aiohttp does not say
        which connection a call had, so a new one that was closed counts as a kept one, once."""
        try:
            return await self._exchange_once(url, buffers, headers, deadline)
        except _ClosedBefore as error:
            if not self._budget.may_resend():
                raise ConnectionLost(f'the server closed the connection without an answer: {error}') from error
        try:
            return await self._exchange_once(url, buffers, headers, deadline)
        except _ClosedBefore as error:
            raise ConnectionLost(f'the server closed the connection without an answer: {error}') from error

    async def _exchange_once(self, url, buffers, headers, deadline):
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        headers = {**headers, 'content-length': str(size)}
        timeout = aiohttp.ClientTimeout(total=deadline.left(), sock_connect=self._options.connect_timeout)
        response = None
        try:
            async with self._open_session().post(url, data=_pieces(buffers), headers=headers, timeout=timeout,
                                                 allow_redirects=False) as response:
                if response.status != 200:
                    text = reason(await _read_text(response), response.headers.get('Content-Type'))
                    raise server_error(response.status, text or response.reason,
                                       parse_retry_after(response.headers.get('Retry-After')))
                return await self._read_body(response), {name.lower(): value for name, value in response.headers.items()}
        except aiohttp.ConnectionTimeoutError as error:
            raise TimeoutExpired(f'no connection within {self._options.connect_timeout} s (connect_timeout)') from error
        except TimeoutExpired:
            raise
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise deadline.expired('the answer') from error
        except aiohttp.ClientConnectorError as error:
            raise ConnectionFailed(f'no connection to {error.host}:{error.port}: {error.os_error}') from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if response is None:
                raise _ClosedBefore(error) from error
            raise ConnectionLost(f'the connection ended within the answer: {error}') from error
        except aiohttp.ClientPayloadError as error:
            raise ConnectionLost('the connection ended within the answer') from error
        except aiohttp.ClientResponseError as error:  # its own text has the whole request
            raise ProtocolError(f'the answer is not HTTP: {" ".join(str(error.message).split())}') from error
        except aiohttp.ClientError as error:
            raise ProtocolError(f'the answer is not HTTP: {error!r}') from error

    async def _read_body(self, response):
        length, bytes_max = response.content_length, self._options.answer_bytes_max
        if length is not None and length > bytes_max:
            raise ProtocolError(f'the answer has {length} bytes, but answer_bytes_max is {bytes_max}')
        array = aligned(_READ_BYTES if length is None else length)
        position = 0
        async for piece in response.content.iter_any():
            end = position + len(piece)
            if end > bytes_max:
                raise ProtocolError(f'the answer has more than {bytes_max} bytes (answer_bytes_max)')
            if end > len(array):
                larger = aligned(2 * end)
                larger[:position] = array[:position]
                array = larger
            array[position:end] = np.frombuffer(piece, np.uint8)
            position = end
        return array[:position]


class AsyncModel:
    """A model of an AsyncClient, with the functions of Model. Get one from AsyncClient.model()."""

    def __init__(self, client, url):
        self._client = client
        self._url = url

    async def infer(self, inputs: Inputs, outputs: Sequence[str] | None = None, config: str = '',
                    timeout: float | None = None, headers: Mapping[str, str] | None = None) -> Outputs:
        """See Model.infer."""
        return await self._client.call(self._url, infer_buffers(inputs, outputs, config), message.read_infer_response,
                                       timeout, headers)

    async def infer_one(self, inputs: Inputs, output: str | None = None, config: str = '',
                        timeout: float | None = None, headers: Mapping[str, str] | None = None) -> np.ndarray:
        """See Model.infer_one."""
        return only_output(await self.infer(inputs, None if output is None else [output], config, timeout, headers))

    async def infer_named(self, inputs: Inputs, outputs: Sequence[str] | None = None, config: str = '',
                          timeout: float | None = None, headers: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
        """See Model.infer_named."""
        if outputs is None:
            outputs = [output.name for output in (await self.metadata(timeout, headers)).outputs]
        names = list(outputs)
        return dict(zip(names, await self.infer(inputs, names, config, timeout, headers)))

    async def metadata(self, timeout: float | None = None, headers: Mapping[str, str] | None = None) -> ModelMetadata:
        """See Model.metadata."""
        return await self._client.call(self._url, [message.METADATA_REQUEST], message.read_metadata_response, timeout,
                                       headers)


class _ClosedBefore(Exception):
    """The connection was closed before the first byte of an answer."""


async def _read_text(response):
    """The text of an error, or its beginning: it comes in pieces."""
    text = b''
    while len(text) < _ERROR_TEXT_BYTES_MAX:
        try:
            piece = await response.content.read(_ERROR_TEXT_BYTES_MAX - len(text))
        except aiohttp.ClientPayloadError:
            break  # what came says more than that the rest did not
        if not piece:
            break
        text += piece
    return text


async def _pieces(buffers):
    for buffer in buffers:
        view = memoryview(buffer)
        for start in range(0, view.nbytes, _SEND_BYTES):
            yield view[start:start + _SEND_BYTES]
