# SPDX-License-Identifier: Apache-2.0
"""SIGTERM with requests in flight: readiness goes, listeners close, all of them are answered, the process ends with 0."""
import fcntl
import json
import os
import signal
import socket
import ssl
import threading

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from clients import Client, predict_request
from conftest import BUILTIN, TEST_MODELS
from net_fixtures import make_certificate
from penstock_server import BUILD, SLOWNESS, Server, eventually
from raw import GrpcConnection, connect, read_all, read_response
from test_streams import events, post, streamed

runtimes = pytest.mark.runtimes
BODY = b'{"instances":[1.0,2.0]}'
POST = b'POST /v1/models/half:predict HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % len(BODY)
PROBE = b'GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n'
LOOPS = pytest.mark.parametrize('model', [pytest.param('loop', marks=pytest.mark.release_only), 'loop_onnx'])
SIGNALS = pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT], ids=['SIGTERM', 'SIGINT'])


def probe(sock):
    sock.sendall(PROBE)
    return read_response(sock)[0]


def refused(port):
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=5):
            return False
    except ConnectionRefusedError:
        return True


@SIGNALS
def test_idle(start, how):
    server = start(BUILTIN)
    server.terminate(how)
    assert server.wait() == 0


def test_with_a_delay_it_serves_while_it_is_not_ready(tmp_path):
    """New connections too, until load balancers have noticed."""
    server = Server(tmp_path, BUILTIN, flags=['--shutdown_delay_ms=3600000', '--health_port=-1'])
    try:
        server.terminate()
        eventually('not ready', lambda: server.get('/readyz')[0] == 503)
        assert json.loads(server.get('/readyz', port=server.health_port)[1])['draining'] is True
        assert server.get('/healthz')[0] == 200
        with grpc.insecure_channel(server.address) as channel:
            check = channel.unary_unary('/grpc.health.v1.Health/Check')
            assert check(b'', timeout=30 * SLOWNESS) == b'\x08\x02'  # NOT_SERVING
        assert server.rest_predict('half', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
        assert 'draining' not in server.log()
    finally:
        server.kill()


def test_after_the_delay_it_drains(start):
    server = start(BUILTIN, flags=['--shutdown_delay_ms=1'])
    server.terminate()
    assert server.wait() == 0
    lines = [line for line in server.log().splitlines() if 'SIGTERM: ' in line]
    assert ['serving for 1 ms' in lines[0], 'draining' in lines[1]] == [True, True]


@SIGNALS
def test_a_request_that_is_half_sent(start, how):
    """Its rest is awaited and it is answered; a probe on an open connection says that the server goes."""
    server = start(BUILTIN)
    with connect(server.rest_port) as sock, connect(server.rest_port) as idle, GrpcConnection(server) as grpc_connection:
        sock.sendall(POST + BODY[:5])
        assert probe(idle) == 200
        message = predict_request('half', {'x': np.float32([1, 2])}).SerializeToString()
        stream = grpc_connection.begin()
        grpc_connection.send(stream, grpc_connection.frame(message)[:9])
        # The head of the stream has been read once an answer to a later call has come.
        assert grpc_connection.call(grpc_connection.frame(message))[0] == 0

        server.terminate(how)
        assert grpc_connection.wait_for_goaway()
        eventually('the listeners close', lambda: refused(server.rest_port) and refused(server.port))
        assert server.process.poll() is None

        sock.sendall(BODY[5:])
        status, head, body = read_response(sock)
        assert status == 200 and json.loads(body) == {'predictions': [2.5, 3.0]}
        assert b'connection: close' in head.lower()
        assert read_all(sock) == b''
        assert server.process.poll() is None

        grpc_connection.send(stream, grpc_connection.frame(message)[9:], end=True)
        status, _, answer = grpc_connection.finish(stream)
        assert status == 0
        assert list(predict_pb2.PredictResponse.FromString(answer).outputs['y'].float_val) == [2.5, 3.0]
    assert server.wait() == 0


def test_a_client_that_does_not_close_a_drained_connection_is_not_waited_for(start):
    server = start(BUILTIN)
    message = predict_request('half', {'x': np.float32([1, 2])}).SerializeToString()
    with GrpcConnection(server) as connection:
        stream = connection.begin()
        connection.send(stream, connection.frame(message)[:9])
        connection.call(connection.frame(message))
        server.terminate()
        assert connection.wait_for_goaway()
        connection.send(stream, connection.frame(message)[9:], end=True)
        assert connection.finish(stream)[0] == 0
        assert server.wait() == 0


def test_a_request_that_never_ends_is_waited_for_only_so_long(start):
    server = start(BUILTIN, flags=['--drain_timeout_ms=300'])
    with connect(server.rest_port) as sock:
        sock.sendall(POST + BODY[:5])
        with connect(server.rest_port) as other:
            assert probe(other) == 200
        server.terminate()
        assert server.wait() == 0


PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
SETTINGS = b'\0\0\0\4\0\0\0\0\0'
HEADERS = b'\0\0\1\1\0\0\0\0\1\x83'  # of stream 1, without END_HEADERS: the method, and no more


@pytest.mark.parametrize('begun', [
    b'G', b'GET /readyz HTT', PROBE + b'POST /v1/models/ha', b'PRI * HT', PREFACE, PREFACE + SETTINGS + HEADERS[:10],
    PREFACE + SETTINGS + HEADERS], ids=['byte', 'line', 'second', 'preface', 'settings', 'frame', 'headers'])
def test_a_head_that_is_not_complete_is_not_waited_for(start, begun):
    """Anybody can begin one. The limit for heads and the limit of the drain would both be far too long here."""
    server = start(BUILTIN, flags=['--drain_timeout_ms=3600000', '--header_timeout_ms=3600000'])
    with connect(server.port if begun.startswith(b'PRI') else server.rest_port) as sock:
        sock.sendall(begun)
        if begun.startswith(PROBE):
            assert read_response(sock)[0] == 200
        assert server.get('/readyz')[0] == 200
        server.terminate()
        assert server.wait() == 0


@pytest.mark.parametrize('part', [1, None], ids=['byte', 'hello'])
def test_a_tls_handshake_that_is_not_complete_is_not_waited_for(start, tmp_path, part):
    certificate, key = tmp_path / 'cert.pem', tmp_path / 'key.pem'
    make_certificate(certificate, key)
    (tmp_path / 'ssl.config').write_text(
        f'server_key: {json.dumps(key.read_text())} server_cert: {json.dumps(certificate.read_text())}')
    server = start(BUILTIN, flags=['--drain_timeout_ms=3600000', '--header_timeout_ms=3600000',
                                   f'--ssl_config_file={tmp_path / "ssl.config"}'])
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname='localhost').do_handshake()
    with connect(server.port) as sock:
        sock.sendall(hello.read()[:part])
        assert server.get('/readyz')[0] == 200
        server.terminate()
        assert server.wait() == 0


