# SPDX-License-Identifier: Apache-2.0
"""The REST API as an HTTP server, through requests and curl: encodings, connections, CORS, large bodies."""
import concurrent.futures
import gzip
import http.client
import json
import socket
import struct
import subprocess

import numpy as np
import pytest
import requests

from net_fixtures import make_certificate
from penstock_server import SLOWNESS, eventually, idle
from raw import exchange

runtimes = pytest.mark.runtimes
HALF = '/v1/models/half:predict'
BODY = '{"instances":[1.0,2.0]}'
ANSWER = {'predictions': [2.5, 3.0]}
CORS = {'access-control-allow-origin': '*', 'access-control-allow-methods': 'POST, GET',
        'access-control-allow-headers': 'Content-Type'}


@pytest.fixture(scope='module')
def base(builtin_server):
    return f'http://127.0.0.1:{builtin_server.rest_port}'


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def curl(*arguments, data=None):
    """What curl prints, as bytes."""
    command = ['curl', '--silent', '--show-error', '--noproxy', '*', '--max-time', str(30 * SLOWNESS), *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def curl_status(*arguments, data=None):
    """(status, HTTP version, parsed answer)"""
    printed = curl('--write-out', '\n%{response_code} %{http_version}', *arguments, data=data)
    body, last = printed.rsplit(b'\n', 1)
    status, version = last.decode().split()
    return int(status), version, json.loads(body)


def long_rows():
    """A body, and its answer, of a size that is worth compressing."""
    x = [float(i) for i in range(2000)]
    return json.dumps({'instances': x}), {'predictions': [each / 2 + 2 for each in x]}


# ------------------------------------------------------------------------------------------ HTTP versions

HTTP2 = ['--http2-prior-knowledge']


@pytest.mark.parametrize('arguments, version', [(['--http1.0'], '1.1'), (['--http1.1'], '1.1'), (['--http2'], '1.1'),
                                                (HTTP2, '2')], ids=str)
def test_http_versions(base, arguments, version):
    status, spoken, answer = curl_status(*arguments, '--data', BODY, base + HALF)
    assert (status, spoken, answer) == (200, version, ANSWER)


def test_errors_over_http2(base):
    for path, arguments, status in ((HALF, ['--data', '{'], 400), ('/v1/models/none:predict', ['--data', BODY], 404),
                                    (HALF, [], 405), (HALF, ['--request', 'PUT', '--data', BODY], 405)):
        got, version, answer = curl_status(*HTTP2, *arguments, base + path)
        assert (got, version, list(answer)) == (status, '2', ['error'])
    headers = curl(*HTTP2, '--head', base + HALF).decode()
    assert headers.startswith('HTTP/2 405') and '\r\nallow: POST\r\n' in headers


def test_early_errors_over_http2_reach_a_client_that_still_sends(base):
    for _ in range(5):
        status, version, answer = curl_status(*HTTP2, '--data-binary', '@-', base + '/nope', data=b'x' * 300_000)
        assert (status, version) == (404, '2'), answer


def test_one_http2_connection_for_several_requests(base, tmp_path):
    # nghttp sends them all at once, on one connection.
    data = tmp_path / 'body'
    data.write_text(BODY, encoding='ascii')
    done = subprocess.run(['nghttp', '--data', str(data), *[f'{base}{HALF}?{i}' for i in range(5)]],
                          capture_output=True, check=True, timeout=30 * SLOWNESS)
    assert [json.loads(line) for line in done.stdout.decode().split()] == [ANSWER] * 5


def test_curl_uses_an_http2_connection_again(start, tmp_path):
    # Over TLS: with prior knowledge, curl 7.88 fails by itself here (error 16), whatever the server.
    make_certificate(tmp_path / 'cert.pem', tmp_path / 'key.pem')
    server = start({'half': 'builtin:half_plus_two'}, ready=False, flags=[
        f'--tls_certificate_file={tmp_path}/cert.pem', f'--tls_key_file={tmp_path}/key.pem'])
    url = f'https://127.0.0.1:{server.rest_port}'
    again = ['--cacert', str(tmp_path / 'cert.pem'), '--retry', '50', '--retry-delay', '1', '--retry-all-errors', '--fail']
    curl(*again, url + '/readyz')
    printed = curl('--cacert', str(tmp_path / 'cert.pem'), '--data', BODY, '--write-out',
                   '\n%{http_version} %{num_connects}\n', *[url + HALF] * 4)
    lines = [line for line in printed.decode().split('\n') if line]
    assert [json.loads(line) for line in lines[::2]] == [ANSWER] * 4
    assert lines[1::2] == ['2 1'] + ['2 0'] * 3


@pytest.mark.parametrize('path', ['/v1/models/%', '/v1/models/%zz', '/v1/models/a%2', '/v1/models/half/labels/%g0'])
def test_broken_percent_encoding(base, path):
    # As curl sends it; requests mends it.
    status, _, answer = curl_status(base + path)
    assert status == 400 and 'two hexadecimal digits' in answer['error']


# ------------------------------------------------------------------------------------------ bodies

def test_gzip_both_ways(base, session):
    body, expected = long_rows()
    response = session.post(base + HALF, gzip.compress(body.encode()), headers={'Content-Encoding': 'gzip'})
    assert response.status_code == 200 and response.json() == expected
    assert response.headers['content-encoding'] == 'gzip' and response.headers['vary'] == 'accept-encoding'
    assert int(response.headers['content-length']) < len(json.dumps(expected)) / 2
    response = session.post(base + HALF, body, headers={'Accept-Encoding': 'identity'})
    assert response.json() == expected and 'content-encoding' not in response.headers
    assert int(response.headers['content-length']) == len(response.content)


def zstd(data, *options):
    return subprocess.run(['zstd', '-q', '-c', *options], input=data, capture_output=True, check=True).stdout


def test_zstd_both_ways(base, session):
    body, expected = long_rows()
    for options in ([], ['-19'], ['--no-content-size'], ['--no-check']):
        response = session.post(base + HALF, zstd(body.encode(), *options), stream=True,
                                headers={'Content-Encoding': 'zstd', 'Accept-Encoding': 'gzip, zstd'})
        assert response.status_code == 200 and response.headers['content-encoding'] == 'zstd'
        assert json.loads(zstd(response.raw.read(decode_content=False), '-d')) == expected
    response = session.post(base + HALF, zstd(body.encode())[:-9], headers={'Content-Encoding': 'zstd'})
    assert response.status_code == 400 and 'ends early' in response.json()['error']


@pytest.mark.parametrize('arguments', [[], HTTP2], ids=['http1', 'http2'])
def test_gzip_with_curl(base, arguments):
    body, expected = long_rows()
    status, _, answer = curl_status(*arguments, '--compressed', '--header', 'Content-Encoding: gzip', '--data-binary',
                                    '@-', base + HALF, data=gzip.compress(body.encode()))
    assert (status, answer) == (200, expected)


def test_a_body_that_is_not_gzip(base, session):
    response = session.post(base + HALF, BODY, headers={'Content-Encoding': 'gzip'})
    assert response.status_code == 400 and 'gzip' in response.json()['error']
    response = session.post(base + HALF, BODY, headers={'Content-Encoding': 'br'})
    assert response.status_code == 415 and response.headers['accept-encoding'] == 'gzip, zstd'
    assert session.post(base + HALF, BODY).json() == ANSWER


def test_chunked_requests(base, session):
    for parts in ([BODY], list(BODY), [BODY[:7], BODY[7:]]):
        response = session.post(base + HALF, (part.encode() for part in parts))
        assert response.status_code == 200 and response.json() == ANSWER
    chunked = ['--header', 'Transfer-Encoding: chunked', '--data-binary', '@-', base + HALF]
    body, expected = long_rows()
    assert curl_status(*chunked, data=body.encode())[::2] == (200, expected)
    packed = ['--header', 'Content-Encoding: gzip', *chunked]
    assert curl_status(*packed, data=gzip.compress(body.encode()))[::2] == (200, expected)


def test_expect_100_continue(base):
    command = ['curl', '--silent', '--verbose', '--noproxy', '*', '--header', 'Expect: 100-continue', '--data', BODY,
               base + HALF]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout) == ANSWER and b'< HTTP/1.1 100 Continue' in done.stderr


