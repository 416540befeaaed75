# SPDX-License-Identifier: Apache-2.0
"""Broken and hostile HTTP, byte by byte: an error and the end of that connection at most; the server goes on."""
import gzip
import json
import re
import struct
import threading
import time

import pytest

from penstock_server import PASSING_SLOWNESS, SLOWNESS, Server, eventually
from raw import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
                 PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, connect, exchange, http2_frame, read_all,
                 read_response, send)

MEGABYTE = 1 << 20
PATH = b'/v1/models/half:predict'
BODY = b'{"instances":[1.0,2.0]}'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """Small limits and short time-outs, so that what is not bounded shows."""
    with Server(tmp_path_factory.mktemp('hostile'), {'half': 'builtin:half_plus_two', 'identity': 'builtin:identity'},
                flags=[f'--body_bytes_max={16 * MEGABYTE}', *(f'--{each}_timeout_ms={1000 * PASSING_SLOWNESS}'
                                                             for each in ('header', 'body', 'idle'))]) as one:
        yield one


@pytest.fixture(autouse=True)
def still_serving(server):
    yield
    status, answer = server.rest_predict('half', {'instances': [1.0, 2.0]})
    assert (status, answer) == (200, {'predictions': [2.5, 3.0]})
    assert server.memory_bytes() < (400 if SLOWNESS == 1 else 4000) * MEGABYTE


def post(*lines, body=BODY, path=PATH):
    return b'POST ' + path + b' HTTP/1.1\r\nHost: h\r\n' + b''.join(line + b'\r\n' for line in lines) + b'\r\n' + body


def length(number=None):
    return b'Content-Length: %d' % (len(BODY) if number is None else number)


# What a proxy in front may read as another request than we do.
SECOND = b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'
SMUGGLING = {
    'both lengths': post(length(5), b'Transfer-Encoding: chunked', body=b'0\r\n\r\n' + SECOND),
    'both lengths, swapped': post(b'Transfer-Encoding: chunked', length(5), body=b'0\r\n\r\n' + SECOND),
    'two lengths': post(length(23), length(0), body=BODY + SECOND),
    'two lengths in one': post(b'Content-Length: 23, 0', body=BODY + SECOND),
    'a signed length': post(b'Content-Length: +23', body=BODY + SECOND),
    'a negative length': post(b'Content-Length: -1', body=BODY + SECOND),
    'a hexadecimal length': post(b'Content-Length: 0x17', body=BODY + SECOND),
    'a length with text': post(b'Content-Length: 23abc', body=BODY + SECOND),
    'an empty length': post(b'Content-Length: ', body=BODY + SECOND),
    'an overflowing length': post(b'Content-Length: 18446744073709551639', body=BODY + SECOND),
    'chunked not last': post(b'Transfer-Encoding: chunked, identity', body=b'0\r\n\r\n' + SECOND),
    'an unknown coding': post(b'Transfer-Encoding: xchunked', body=b'0\r\n\r\n' + SECOND),
    'a space before the colon': post(b'Content-Length : 23', body=BODY + SECOND),
    'a folded line': post(b'X: a', b' Content-Length: 0', length(), body=BODY + SECOND),
    'a byte zero in a value': post(b'X: a\0b', length(), body=BODY + SECOND),
    'a bare CR in a value': post(b'X: a\rContent-Length: 0', length(), body=BODY + SECOND),
    'a name with a space': post(b'X Y: a', length(), body=BODY + SECOND),
    'a line without a colon': post(b'nonsense', length(), body=BODY + SECOND),
    'an overflowing chunk': post(b'Transfer-Encoding: chunked', body=b'fffffffffffffffff\r\n' + BODY + SECOND),
    'a negative chunk': post(b'Transfer-Encoding: chunked', body=b'-1\r\n' + BODY + SECOND),
    'a chunk without its end': post(b'Transfer-Encoding: chunked', body=b'5\r\nhelloXX0\r\n\r\n' + SECOND),
    'a chunk size with text': post(b'Transfer-Encoding: chunked', body=b'5 x\r\nhello\r\n0\r\n\r\n' + SECOND),
    'two hosts': b'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' + SECOND,
}