def test_what_is_open_at_the_end_of_the_drain_gets_an_error(start):
    """Streams over gRPC and REST, and a request that is half-sent; a log line says who was waited for."""
    server = start({**BUILTIN, 'stream': 'builtin:stream'}, flags=['--drain_timeout_ms=300', '--access_log=all'])
    inputs = {'count': 1_000_000, 'delay_us': 10_000}
    with grpc.insecure_channel(server.address) as channel, connect(server.rest_port) as half:
        half.sendall(POST + BODY[:5])
        call = streamed(channel, timeout=600, **inputs)
        over_rest = events(post(server, inputs))
        assert next(over_rest)[0] == 'message'
        next(call)
        server.terminate()
        with pytest.raises(grpc.RpcError):
            for _ in call:
                pass
        assert call.code() == grpc.StatusCode.UNAVAILABLE
        assert call.details() == 'the server shut down before the call had ended'
        kind, error = list(over_rest)[-1]
        assert kind == 'error' and error['code'] == 'UNAVAILABLE' and 'shut down' in error['error']
        status, _, body = read_response(half)
        assert status == 503 and b'the server shut down while the body was not complete' in body
    assert server.wait() == 0
    log = server.log()
    assert '2 requests over HTTP/1.1, 0 over HTTP/2 and 1 gRPC calls are cut off' in log
    assert 'the oldest call is of 127.0.0.1:' in log
    assert ' 499 ' not in log and 'client left' not in log


