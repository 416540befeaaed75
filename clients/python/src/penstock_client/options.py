# SPDX-License-Identifier: Apache-2.0
"""What both clients share: where to, how long, and when to try again. No input or output."""
import dataclasses
import datetime
import email.utils
import numbers
import random
import ssl
import threading
import time
import typing
import urllib.parse

import numpy as np
import numpy.typing as npt

from . import message
from .errors import ServerError, TimeoutExpired


# A time that time.sleep takes; a server may send any number of digits.
_RETRY_AFTER_SECONDS_MAX = 1e9
Inputs = typing.Union[npt.ArrayLike, typing.Sequence[np.ndarray], typing.Mapping[str, npt.ArrayLike]]


@dataclasses.dataclass(frozen=True)
class Retry:
    """When a call is sent again. It is, if the server answered 503 (it has not run the model), and once, if a connection
    that was kept from an earlier call ends before a byte of the answer. Never after the first byte of another answer.

    `attempts_max`: all tries of a call, 1 for none again. `delay_seconds`: the wait after a 503 without Retry-After; it
    doubles. `delay_seconds_max`: a server that asks to wait longer is not waited for. `budget`: tries again that all
    calls of a client have together; each answered call adds `budget_refill`. So an overloaded server gets little more."""
    attempts_max: int = 4
    delay_seconds: float = 0.1
    delay_seconds_max: float = 10.0
    budget: float = 10.0
    budget_refill: float = 0.1


class RetryBudget:
    """The tries again that are left. Thread-safe."""

    def __init__(self, retry):
        self._retry = retry
        self._left = retry.budget
        self._lock = threading.Lock()

    def answered(self):
        with self._lock:
            self._left = min(self._left + self._retry.budget_refill, self._retry.budget)

    def take(self):
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def may_resend(self):
        """Whether a request whose kept connection was closed may be sent again, at once."""
        return self._retry.attempts_max > 1 and self.take()

    def delay(self, attempt, retry_after, seconds_left):
        """How long to wait before try `attempt` + 1, or None: no more tries. The server's wish is the least."""
        if attempt >= self._retry.attempts_max:
            return None
        spread = 1 + random.random() / 4  # so that clients that were refused together do not come back together
        if not retry_after:  # 0 is no reason to send all tries at once
            wanted = min(self._retry.delay_seconds * 2**(attempt - 1), self._retry.delay_seconds_max)
            delay = wanted * spread
        elif retry_after > self._retry.delay_seconds_max:
            return None
        else:
            delay = retry_after * spread
        return delay if delay < seconds_left and self.take() else None


def parse_retry_after(text):
    """Seconds, or None: both forms that HTTP has."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _RETRY_AFTER_SECONDS_MAX)
    try:
        when = email.utils.parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=datetime.timezone.utc)
        return max((when - datetime.datetime.now(datetime.timezone.utc)).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


class Deadline:
    """A moment by which a call must be over; None: never."""
    __slots__ = ('_end', '_seconds')

    def __init__(self, seconds):
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self):
        """Seconds, or None for no end. Raises TimeoutExpired if none are left."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.expired('the answer')
        return left

    def expired(self, what):
        return TimeoutExpired(f'{what} did not come within {self._seconds} s (timeout)')


@dataclasses.dataclass(frozen=True)
class Options:
    """The arguments of Client and AsyncClient.

    url: http:// or https://, host, port, and a path if a proxy puts one before the server's paths
    token: sent as a bearer token with each request
    ca_file: PEM file of the authorities to trust, instead of the system's; certificate_file, key_file: the client's own
    ssl_context: instead of these three
    connect_timeout: seconds for a connection and its TLS handshake
    timeout: seconds for a whole call with its waits and tries again; None for no end; a call can have its own
    connections_max: calls at the same time; further ones wait
    idle_seconds_max: kept connections that were not used for so long are closed
    answer_bytes_max: larger answers are refused before memory is taken for them
    retry: see Retry
    headers: sent with each request, as {'x-request-id': ...}"""
    url: str = 'http://localhost:8501'
    token: typing.Optional[str] = None
    ca_file: typing.Optional[str] = None
    certificate_file: typing.Optional[str] = None
    key_file: typing.Optional[str] = None
    ssl_context: typing.Optional[ssl.SSLContext] = None
    connect_timeout: float = 5.0
    timeout: typing.Optional[float] = 60.0
    connections_max: int = 8
    idle_seconds_max: float = 60.0
    answer_bytes_max: int = message.MESSAGE_BYTES_MAX
    retry: Retry = Retry()
    headers: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ('http', 'https') or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the URL of a server is as http://host:8501 or https://host:8501, not '{self.url}'")
        if parts.username is not None:
            raise ValueError('the URL may not have a user; give the token as token=...')
        if parts.scheme == 'http' and (self.ca_file or self.certificate_file or self.key_file or self.ssl_context):
            raise ValueError(f"certificates are for https://, but the URL is '{self.url}'")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            raise ValueError(f"the port of a URL is from 1 to 65535, but it is '{self.url}'")
        for name in ('connect_timeout', 'timeout', 'idle_seconds_max', 'connections_max', 'answer_bytes_max'):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) and not (name == 'timeout' and value is None):
                raise TypeError(f'{name} is a number, not {value!r}')
        if self.connections_max < 1:
            raise ValueError(f'connections_max is at least 1, not {self.connections_max}')

    def address(self):
        """(is TLS, host, port, path without a slash at the end)"""
        parts = urllib.parse.urlsplit(self.url)
        is_tls = parts.scheme == 'https'
        return is_tls, parts.hostname, parts.port or (443 if is_tls else 80), parts.path.rstrip('/')

    def tls_context(self):
        if self.ssl_context is not None:
            return self.ssl_context
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def request_headers(self):
        headers = {'content-type': 'application/octet-stream', **checked_headers(self.headers)}
        if self.token is not None:
            headers['authorization'] = f'Bearer {self.token}'
        return headers


