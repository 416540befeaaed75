# SPDX-License-Identifier: Apache-2.0
"""Calls of both clients to a scripted server: connections, tries again, time-outs, errors."""
import pickle
import socket
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip('flatbuffers')
import penstock_client  # noqa: E402
from answers import ONE, http, infer_response  # noqa: E402
from penstock_client import Retry  # noqa: E402
from penstock_client.options import RetryBudget, parse_retry_after, target  # noqa: E402

X = np.ones(1, np.float32)
QUICK = Retry(delay_seconds=0.001)
BUSY = http(b'the queue is full\n', '503 Service Unavailable', 'Retry-After: 0\r\n')


def test_calls_share_a_connection(serve, connect):
    server = serve(lambda *_: http(ONE))
    client = connect(server.url, token='secret', headers={'x-request-id': 'mine'})
    for _ in range(3):
        assert client.model('m', version=2).infer_one(X) == 1
    assert [connection for connection, _, _ in server.requests] == [0, 0, 0]
    head = server.requests[0][1]
    assert head.startswith('POST /graphpipe/m/versions/2 HTTP/1.1\r\n')
    lines = head.lower().split('\r\n')
    assert 'authorization: bearer secret' in lines and 'x-request-id: mine' in lines
    assert not any(line.startswith('transfer-encoding') for line in lines)


def test_servers_behind_a_path(serve, connect):
    server = serve(lambda *_: http(ONE))
    client = connect(server.url + '/proxy/')
    for name in ('a/b c', None):
        client.model(name).infer(X)
    assert [head.split()[1] for _, head, _ in server.requests] == ['/proxy/graphpipe/a%2Fb%20c', '/proxy/']


def test_large_tensors_arrive_whole(serve, connect):
    x = np.random.default_rng(1).random((3, 224, 224, 3), np.float32)
    server = serve(lambda *_: http(infer_response([x, x[:1]])))
    whole, first = connect(server.url).model('m').infer([x, X, x])
    assert np.array_equal(whole, x) and np.array_equal(first, x[:1])
    assert server.requests[0][2].count(x.tobytes()) == 2


def test_answers_in_chunks_and_until_the_end(serve, connect):
    chunks = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b''.join(
        b'%x\r\n%s\r\n' % (len(ONE[at:at + 10]), ONE[at:at + 10]) for at in range(0, len(ONE), 10)) + b'0\r\n\r\n'
    until_end = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n' + ONE
    server = serve(lambda sock, number, body: until_end if number == 2 else chunks)
    model = connect(server.url).model('m')
    assert [model.infer_one(X).tolist() for _ in range(4)] == [[1]] * 4
    assert [connection for connection, _, _ in server.requests] == [0, 0, 0, 1]


def test_busy_servers_are_asked_again(serve, connect):
    server = serve(lambda sock, number, body: BUSY if number < 3 else http(ONE))
    assert connect(server.url, retry=QUICK).model('m').infer_one(X) == 1
    assert len({body for _, _, body in server.requests}) == 1 and len(server.requests) == 4


def test_tries_are_limited(serve, connect):
    server = serve(lambda *_: BUSY)
    model = connect(server.url, retry=Retry(attempts_max=2, delay_seconds=0.001)).model('m')
    with pytest.raises(penstock_client.Unavailable, match='503: the queue is full$') as raised:
        model.infer(X)
    assert raised.value.retry_after == 0 and len(server.requests) == 2


def test_an_overloaded_server_gets_few_tries_again(serve, connect):
    server = serve(lambda *_: BUSY)
    model = connect(server.url, retry=Retry(delay_seconds=0.001, budget=5)).model('m')
    for _ in range(20):
        with pytest.raises(penstock_client.Unavailable):
            model.infer(X)
    assert len(server.requests) == 25


def test_long_waits_are_left_to_the_caller(serve, connect):
    server = serve(lambda *_: http(b'loading', '503 Service Unavailable', 'Retry-After: 30\r\n'))
    for options in ({}, {'timeout': 20, 'retry': Retry(delay_seconds_max=60)}):
        with pytest.raises(penstock_client.Unavailable) as raised:
            connect(server.url, **options).model('m').infer(X)
        assert raised.value.retry_after == 30
    assert len(server.requests) == 2


def test_retry_after_is_the_least_wait():
    budget = RetryBudget(Retry())
    assert 3 <= budget.delay(1, 3.0, 60) <= 4
    assert 0.2 <= budget.delay(2, None, 60) <= 0.3
    assert 0.2 <= budget.delay(2, 0, 60) <= 0.3, '0 does not send all tries at once'
    assert budget.delay(1, 3.0, 2) is None and budget.delay(4, None, 60) is None
    assert parse_retry_after('7') == 7 and parse_retry_after('soon') is None and parse_retry_after(None) is None
    assert parse_retry_after('Fri, 31 Dec 1999 23:59:59 GMT') == 0


def test_odd_times_to_wait():
    for text in ('9' * 400, '9' * 5000):
        assert parse_retry_after(text) == 1e9
    for text in ('-5', '1_000', '0.5', '', '²', 'Mon, 01 Jan 2024 00:00:00 +99999999999999', 'Mon, 01 Jan 0000 00:00:00 GMT',
                 'Mon, 01 Jan 2024 00:00:00 +9999'):
        assert parse_retry_after(text) in (None, 0), text