@pytest.mark.parametrize('data', SMUGGLING.values(), ids=SMUGGLING.keys())
def test_smuggling(server, data):
    answer = exchange(server.rest_port, data)
    assert len(re.findall(rb'HTTP/1\.1 \d{3} ', answer)) == 1, answer
    assert answer.startswith(b'HTTP/1.1 4') or answer.startswith(b'HTTP/1.1 501'), answer


MALFORMED = {
    'no host': b'GET /healthz HTTP/1.1\r\n\r\n',
    'no version': b'GET /healthz\r\n\r\n',
    'HTTP/9.9': b'GET /healthz HTTP/9.9\r\nHost: h\r\n\r\n',
    'a version of garbage': b'GET /healthz HTTQ/1.1\r\nHost: h\r\n\r\n',
    'a method of garbage': b'G\x01T /healthz HTTP/1.1\r\nHost: h\r\n\r\n',
    'a target with a space': b'GET /health z HTTP/1.1\r\nHost: h\r\n\r\n',
    'a byte zero in the target': b'GET /health\0z HTTP/1.1\r\nHost: h\r\n\r\n',
    'a long target': b'GET /' + b'a' * 200_000 + b' HTTP/1.1\r\nHost: h\r\n\r\n',
    'a long head': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX: ' + b'a' * 200_000 + b'\r\n\r\n',
    'many headers': b'GET /healthz HTTP/1.1\r\nHost: h\r\n' + b'X: y\r\n' * 30_000 + b'\r\n',
    'an endless head': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX: ' + b'a' * 1_000_000,
    'a body over the limit': post(length(17 * MEGABYTE), body=b'x'),
    'a chunked body over the limit': post(b'Transfer-Encoding: chunked',
                                          body=(b'100000\r\n' + b'x' * MEGABYTE + b'\r\n') * 17),
    'an unknown encoding of the body': post(length(), b'Content-Encoding: br'),
}