def test_the_type_of_the_request_does_not_matter(base, session):
    for kind in ('application/json', 'text/plain', 'application/x-www-form-urlencoded', None):
        assert session.post(base + HALF, BODY, headers={'Content-Type': kind}).json() == ANSWER


@pytest.mark.parametrize('client', ['requests', 'curl', 'curl over HTTP/2'])
def test_a_body_of_20_megabytes(base, session, client):
    count = 2_500_000
    x = np.arange(count, dtype=np.float32).reshape(-1, 100) / 8
    body = b'{"inputs":[' + b','.join(b'[' + b','.join(b'%.3f' % each for each in row) + b']'
                                      for row in x.tolist()) + b']}'
    assert len(body) > 20_000_000
    if client == 'requests':
        answer = session.post(base + HALF, body, headers={'Accept-Encoding': 'identity'}).json()
    else:
        arguments = HTTP2 if 'HTTP/2' in client else []
        status, _, answer = curl_status(*arguments, '--data-binary', '@-', base + HALF, data=body)
        assert status == 200
    np.testing.assert_array_equal(np.array(answer['outputs'], np.float32), x / 2 + 2)


# ------------------------------------------------------------------------------------------ connections

def test_a_connection_outlives_answers_of_all_kinds(builtin_server):
    connection = http.client.HTTPConnection('127.0.0.1', builtin_server.rest_port, timeout=30 * SLOWNESS)
    connection.connect()
    kept = connection.sock
    for method, path, body, status in (
            ('POST', HALF, BODY, 200), ('POST', HALF, '{', 400), ('POST', '/v1/models/none:predict', BODY, 404),
            ('GET', HALF, None, 405), ('GET', '/v1/models/half', None, 200), ('HEAD', '/v1/models/half', None, 200),
            ('OPTIONS', HALF, None, 400), ('GET', '/no-such-thing', None, 404),
            ('POST', HALF, BODY, 200)):
        connection.request(method, path, body)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock is kept, f'closed after {method} {path}'
    connection.request('POST', HALF, BODY, {'Connection': 'close'})
    response = connection.getresponse()
    assert json.loads(response.read()) == ANSWER and response.getheader('connection') == 'close'
    assert kept.fileno() == -1 or kept.recv(1) == b''
    connection.close()