def checked_headers(headers):
    """Headers of the caller, by their names in lower case."""
    checked = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f'the names and values of headers are texts, not {name!r}: {value!r}')
        if name.lower() in ('content-length', 'transfer-encoding'):
            raise ValueError(f'the client itself sets the header {name}')
        if any(each in text for each in '\r\n\0' for text in (name, value)):
            raise ValueError(f'the header {name!r} has the end of a line in it')
        checked[name.lower()] = value
    return checked


def read_answer(parse, body, headers, bytes_max, deadline):
    """What `parse` makes of the body. `headers`: those of the answer."""
    try:
        result = parse(body, bytes_max, deadline)
    except ServerError as error:  # within the message; HTTP has the time to wait
        error.retry_after = parse_retry_after(headers.get('retry-after'))
        raise
    if isinstance(result, message.Outputs):
        result.headers = headers
    return result


def target(prefix, name, version=None, label=None, signature=None):
    """The path and query of a model. Without a name: `/`, where servers of GraphPipe have their only model."""
    if version is not None and label is not None:
        raise ValueError('give a version or a label, not both')
    if name is None:
        if version is not None or label is not None:
            raise ValueError('a version or label needs the name of a model')
        path = prefix + '/'
    else:
        if not isinstance(name, str):
            raise TypeError(f'the name of a model is a text, not {name!r}')
        if not name:
            raise ValueError('the name of a model is not empty; without a name it is the default model')
        path = f'{prefix}/graphpipe/{urllib.parse.quote(name, safe="")}'
    if version is not None:
        path += f'/versions/{int(version)}'
    if label is not None:
        path += f'/labels/{urllib.parse.quote(label, safe="")}'
    if signature is not None:
        path += '?' + urllib.parse.urlencode({'signature_name': signature})
    return path


def infer_buffers(inputs, outputs, config):
    """The request of infer(): `inputs` is an array, a list of arrays, or a dict of them by name. A list without an array
    is one input, as np.asarray makes it."""
    if isinstance(outputs, (str, bytes)):
        raise TypeError('outputs is a list of names; infer_one() takes one name')
    outputs = () if outputs is None else outputs
    if not isinstance(outputs, typing.Iterable):
        raise TypeError(f'outputs is a list of names, not {outputs!r}')
    if not isinstance(config, (str, bytes)):
        raise TypeError(f'config is a text, not {config!r}')
    names = ()
    if isinstance(inputs, typing.Mapping):
        names, values = list(inputs), inputs.values()
    elif isinstance(inputs, (list, tuple)) and (not inputs or any(hasattr(value, 'dtype') for value in inputs)):
        values = inputs
        if not all(hasattr(value, 'dtype') for value in values):
            raise TypeError('a list of inputs has numpy arrays; if this list is one input, use np.array(list, dtype)')
    else:
        values = [inputs]
    return message.infer_request([message.Tensor(value) for value in values], _names(names, 'an input'),
                                 _names(outputs, 'an output'), config)


def _names(values, what):
    values = list(values)
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f'the name of {what} is a text, not {value!r}')
    return values


def only_output(outputs):
    if len(outputs) != 1:
        raise ValueError(f'the model gave {len(outputs)} outputs: name the one that you want, or use infer()')
    return outputs[0]