@runtimes
@LOOPS
def test_requests_that_compute(start, model):
    """A dozen requests of seconds each, over both protocols: all answered, with the right numbers."""
    steps = 20_000
    server = start({**BUILTIN, model: os.path.join(TEST_MODELS, model)}, flags=['--compute_threads=2'])
    expected = 1
    for _ in range(steps):
        expected = (expected * 1103515245 + 12345) % 2147483648
    answers, clients = [], [Client(server, [('grpc.use_local_subchannel_pool', 1)]) for _ in range(6)]

    def over_grpc(client):
        outputs = client.predict(model, {'steps': np.int64(steps)}, timeout=100)
        answers.append((int(outputs['count']), int(outputs['state'])))

    def over_rest():
        status, answer = server.rest_predict(model, {'inputs': {'steps': steps}})
        answers.append((answer['outputs']['count'], answer['outputs']['state']) if status == 200 else (status, answer))

    threads = [threading.Thread(target=over_grpc, args=(client,)) for client in clients]
    threads += [threading.Thread(target=over_rest) for _ in range(6)]
    with connect(server.rest_port) as idle:
        assert probe(idle) == 200
        polls = []  # each look at the metrics is a request, too

        def received():
            polls.append(1)
            return counter(server, 'penstock_net_requests_total') - len(polls)
        before = received()
        for thread in threads:
            thread.start()
        eventually('all requests are there', lambda: received() >= before + len(threads))
        server.terminate()
        eventually('the listeners close', lambda: refused(server.rest_port))
        for thread in threads:
            thread.join(100 * SLOWNESS)
    assert answers == [(steps, expected)] * 12
    assert server.wait() == 0
    for client in clients:
        client.close()


@runtimes
@LOOPS
def test_a_model_that_computes_without_end_is_stopped(start, model):
    server = start({model: os.path.join(TEST_MODELS, model)}, flags=['--drain_timeout_ms=300'])
    with Client(server) as client:
        call = client.stub.Predict.future(predict_request(model, {'steps': np.int64(10 ** 9)}))
        before = server.cpu_seconds()
        eventually('the model runs', lambda: server.cpu_seconds() > before + 0.2)
        server.terminate()
        assert server.wait() == 0
        assert call.exception() is not None


def counter(server, name):
    from test_metrics import value
    return value(server, name)


def test_termination_while_models_load(start, tmp_path):
    server = start({**BUILTIN, **{f'm{i}': str(tmp_path / f'm{i}') for i in range(50)}}, ready=False)
    server.terminate()
    assert server.wait() == 0


@runtimes
def test_a_load_that_hangs_is_named_and_not_waited_for(start, tmp_path):
    version = tmp_path / 'base' / '3'
    version.mkdir(parents=True)
    (version / 'model.troubled').write_text('wait\n')
    server = start({'stuck': str(version.parent), **BUILTIN}, ready=False,
                   flags=[f'--backend_directory={os.path.join(BUILD, "tests/backends")}'])
    eventually('the other model', lambda: server.states('half').get(1) == 'AVAILABLE')
    eventually('the load', lambda: 'this load waits' in server.log())
    server.terminate()
    assert server.wait() == 0
    assert 'did not end, and is given up: the load of model stuck version 3, which has run for' in server.log()


def test_a_pipe_that_nobody_reads_stalls_no_request(start, tmp_path):
    """Standard error is full: every refused request writes a line of the debug log and one of the access log."""
    pipe = tmp_path / 'stderr'
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), 'rb') as reader:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        server = start(BUILTIN, flags=['--log_level=debug'], wrapper=['sh', '-c', f'exec "$@" 2>{pipe}', 'sh'])
        with connect(server.rest_port) as sock:
            for _ in range(200):
                sock.sendall(b'GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n')
                assert read_response(sock)[0] == 404
            os.set_blocking(reader.fileno(), True)
            server.terminate()
            lines = reader.read().decode().splitlines()
        assert server.wait() == 0
    for level in (' debug ', ' access '):
        assert len([line for line in lines if level in line and '/nothing' in line]) == 200, level
    assert lines[-1].endswith('stopped')