def test_errors_within_the_message_have_a_time_to_wait(serve, connect):
    server = serve(lambda *_: http(infer_response(errors=[(503, 'busy')]), headers='Retry-After: 30\r\n'))
    with pytest.raises(penstock_client.Unavailable) as raised:
        connect(server.url).model('m').infer(X)
    assert raised.value.retry_after == 30 and len(server.requests) == 1


def test_texts_of_errors_in_json_are_taken_out(serve, connect):
    json = 'Content-Type: application/json; charset=utf-8\r\n'
    bodies = [b'{ "error": "no such \\"path\\"" }', b'["error"]', b'{"error": 1}', b'[' * 60000, b'\xff']
    server = serve(lambda sock, number, body: http(bodies[number], '404 Not Found', json))
    for text in ('no such "path"', '["error"]', '{"error": 1}', '[' * 60000, '\ufffd'):
        with pytest.raises(penstock_client.NotFound) as raised:
            connect(server.url).model('m').infer(X)
        assert raised.value.text == text


def test_texts_of_errors_in_pieces_are_read_whole(serve, connect):
    def play(sock, number, body):
        sock.sendall(b'HTTP/1.1 400 Bad\r\nContent-Length: 300000\r\n\r\n')
        for _ in range(3):
            time.sleep(0)
            sock.sendall(b'x' * 100_000)
        return b''
    with pytest.raises(penstock_client.BadRequest) as raised:
        connect(serve(play).url).model('m').infer(X)
    assert raised.value.text == 'x' * 65536


def test_chunks_with_a_negative_size(serve, connect):
    for size in (b'-5', b'-1'):
        server = serve(lambda *_: b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n' + size +
                       b'\r\nabc')
        with pytest.raises(penstock_client.ProtocolError, match='not HTTP') as raised:
            connect(server.url).model('m').infer(X)
        assert 'RequestInfo' not in str(raised.value)


def test_headers_of_a_call(serve, connect):
    server = serve(lambda *_: http(ONE, headers='X-Penstock-Cache: hit\r\n'))
    model = connect(server.url, headers={'A': 'all', 'B': 'all'}).model('m')
    assert model.infer(X, headers={'X-Penstock-Cache': 'refresh', 'b': 'call'}).headers['x-penstock-cache'] == 'hit'
    lines = server.requests[0][1].lower().split('\r\n')
    assert 'x-penstock-cache: refresh' in lines and 'a: all' in lines and 'b: call' in lines and 'b: all' not in lines
    for headers, kind in (({'Content-Length': '3'}, ValueError), ({'a': '1\r\nb: 2'}, ValueError), ({'a': 1}, TypeError)):
        with pytest.raises(kind):
            model.infer(X, headers=headers)
    assert len(server.requests) == 1


def test_other_errors_are_not_tried_again(serve, connect):
    kinds = {400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 413: 'TooLarge', 500: 'ServerError',
             504: 'ServerError', 302: 'ServerError'}
    statuses = iter(kinds)
    server = serve(lambda *_: http(f'reason {next(statuses)}\n'.encode(), '%d Any' % list(kinds)[len(server.requests) - 1]))
    model = connect(server.url).model('m')
    for status, kind in kinds.items():
        with pytest.raises(penstock_client.ServerError, match=f'{status}: reason {status}') as raised:
            model.infer(X)
        error = pickle.loads(pickle.dumps(raised.value))
        assert (type(error).__name__, error.status, error.text) == (kind, status, f'reason {status}')
    assert len(server.requests) == len(kinds)


def test_errors_within_the_message(serve, connect):
    answers = [infer_response(errors=[(503, 'busy')]), infer_response(errors=[(400, 'no input q')])]
    server = serve(lambda sock, number, body: http(answers[number]))
    with pytest.raises(penstock_client.BadRequest, match='no input q'):
        connect(server.url, retry=QUICK).model('m').infer(X)


def test_a_kept_connection_that_was_closed_is_replaced(serve, connect):
    def play(sock, number, body):
        return None if number == 1 else http(ONE)
    server = serve(play)
    model = connect(server.url).model('m')
    assert [model.infer_one(X).tolist() for _ in range(2)] == [[1], [1]]
    assert [connection for connection, _, _ in server.requests] == [0, 0, 1]


def test_a_request_is_sent_once_if_it_must_be(serve, connect):
    server = serve(lambda sock, number, body: http(ONE) if number == 0 else None)
    model = connect(server.url, retry=Retry(attempts_max=1)).model('m')
    model.infer(X)
    with pytest.raises(penstock_client.ConnectionLost):
        model.infer(X)
    assert len(server.requests) == 2