def test_head(base, session):
    for path in ('/v1/models', '/v1/models/half', '/v1/models/half/metadata'):
        got, head = session.get(base + path, headers={'Accept-Encoding': 'identity'}), session.head(
            base + path, headers={'Accept-Encoding': 'identity'})
        assert (head.status_code, head.content) == (200, b'')
        assert head.headers['content-length'] == got.headers['content-length'] == str(len(got.content))
        assert head.headers['content-type'] == got.headers['content-type']


def test_options(base, session):
    response = session.options(base + HALF)
    assert response.status_code == 400 and 'Origin' in response.json()['error']
    for origin in ('http://example.org', 'https://example.org:8443'):
        response = session.options(base + HALF, headers={'Origin': origin, 'Access-Control-Request-Method': 'POST'})
        assert (response.status_code, response.content) == (200, b'')
        assert not CORS.keys() & {name.lower() for name in response.headers}
        assert 'allow' not in response.headers
    assert session.options(base + HALF, headers={'Origin': 'null'}).status_code == 400


def test_cors(start, session):
    server = start({'half': 'builtin:half_plus_two'}, flags=['--rest_api_enable_cors_support'])
    base = f'http://127.0.0.1:{server.rest_port}'
    origin = {'Origin': 'https://example.org'}
    for response in (session.options(base + HALF, headers=origin), session.post(base + HALF, BODY, headers=origin),
                     session.post(base + HALF, '{', headers=origin), session.get(base + '/v1/models', headers=origin)):
        assert {name: response.headers.get(name) for name in CORS} == CORS


def test_request_ids(base, session):
    given = session.post(base + HALF, BODY, headers={'X-Request-Id': 'abc-123/~!'})
    assert given.headers['x-request-id'] == 'abc-123/~!'
    error = session.post(base + HALF, '{', headers={'X-Request-Id': 'of.an.error'})
    assert (error.status_code, error.headers['x-request-id']) == (400, 'of.an.error')
    own = set()
    for unusable in (None, 'x' * 129, 'with space', 'Größe'.encode()):
        own.add(session.post(base + HALF, BODY, headers={'X-Request-Id': unusable}).headers['x-request-id'])
    assert len(own) == 4 and all(0 < len(each) <= 16 for each in own)