@pytest.mark.parametrize('data', MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests(server, data):
    answer = exchange(server.rest_port, data)
    assert answer.startswith(b'HTTP/1.') and answer[9:10] in b'45' or not answer, answer[:200]
    assert len(re.findall(rb'HTTP/1\.1 \d{3} ', answer)) <= 1, answer


@pytest.mark.parametrize('data', [
    b'', b'\r\n', b'\0' * 1000, b'\xff' * 100_000, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\0' * 500,
    b'PRI * HTTP/2.0\r\n', PREFACE[:-1] + b'x', b'SSH-2.0-OpenSSH_9.2\r\n', b'*1\r\n$4\r\nPING\r\n', b'GET'],
    ids=['nothing', 'a line', 'zeros', 'ff', 'TLS', 'half a preface', 'a wrong preface', 'ssh', 'redis', 'three bytes'])
@pytest.mark.parametrize('half_close', [True, False], ids=['closed', 'open'])
def test_other_protocols(server, data, half_close):
    exchange(server.rest_port, data, half_close)  # ends: by the server, if the client does not


def test_a_body_that_stops(server):
    answer = exchange(server.rest_port, post(length(100)), half_close=True)
    assert b' 200 ' not in answer
    answer = exchange(server.rest_port, post(length(100)))  # timed out by the server
    assert b' 200 ' not in answer


def test_a_client_that_still_sends_a_refused_body_gets_the_answer(server):
    with connect(server.rest_port) as sock:
        assert send(sock, post(length(17 * MEGABYTE), body=b''))
        for _ in range(35):
            assert send(sock, b'x' * 1000)  # for longer than a silent client would be waited for
            time.sleep(0.1)
        answer = read_all(sock)
        assert answer.startswith(b'HTTP/1.1 413 '), answer


@pytest.mark.skipif(SLOWNESS > 1, reason='sanitizers keep what is freed')
def test_memory_comes_back_after_a_peak(start):
    server = start({'half': 'builtin:half_plus_two'})
    assert server.rest_predict('half', {'instances': [1.0]})[0] == 200
    before = server.memory_bytes()
    stalled = [connect(server.rest_port) for _ in range(400)]
    for sock in stalled:
        assert send(sock, post(length(1_000_000), body=b' ' * 65536))
    eventually('the bodies arrive', lambda: server.memory_bytes() > before + 20 * MEGABYTE)
    for sock in stalled:
        sock.close()
    eventually('the memory comes back', lambda: server.memory_bytes() < before + 2 * MEGABYTE, seconds=60)


def test_slow_heads(server):
    with connect(server.rest_port) as sock:
        for byte in post(length()):
            if not send(sock, bytes([byte])):
                break
        # Slow or not, whole in the end: answered, or timed out and closed.
        assert read_response(sock)[0] in (200, 408)


def test_idle_connections_are_closed(server):
    with connect(server.rest_port) as sock:
        send(sock, post(length()))
        assert read_response(sock)[0] == 200
        assert read_all(sock) == b""


def test_pipelined_requests_are_answered_in_order(server):
    data = b''.join(post(length(len(body)), body=body) for body in (
        b'{"instances":[1.0]}', b'{"instances":[3.0]}', b'{"instances":[x]}', b'{"instances":[5.0]}'))
    answer = exchange(server.rest_port, data, half_close=True)
    texts = [part.split(b'\r\n\r\n', 1)[1] for part in answer.split(b'HTTP/1.1 ')[1:]]
    assert [json.loads(text).get('predictions') for text in texts] == [[2.5], [3.5], None, [4.5]]


# ------------------------------------------------------------------------------------------ JSON bodies

def test_thousands_of_pipelined_requests_are_all_answered(server):
    count = 3000
    with connect(server.rest_port) as sock:
        sender = threading.Thread(target=sock.sendall, args=[b'GET /v1/models/half HTTP/1.1\r\nHost: h\r\n\r\n' * count])
        sender.start()
        answers, ok, found = bytearray(), b'HTTP/1.1 200 OK', 0
        while found < count:
            piece = sock.recv(1 << 20)
            assert piece, answers[-500:]
            new = max(len(answers) - len(ok) + 1, 0)  # the text may stand across two pieces
            answers += piece
            found += answers.count(ok, new)
        sender.join()


def predict(server, body, headers=(), model='half'):
    """(status, parsed answer)"""
    status, _, answer = server.request('POST', f'/v1/models/{model}:predict', body, dict(headers))
    return status, json.loads(answer)


BAD_JSON = {
    'empty': b'', 'white space': b'  \n', 'garbage': b'\x00\x01\x02', 'cut short': b'{"instances":[1.0',
    'unclosed string': b'{"instances', 'not an object': b'[1]', 'a comma too many': b'{"instances":[1.0,]}',
    'no value': b'{"instances":}', 'single quotes': b"{'instances':[1.0]}",
    'not UTF-8': b'{"instances":["\xff\xfe"]}', 'overlong UTF-8': b'{"instances":["\xc0\x80"]}',
    'a half surrogate': b'{"instances":["\\ud800"]}', 'a key that is not UTF-8': b'{"inst\xffances":[1.0]}',
    'a control character': b'{"instances":["a\x01b"]}', 'a bad escape': b'{"instances":["\\x41"]}',
    'deep arrays': b'{"instances":' + b'[' * 500_000 + b']' * 500_000 + b'}',
    'deep arrays without end': b'{"instances":' + b'[' * 1_000_000,
    'deep objects': b'{"instances":' + b'{"a":' * 200_000 + b'1' + b'}' * 200_000 + b'}',
    'deep in another key': b'{"other":' + b'[' * 500_000 + b']' * 500_000 + b',"instances":[1.0]',
    'a byte order mark': b'\xef\xbb\xbf{"instances":[1.0',
    'ragged': b'{"instances":[[1.0],[1.0,2.0]]}', 'mixed ranks': b'{"instances":[1.0,[2.0]]}',
    'text for a number': b'{"instances":["1.0"]}', 'null': b'{"instances":[null]}', 'true': b'{"instances":[true]}',
    'an empty list': b'{"instances":[]}', 'a leading zero': b'{"instances":[01]}', 'a plus': b'{"instances":[+1]}',
    'hexadecimal': b'{"instances":[0x10]}', 'a bare dot': b'{"instances":[.5]}', 'b64 for a number':
        b'{"instances":[{"b64":"AAAA"}]}', 'both keys': b'{"instances":[1.0],"inputs":[1.0]}',
    'signature of a wrong type': b'{"signature_name":5,"instances":[1.0]}',
}


@pytest.mark.parametrize('body', BAD_JSON.values(), ids=BAD_JSON.keys())
def test_bad_json(server, body):
    status, answer = predict(server, body)
    assert status == 400, answer
    assert list(answer) == ['error'] and answer['error'] and len(answer['error']) < 3000


@pytest.mark.parametrize('text, value', [
    (b'1e999999999', float('inf')), (b'-1e999999999', float('-inf')), (b'1e-999999999', 2.0),
    (b'1' * 1000, float('inf')), (b'0.' + b'0' * 100_000 + b'1', 2.0), (b'1' + b'0' * 30, 5e29)],
    ids=['huge', 'negative huge', 'tiny', 'many digits', 'many zeros', 'an integer past 64 bits'])
def test_extreme_numbers(server, text, value):
    status, answer = predict(server, b'{"instances":[' + text + b']}')
    assert status == 200, answer
    assert answer['predictions'] == [pytest.approx(value, rel=1e-6) if abs(value) < 1e38 else value]


def test_gzip_bodies(server):
    assert predict(server, gzip.compress(BODY), {'Content-Encoding': 'gzip'}) == (200, {'predictions': [2.5, 3.0]})
    whole = gzip.compress(BODY)
    for broken in (b'', b'\x1f\x8b', whole[:-9], b'not gzip', whole + b'rest', whole[:-4] + b'\0\0\0\1'):
        status, _ = predict(server, broken, {'Content-Encoding': 'gzip'})
        assert status == 400


def test_gzip_bomb(server):
    before = server.memory_bytes()
    bomb = gzip.compress(b' ' * (512 * MEGABYTE), 1)
    for _ in range(3):
        assert predict(server, bomb, {'Content-Encoding': 'gzip'})[0] == 413
    assert server.memory_bytes() - before < 200 * MEGABYTE


# ------------------------------------------------------------------------------------------ HTTP/2 frames

EMPTY_SETTINGS = http2_frame(SETTINGS)
# GET http://h/healthz with indexed and literal fields of HPACK.
HEAD = b'\x82\x86\x04\x08/healthz\x01\x01h'


def request_head(stream, flags=END_HEADERS | END_STREAM, block=HEAD):
    return http2_frame(HEADERS, flags, stream, block)


FRAMES = {
    'settings of 5 bytes': http2_frame(SETTINGS, payload=b'12345'),
    'settings on a stream': http2_frame(SETTINGS, stream=1),
    'an acknowledgement with content': http2_frame(SETTINGS, ACK, payload=b'123456'),
    'a ping of 7 bytes': http2_frame(PING, payload=b'1234567'),
    'a ping on a stream': http2_frame(PING, stream=1, payload=b'12345678'),
    'a frame that is too large': http2_frame(DATA, stream=1, length=0xffffff),
    'headers on stream 0': request_head(0),
    'headers on an even stream': request_head(2),
    'data on stream 0': http2_frame(DATA, payload=b'x'),
    'data on an idle stream': http2_frame(DATA, stream=5, payload=b'x'),
    'a continuation of nothing': http2_frame(CONTINUATION, END_HEADERS, 1, HEAD),
    'something within a head': http2_frame(HEADERS, END_STREAM, 1, HEAD) + http2_frame(PING, payload=b'12345678'),
    'a window of 0': http2_frame(WINDOW_UPDATE, payload=struct.pack('>I', 0)),
    'a window that overflows': http2_frame(WINDOW_UPDATE, payload=struct.pack('>I', 2 ** 31 - 1)) * 2,
    'a promise from a client': http2_frame(PUSH_PROMISE, END_HEADERS, 1, b'\0\0\0\2' + HEAD),
    'a broken header block': request_head(1, block=b'\xff\xff\xff\xff\xff\xff\xff'),
    'an index out of the table': request_head(1, block=b'\xbf'),
    'a huge string in a header block': request_head(1, block=b'\x00\x7f\xff\xff\xff\x0f'),
    'more padding than frame': http2_frame(HEADERS, END_HEADERS | 0x8, 1, b'\xff' + HEAD),
    'a stream that goes back': request_head(5) + request_head(3),
    'a stream that depends on itself': http2_frame(PRIORITY, stream=1, payload=b'\0\0\0\1\0'),
    'a reset of an idle stream': http2_frame(RST_STREAM, stream=9, payload=b'\0\0\0\0'),
    'a goaway with no content': http2_frame(GOAWAY, payload=b''),
    'random bytes': bytes(range(256)) * 100,
}


@pytest.mark.parametrize('frames', FRAMES.values(), ids=FRAMES.keys())
def test_http2_frames(server, frames):
    answer = exchange(server.port, PREFACE + EMPTY_SETTINGS + frames)
    assert b'HTTP/1.1' not in answer


def table_bomb():
    """One entry of 3 kB in the table, then named 16,000 times in a block of 16 kB: 48 MB of headers."""
    entry = b'\x40\x01x\x7f' + bytes([0x80 | (3000 - 127) & 0x7f, (3000 - 127) >> 7]) + b'v' * 3000
    return request_head(1, block=HEAD + entry + b'\xbe' * 13_000)


def head_flood(count):
    return b''.join(request_head(2 * i + 1) + http2_frame(RST_STREAM, 0, 2 * i + 1, b'\0\0\0\x08')
                    for i in range(count))


FLOODS = {
    'rapid reset': head_flood(20_000),
    'pings': http2_frame(PING, payload=b'12345678') * 100_000,
    'settings': http2_frame(SETTINGS, payload=b'\0\4\0\1\0\0') * 50_000,
    'empty data': request_head(1, END_HEADERS) + http2_frame(DATA, stream=1) * 100_000,
    'continuations': http2_frame(HEADERS, END_STREAM, 1, HEAD) + http2_frame(
        CONTINUATION, 0, 1, b'\x00\x01x\x7f\x81\x06' + b'v' * 896) * 2_000,
    'empty continuations': http2_frame(HEADERS, END_STREAM, 1, HEAD) + http2_frame(CONTINUATION, 0, 1) * 100_000,
    'priorities': b''.join(http2_frame(PRIORITY, stream=2 * i + 1, payload=b'\0\0\0\0\1') for i in range(50_000)),
    'window updates': http2_frame(WINDOW_UPDATE, payload=b'\0\0\0\1') * 100_000,
    'a table bomb': table_bomb(),
    'unread answers': b''.join(request_head(2 * i + 1) for i in range(20_000)),
    'unknown frames': http2_frame(0x42, payload=b'x' * 100) * 50_000,
}


@pytest.mark.parametrize('frames', FLOODS.values(), ids=FLOODS.keys())
def test_floods(server, frames):
    before = server.memory_bytes()
    with connect(server.port) as sock:
        send(sock, PREFACE + EMPTY_SETTINGS)
        sock.settimeout(5 * SLOWNESS)
        try:
            send(sock, frames)
        except TimeoutError:
            pass  # not read any further, for the answers are not taken: bounded too
        status, _ = server.rest_predict('half', {'instances': [1.0]})
        assert status == 200
        assert server.memory_bytes() - before < 100 * MEGABYTE * SLOWNESS