def test_a_request_that_ends_the_server_is_sent_twice_at_most(serve):
    end = threading.Event()

    def play(sock, number, body):
        if number < 3:
            if number == 2:
                end.set()
            end.wait(30)
        return http(ONE) if number < 3 else None
    server = serve(play)
    with penstock_client.Client(server.url) as client:
        threads = [threading.Thread(target=client.model('m').infer, args=(X,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(penstock_client.ConnectionLost):
            client.model('m').infer(X)
    assert len(server.requests) == 5


def test_connections_that_end_early(serve, connect):
    answers = [None, b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n' + ONE]
    server = serve(lambda sock, number, body: answers[min(number, 1)] if connect.kind == 'threads' else answers[1])
    model = connect(server.url).model('m')
    for _ in range(2):
        with pytest.raises(penstock_client.ConnectionLost):
            model.infer(X)
    assert len(server.requests) == 2, 'not sent again: the server may have run the model'


def test_no_server(connect):
    with socket.socket() as sock:  # bound, but it does not listen
        sock.bind(('127.0.0.1', 0))
        with pytest.raises(penstock_client.ConnectionFailed):
            connect(f'http://127.0.0.1:{sock.getsockname()[1]}').model('m').infer(X)


def test_the_time_is_for_the_whole_answer(serve, connect):
    end = threading.Event()

    def drip(sock, number, body):
        sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
        while not end.wait(0.02):
            sock.sendall(b'x')
    model = connect(serve(drip).url).model('m')
    with pytest.raises(penstock_client.TimeoutExpired, match='0.3 s'):
        model.infer(X, timeout=0.3)
    end.set()


def test_answers_that_are_too_large_or_wrong(serve, connect):
    answers = [(http(bytes(2000)), 'answer_bytes_max'),
               (b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n' + bytes(2000), 'answer_bytes_max'),
               (http(b'not a message'), 'malformed'), (http(b''), 'malformed'), (b'junk\r\n\r\n', 'not HTTP')]
    server = serve(lambda sock, number, body: answers[number][0])
    model = connect(server.url, answer_bytes_max=1000).model('m')
    for _, text in answers:
        with pytest.raises(penstock_client.ProtocolError, match=text):
            model.infer(X)


def test_early_refusals_are_read(serve, connect):
    server = serve(lambda *_: None)

    def refuse(sock, file, connection):
        while file.readline() not in (b'\r\n', b''):
            pass
        sock.sendall(http(b'at most 1000 bytes', '413 Too Large', 'Connection: close\r\n'))
        file.read(1 << 30)
        return False
    server._serve_one = refuse
    with pytest.raises(penstock_client.TooLarge, match='at most 1000 bytes'):
        connect(server.url).model('m').infer(np.ones(1 << 20))


def test_connections_are_limited(serve):
    entered, leave = threading.Event(), threading.Event()

    def play(sock, number, body):
        if number == 0:
            entered.set()
            leave.wait(30)
        return http(ONE)
    server = serve(play)
    with penstock_client.Client(server.url, connections_max=1) as client:
        first = threading.Thread(target=client.model('m').infer, args=(X,))
        first.start()
        entered.wait(30)
        with pytest.raises(penstock_client.TimeoutExpired, match='connections_max'):
            client.model('m').infer(X, timeout=0.05)
        leave.set()
        first.join()
        assert client.model('m').infer_one(X) == 1
    assert {connection for connection, _, _ in server.requests} == {0}
    with pytest.raises(ValueError, match='closed'):
        client.model('m').infer(X)


def test_many_threads(serve):
    def play(sock, number, body):
        time.sleep(0)
        return http(infer_response([np.frombuffer(body[-4:], np.float32)]))
    server = serve(play)
    with penstock_client.Client(server.url, connections_max=3) as client:
        failures = []

        def run(value):
            for _ in range(20):
                if client.model('m').infer_one(np.full(1, value, np.float32)) != value:
                    failures.append(value)
        threads = [threading.Thread(target=run, args=(value,)) for value in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == [] and len({connection for connection, _, _ in server.requests}) <= 3


def test_paths():
    assert target('', None) == '/' and target('/proxy', 'a/b c') == '/proxy/graphpipe/a%2Fb%20c'
    assert target('', 'm', label='new est', signature='s&t') == '/graphpipe/m/labels/new%20est?signature_name=s%26t'
    for arguments in (('m', 1, 'label'), (None, 1), ('',)):
        with pytest.raises(ValueError):
            target('', *arguments)


def test_wrong_options(connect):
    for url, options, text in (('localhost:8501', {}, 'URL'), ('http://h?q', {}, 'URL'), ('http://u:p@h', {}, 'token'),
                               ('http://h:0', {}, 'port'), ('http://h:99999', {}, 'port'),
                               ('http://h', {'ca_file': 'x'}, 'https'), ('http://h', {'connections_max': 0}, 'at least 1')):
        with pytest.raises(ValueError, match=text):
            penstock_client.Client(url, **options)
    with pytest.raises(TypeError, match="timeout is a number, not '5'"):
        penstock_client.Client(timeout='5')


def test_without_aiohttp_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'aiohttp', None)
    monkeypatch.delitem(sys.modules, 'penstock_client.aio', raising=False)
    monkeypatch.delattr(penstock_client, 'aio', raising=False)
    with pytest.raises(ImportError, match=r"pip install 'penstock-client\[asyncio\]'"):
        penstock_client.AsyncClient