def test_a_client_that_half_closes_gets_its_answer(builtin_server):
    request = b'POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s' % (HALF.encode(), len(BODY), BODY.encode())
    answer = exchange(builtin_server.rest_port, request, half_close=True)
    assert answer.startswith(b'HTTP/1.1 200 OK\r\n') and answer.endswith(b'[2.5,3.0]}\n')


@runtimes
def test_a_client_that_half_closes_learns_why_it_gets_no_answer(start):
    from conftest import TEST_MODELS
    server = start({'loop': f'{TEST_MODELS}/loop_onnx'}, flags=['--half_close_grace_ms=100'])
    answer = exchange(server.rest_port, b'POST /v1/models/loop:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n'
                      b'{"inputs":1000000000}', half_close=True)
    assert answer.startswith(b'HTTP/1.1 499 ') and b'half_close_grace_ms' in answer
    eventually('the model stops', lambda: idle(server))


def test_request_ids_of_errors_that_http_finds(builtin_server):
    for request, status, expected in (
            (b'GET /none HTTP/1.1\r\nHost: a\r\n', 404, 'mine'), (b'PUT /healthz HTTP/1.1\r\nHost: a\r\n', 405, 'mine'),
            (b'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n', 413, 'mine'),
            (b'POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 0\r\n', 415, 'mine'),
            (b'GET / HTTP/1.1\r\nHost: a\r\nX: ' + b'x' * 70_000 + b'\r\n', 431, None),
            (b'GET / HTTP/1.1\r\nno colon\r\n', 400, None)):
        answer = exchange(builtin_server.rest_port, request + b'X-Request-Id: mine\r\nConnection: close\r\n\r\n')
        head = answer.split(b'\r\n\r\n')[0].decode()
        assert head.startswith(f'HTTP/1.1 {status} ')
        (found,) = [line.split(': ')[1] for line in head.split('\r\n') if line.startswith('x-request-id: ')]
        assert found == expected if expected else 0 < len(found) <= 16


def test_request_ids_over_http2(base):
    printed = curl(*HTTP2, '--include', '--header', 'X-Request-Id: of-http2', '--data', BODY, base + HALF).decode()
    assert '\r\nx-request-id: of-http2\r\n' in printed
    printed = curl(*HTTP2, '--include', '--header', 'X-Request-Id: of-http2', base + '/none').decode()
    assert printed.startswith('HTTP/2 404') and '\r\nx-request-id: of-http2\r\n' in printed


# ------------------------------------------------------------------------------------------ time and many clients

@runtimes
@pytest.mark.parametrize('model', ['loop', 'loop_onnx'])
def test_the_time_limit(start, session, model):
    from conftest import TEST_MODELS
    server = start({model: f'{TEST_MODELS}/{model}'}, flags=['--rest_api_timeout_in_ms=300'])
    url = f'http://127.0.0.1:{server.rest_port}/v1/models/{model}:predict'
    response = session.post(url, '{"inputs":1000000000}')  # about an hour
    assert response.status_code == 504 and list(response.json()) == ['error']
    eventually('the model stops', lambda: idle(server))


@runtimes
@pytest.mark.parametrize('how', ['reset', 'closed'])
def test_a_client_that_leaves_ends_the_run(models_server, how):
    body = b'{"inputs":1000000000}'
    client = socket.create_connection(('127.0.0.1', models_server.rest_port))
    client.sendall(b'POST /v1/models/loop_onnx:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s' % (
        len(body), body))
    eventually('the model runs', lambda: not idle(models_server))
    if how == 'reset':
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    client.close()
    eventually('the model stops', lambda: idle(models_server), 15)  # before the time limit of the call


def test_many_clients_get_their_own_answers(base):
    def ask(number):
        with requests.Session() as session:
            session.trust_env = False
            for i in range(25):
                x = number * 1000.0 + i
                response = session.post(base + HALF, json.dumps({'instances': [x] * (1 + i * number % 50)}))
                assert response.json() == {'predictions': [x / 2 + 2] * (1 + i * number % 50)}
                identity = f'{number}.{i}'
                response = session.post(base + '/v1/models/identity:predict', json.dumps({'inputs': {'id': identity}}),
                                        headers={'X-Request-Id': identity})
                assert response.json() == {'outputs': identity}
                assert response.headers['x-request-id'] == identity
                assert session.post(base + HALF, '{"instances":["%s"]}' % identity).json()['error'].count(identity) == 1
        return True

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))
