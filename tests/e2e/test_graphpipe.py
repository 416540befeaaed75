# SPDX-License-Identifier: Apache-2.0
"""GraphPipe with the public Python client, and with messages that no client would send."""
import json
import random
import socket
import struct
import subprocess

import numpy as np
import pytest
import requests
from graphpipe import convert, remote

from net_fixtures import make_certificate
from penstock_server import SLOWNESS, Server, eventually
from raw import connect, read_response, send
from test_access import Callers

MODELS = {'half': 'builtin:half_plus_two', 'identity': 'builtin:identity'}
FLAGS = ['--graphpipe_port=-1', '--graphpipe_default_model=half']


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """`/` of its GraphPipe port is half_plus_two."""
    with Server(tmp_path_factory.mktemp('graphpipe'), MODELS, FLAGS) as server:
        yield server


def url(server, model=None, port=None):
    return f'http://127.0.0.1:{port or server.graphpipe_port}' + (f'/graphpipe/{model}' if model else '/')


def infer_message(tensors, input_names=None, output_names=None, config=None):
    return bytes(convert.serialize_infer_request(convert.InferReq(config, tensors, input_names, output_names)))


def post(server, message, model='identity', port=None):
    """(status, content type, body)"""
    status, headers, body = server.request('POST', f'/graphpipe/{model}', message, port=port)
    return status, headers['content-type'], body


COPIES = ('penstock_graphpipe_copied_bytes_total{direction="in"} ', 'penstock_graphpipe_copied_bytes_total{direction="out"} ',
          'penstock_net_body_bytes_copied_total ')


def copied(server):
    return [line for line in server.get('/metrics')[1].splitlines() if line.startswith(COPIES)]


def test_the_public_client_infers(server):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for address in (url(server), url(server, 'half'), url(server, 'half/versions/1'),
                    url(server, 'half', server.rest_port), url(server, 'half', server.port)):
        assert np.array_equal(remote.execute(address, x), x / 2 + 2)
    assert np.array_equal(remote.execute(url(server), x, 'x', 'y'), x / 2 + 2)
    echo = remote.execute_multi(url(server, 'identity'), [x, x + 1, x + 2], ['a', 'b', 'c'], ['c', 'a'], config='{}')
    assert [array.tolist() for array in echo] == [(x + 2).tolist(), x.tolist()]
    large = np.random.default_rng(1).random((3, 224, 224, 3), np.float32)
    assert np.array_equal(remote.execute(url(server, 'identity'), large), large)


def test_the_public_client_sends_every_type(server):
    for dtype in convert.np_to_t:
        if dtype == np.dtype('O'):
            continue
        for shape in ((), (0, 3), (5,), (2, 3, 4)):
            x = np.ones(shape, dtype) * 3
            y = remote.execute(url(server, 'identity'), np.asarray(x))
            assert y.dtype == dtype and y.shape == shape and np.array_equal(x, y)
    words = np.array([['one', 'four'], ['', 'ü']], dtype=object)
    assert remote.execute(url(server, 'identity'), words).tolist() == [[b'one', b'four'], [b'', 'ü'.encode()]]


def test_the_public_client_reads_metadata(server):
    assert remote.get_input_names(url(server)) == ['x']
    assert remote.get_output_names(url(server, 'half')) == ['y']
    assert remote.get_output_types(url(server)) == [np.float32]
    assert remote.metadata(url(server)).Server() == b'penstock'
    for path in ('/', '/graphpipe/half'):
        page = json.loads(server.get(path, port=server.graphpipe_port)[1])
        assert page['Name'] == 'half' and page['Inputs'][0] == {
            'Name': 'x', 'Description': 'of any rank', 'Shape': [-1], 'Type': 10}
    assert json.loads(server.get('/')[1])['name'] == 'penstock', 'the other ports have their own page /'


def test_the_public_client_gets_errors(server):
    for path, name, status, text in (('none', None, 404, 'none'), ('half', 'q', 400, 'the inputs are: x')):
        with pytest.raises(requests.HTTPError) as raised:
            remote.execute(url(server, path), np.ones(1, np.float32), name)
        assert raised.value.response.status_code == status
        answer = post(server, infer_message([np.ones(1, np.float32)], [name] if name else None), path)
        assert answer[:2] == (status, 'text/plain; charset=utf-8') and text in answer[2].decode()


def test_errors_in_band(tmp_path):
    with Server(tmp_path, {'half': MODELS['half']}, [FLAGS[0], '--graphpipe_in_band_errors']) as server:
        assert remote.execute(url(server), np.ones(1, np.float32)) == [2.5]  # the only model
        with pytest.raises(Exception, match='the inputs are: x'):
            remote.execute(url(server), np.ones(1, np.float32), 'q')
        with pytest.raises(Exception, match='malformed'):
            errors = convert.deserialize_infer_response(post(server, b'junk', 'half')[2])[1]
            raise Exception(errors[0]['message'])  # as the client does


def test_probes(server):
    assert server.get('/control/is_alive', server.graphpipe_port) == (200, 'ok\n')
    assert server.get('/control/is_ready', server.graphpipe_port) == (200, 'ok\n')
    assert server.get('/control/shutdown', server.graphpipe_port)[0] == 404
    assert server.get('/control/is_alive')[0] == 404


def test_http2_over_tls(tmp_path):
    certificate, body = tmp_path / 'cert.pem', tmp_path / 'body'
    make_certificate(certificate, tmp_path / 'key.pem')
    x = np.random.default_rng(2).random((3, 100, 100), np.float32)
    body.write_bytes(infer_message([x]))
    with Server(tmp_path / 'server', MODELS, [*FLAGS, f'--tls_certificate_file={certificate}',
                                              f'--tls_key_file={tmp_path}/key.pem'], ready=False) as server:
        address = f'https://127.0.0.1:{server.graphpipe_port}/graphpipe/identity'
        done = subprocess.run(
            ['curl', '--silent', '--show-error', '--fail', '--http2', '--cacert', certificate, '--data-binary', f'@{body}',
             '--retry', '50', '--retry-delay', '1', '--retry-all-errors', '--write-out', '%{stderr}%{http_version}',
             address], capture_output=True, check=True, timeout=60 * SLOWNESS)
        assert done.stderr == b'2'
        assert np.array_equal(convert.deserialize_infer_response(bytearray(done.stdout))[0][0], x)


def test_callers_may_use_their_models_only(tmp_path):
    callers = Callers(tmp_path)
    with Server(tmp_path / 'server', {'mine': MODELS['half'], 'theirs': MODELS['half']},
                ['--graphpipe_port=-1', f'--token_file={callers.path}']) as server:
        def status(method, path, caller=None, body=b''):
            return server.request(method, path, body, callers.headers(caller), port=server.graphpipe_port)[0]

        infer = infer_message([np.ones(1, np.float32)])
        for body in (infer, bytes(convert.serialize_metadata_request())):
            assert status('POST', '/graphpipe/mine', body=body) == 401
            assert status('POST', '/graphpipe/mine', 'user', body) == 200
            assert status('POST', '/graphpipe/theirs', 'user', body) == 403
            assert status('POST', '/graphpipe/none', 'user', body) == 403
        assert status('GET', '/graphpipe/mine', 'user') == 200
        assert status('GET', '/graphpipe/theirs', 'user') == 403
        assert status('GET', '/control/is_ready') == 200


def test_unix_socket(tmp_path):
    path = str(tmp_path / 'socket')
    with Server(tmp_path / 'server', MODELS, [f'--grpc_socket_path={path}']):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            body = infer_message([np.ones(1, np.float32)])
            sock.sendall(b'POST /graphpipe/half HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            status, _, answer = read_response(sock)
    assert status == 200
    assert convert.deserialize_infer_response(bytearray(answer))[0][0] == [2.5]


@pytest.mark.runtimes
def test_real_models(models_server):
    x = np.array([1, -2, 3], np.float32)
    base = url(models_server, 'many_outputs', models_server.rest_port)
    names = remote.get_output_names(base)
    assert names == ['as_int64', 'half', 'positive', 'text', 'total']
    whole, half, positive, text, total = remote.execute_multi(base, [x], None, None)
    assert (whole.tolist(), half.tolist(), positive.dtype) == ([1, -2, 3], [0.5, -1, 1.5], np.uint8)
    assert positive.tolist() == [1, 0, 1] and text.shape == (3,) and total == 2
    swapped = remote.execute_multi(base, [x], ['x'], ['total', 'half'])
    assert [array.tolist() for array in swapped] == [2, [0.5, -1, 1.5]]
    # Types that GraphPipe lacks: bool as uint8, bfloat16 as float32; complex numbers not at all.
    dtypes = url(models_server, 'dtypes', models_server.rest_port) + '?signature_name='
    assert remote.execute(dtypes + 'bool', np.array([1, 0], np.uint8)).tolist() == [1, 0]
    assert remote.execute(dtypes + 'bfloat16', np.array([1.5, 1 + 2**-9], np.float32)).tolist() == [1.5, 1]
    for name in ('float16', 'float64', 'int8', 'int64', 'uint32'):
        assert remote.execute(dtypes + name, np.ones(2, name)).dtype == np.dtype(name)
    status, _, body = models_server.request('POST', '/graphpipe/dtypes?signature_name=complex64',
                                            infer_message([np.ones(1, np.float32)]))
    assert status == 400 and b'complex64' in body


@pytest.mark.runtimes
def test_tensors_without_names_have_the_order_of_the_onnx_file(tmp_path):
    import onnx
    from onnx import TensorProto, helper
    vector = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in 'abyz'}
    graph = helper.make_graph([helper.make_node('Sub', ['b', 'a'], ['z']), helper.make_node('Neg', ['z'], ['y'])], 'order',
                              [vector['b'], vector['a']], [vector['z'], vector['y']])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
    model.ir_version = 8
    (tmp_path / 'm' / '1').mkdir(parents=True)
    onnx.save(model, tmp_path / 'm' / '1' / 'model.onnx')
    b, a = np.array([5, 1], np.float32), np.array([1, 2], np.float32)
    with Server(tmp_path, {'m': str(tmp_path / 'm')}, ['--graphpipe_port=-1']) as server:
        z, y = remote.execute_multi(url(server, 'm'), [b, a], None, None)
        assert remote.get_input_names(url(server, 'm')) == ['b', 'a']
        assert remote.get_output_names(url(server, 'm')) == ['z', 'y']
        page = json.loads(server.get('/graphpipe/m')[1])
    assert z.tolist() == [4, -1] and y.tolist() == [-4, 1]
    assert [each['Name'] for each in page['Outputs']] == ['z', 'y']


def test_big_tensors_are_not_copied(server):
    before = copied(server)
    assert len(before) == len(COPIES)
    session = requests.Session()
    session.trust_env = False
    for rows in (1, 2, 8):
        x = np.full((rows, 224, 224, 3), rows, np.float32)
        answer = session.post(url(server, 'identity'), data=infer_message([x]))
        assert np.array_equal(convert.deserialize_infer_response(answer.content)[0][0], x)
    assert copied(server) == before


# --- messages that no client would send

def table(*fields):
    """A flatbuffer table of these fields, as text of the little assembler below. None: absent."""
    return ('table', fields)


def vector(*elements):
    return ('vector', elements)


def assemble(root):
    """Bytes of nested tables and vectors. An int or bytes is put as it is; a pair is put behind, and an offset to it
    before. ('raw', n) is an offset of n."""
    out = bytearray(b'\0\0\0\0')
    pending = [(0, root)]

    def put(value):
        if isinstance(value, bytes):
            out.extend(value)
        elif value[0] == 'raw':
            out.extend(struct.pack('<I', value[1] & 0xffffffff))
        else:
            pending.append((len(out), value))
            out.extend(b'\0\0\0\0')

    while pending:
        at, (kind, parts) = pending.pop(0)
        out.extend(b'\0' * (-len(out) % 8))
        if kind == 'table':
            offsets, position = [], 4
            for part in parts:
                offsets.append(0 if part is None else position)
                position += 0 if part is None else len(part) if isinstance(part, bytes) else 4
            vtable = struct.pack(f'<HH{len(parts)}H', 4 + 2 * len(parts), position, *offsets)
            start = len(out)
            out.extend(vtable)
            out.extend(b'\0' * (-len(out) % 4))
            struct.pack_into('<I', out, at, len(out) - at)
            out.extend(struct.pack('<i', len(out) - start))
            for part in parts:
                if part is not None:
                    put(part)
        else:
            struct.pack_into('<I', out, at, len(out) - at)
            count = parts[0] if kind == 'claimed' else len(parts)
            if kind == 'bytes':
                count = len(parts)
            out.extend(struct.pack('<I', count & 0xffffffff))
            if kind == 'bytes':
                out.extend(parts)
            else:
                for part in parts[1:] if kind == 'claimed' else parts:
                    put(part)
    return bytes(out)


def text(value):
    return ('bytes', value)


def tensor(kind=b'\x0a\0\0\0', shape=(1,), data=b'\0\0\x80?', strings=None):
    dims = shape if isinstance(shape, tuple) and shape[:1] == ('claimed',) else \
        ('bytes8', shape)
    if dims[0] == 'bytes8':
        dims = ('vector', tuple(struct.pack('<q', dim) for dim in shape))
    return table(kind, dims, None if data is None else text(data), strings)


def request(tensors=None, inputs=None, outputs=None, config=None, kind=b'\x01\0\0\0'):
    body = table(config, inputs, vector(*(tensors if tensors is not None else (tensor(),))), outputs)
    return assemble(table(kind, body))


INT64_MAX = 2**63 - 1


def bad_messages():
    """(what is wrong, the message). Each is an error for any model."""
    good = request()
    yield 'nothing', b''
    for size in (1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, len(good) - 8, len(good) - 4, len(good) - 1):
        yield f'{size} of {len(good)} bytes', good[:size]
    for size in (1, 4, 8, 32, 100, 1000, 70000):
        yield f'{size} zeros', bytes(size)
        yield f'{size} ones', b'\xff' * size
        yield f'{size} spaces', b' ' * size
    for value in (b'{"instances": [1.0]}', b'GET / HTTP/1.1\r\n\r\n', b'\x0a\x06\x0a\x04half', b'PK\x03\x04' * 9):
        yield 'another protocol', value
    for kind in (0, 3, 4, 127, 128, 255):
        yield f'request type {kind}', request(kind=bytes([kind, 0, 0, 0]))
    yield 'no request', assemble(table(b'\x01\0\0\0', None))
    yield 'no type', assemble(table(None, table(None)))
    for offset in (0, 0x7fffffff, 0x80000000, 0xffffffff, 4096, 65536, 10**6):
        yield f'root at {offset}', struct.pack('<I', offset) + good[4:]
        yield f'request at {offset}', assemble(table(b'\x01\0\0\0', ('raw', offset)))
        yield f'input_tensors at {offset}', assemble(table(b'\x01\0\0\0', table(None, None, ('raw', offset), None)))
        yield f'input_names at {offset}', assemble(table(b'\x01\0\0\0', table(None, ('raw', offset), None, None)))
        yield f'output_names at {offset}', assemble(table(b'\x01\0\0\0', table(None, None, None, ('raw', offset))))
        yield f'config at {offset}', assemble(table(b'\x01\0\0\0', table(('raw', offset), None, None, None)))
        yield f'a tensor at {offset}', request([('raw', offset)])
        yield f'a shape at {offset}', request([table(b'\x0a\0\0\0', ('raw', offset), text(b'1234'), None)])
        yield f'data at {offset}', request([table(b'\x0a\0\0\0', vector(struct.pack('<q', 1)), ('raw', offset), None)])
        yield f'strings at {offset}', request([table(b'\x0c\0\0\0', vector(struct.pack('<q', 1)), None, ('raw', offset))])
        yield f'a string at {offset}', request([tensor(b'\x0c\0\0\0', (1,), None, vector(('raw', offset)))])
        yield f'a name at {offset}', request(inputs=vector(('raw', offset)))
    for count in (2, 1000, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xffffffff):
        one = struct.pack('<q', 1)
        yield f'{count} tensors claimed', assemble(
            table(b'\x01\0\0\0', table(None, None, ('claimed', (count,)), None)))
        yield f'{count} input names claimed', request(inputs=('claimed', (count,)))
        yield f'{count} output names claimed', request(outputs=('claimed', (count,)))
        yield f'{count} bytes of config claimed', request(config=('claimed', (count + 10**6,)))
        yield f'{count} dimensions claimed', request([table(b'\x0a\0\0\0', ('claimed', (count + 300, one)), text(b'1234'))])
        yield f'{count} bytes of data claimed', request([table(b'\x0a\0\0\0', vector(one), ('claimed', (count + 300,)))])
        yield f'{count} strings claimed', request([tensor(b'\x0c\0\0\0', (count,), None, ('claimed', (count,)))])
        yield f'{count} elements in the shape', request([tensor(shape=(count,))])
    for shape in ((-1,), (-1, -1), (INT64_MAX,), (INT64_MAX, 2), (2**32, 2**32), (2**62, 4), (0,), (1, 0), (2, 0, INT64_MAX),
                  (-2**63,), (-4, -1), (3,), (1, 2), (2**33, 2**31), (1,) * 255, (1,) * 5000, (2,) * 64):
        yield f'shape {shape[:4]} of rank {len(shape)}', request([tensor(shape=shape)])
        yield f'strings of shape {shape[:4]} of rank {len(shape)}', request(
            [tensor(b'\x0c\0\0\0', shape if shape not in ((0,), (1, 0)) else (7,), None, vector(text(b'a')))])
    for kind in (0, 13, 14, 100, 127, 128, 254, 255):
        yield f'element type {kind}', request([tensor(bytes([kind, 0, 0, 0]))])
    for kind, size in ((1, 2), (3, 3), (5, 5), (8, 7), (9, 4), (11, 4), (11, 0)):
        yield f'{size} bytes for one element of type {kind}', request([tensor(bytes([kind, 0, 0, 0]), data=b'x' * size)])
    yield 'numbers with strings', request([tensor(strings=vector(text(b'a')))])
    yield 'strings with data', request([tensor(b'\x0c\0\0\0', (1,), b'data', vector(text(b'a')))])
    yield 'numbers without data', request([tensor(data=None)])
    yield 'a tensor without fields', request([table()])
    yield 'more names than tensors', request(inputs=vector(text(b'a'), text(b'b')))
    yield 'a name twice', request([tensor(), tensor()], vector(text(b'a'), text(b'a')))
    yield 'a name that is not UTF-8', request(inputs=vector(text(b'\xff\xfe')))
    yield 'an output that is not UTF-8', request(outputs=vector(text(b'\xc0\x80')))
    yield 'an output without a name', request(outputs=vector(text(b'')))
    yield 'an output twice', request(inputs=vector(text(b'a')), outputs=vector(text(b'a'), text(b'a')))
    yield 'an unknown output', request(outputs=vector(text(b'q')))
    yield '5000 tensors', request([tensor()] * 5000)
    yield '5000 outputs', request(outputs=vector(*[text(b'a')] * 5000))
    yield 'a config of 100 KB', request(config=text(b'c' * 100000))
    for size in (3, 5, 0xffff, 0xfffe):
        yield f'a vtable of {size} bytes', good[:8] + struct.pack('<H', size) + good[10:]


def test_bad_messages(server):
    """None crashes, hangs, or makes the server grow; each gets an error with a text."""
    messages = list(bad_messages())
    assert len(messages) >= 200
    good = request()
    assert post(server, good)[0] == 200
    connection = connect(server.graphpipe_port)
    before = server.memory_bytes()
    for what, message in messages * 3:
        send(connection, b'POST /graphpipe/identity HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % len(message) + message)
        status, head, body = read_response(connection)
        assert status == 400 and b'text/plain' in head.lower() and len(body) > 10, (what, status, head, body)
    connection.close()
    assert post(server, good)[0] == 200
    assert server.memory_bytes() - before < 16 << 20


def test_damaged_messages(server):
    """Any byte may be anything: an answer comes, and it is a message or an error."""
    seed = random.Random(3)
    good = infer_message([np.arange(5, dtype=np.float64), np.array([b'a', b'bcde'], dtype=object)], ['a', 'b'], ['b'], 'c')
    connection = connect(server.graphpipe_port)
    for _ in range(600):
        message = bytearray(good)
        for _ in range(seed.choice((1, 1, 2, 5))):
            message[seed.randrange(len(message))] = seed.choice((0, 1, 0x7f, 0x80, 0xff, seed.randrange(256)))
        send(connection, b'POST /graphpipe/identity HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % len(message) + message)
        assert read_response(connection)[0] in (200, 400)
    connection.close()


@pytest.mark.release_only
def test_a_thousand_clients_that_vanish(server):
    """Some in the middle of the request, some before the answer. Nothing of them is left."""
    message = infer_message([np.ones((1, 224, 224, 3), np.float32)])
    head = b'POST /graphpipe/identity HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n' % len(message)
    assert post(server, message)[0] == 200

    def vanish(number):
        sock = connect(server.graphpipe_port)
        send(sock, head + message[:(len(message) if number % 4 == 0 else 20000 + number * 100 % 500000)])
        if number % 2:  # a reset, otherwise an orderly end
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        sock.close()

    def gauge(name):
        return next(float(line.split()[1]) for line in server.get('/metrics')[1].splitlines() if line.startswith(name + ' '))

    for number in range(100):  # the memory that the server keeps for the next ones
        vanish(number)
    eventually('no requests', lambda: gauge('penstock_requests_in_flight') <= 1)
    before, connections = server.memory_bytes(), gauge('penstock_net_connections_open')
    for number in range(1000):
        vanish(number)
    eventually('no connections', lambda: gauge('penstock_net_connections_open') <= connections)
    eventually('no requests', lambda: gauge('penstock_requests_in_flight') <= 1)
    eventually('the memory is back', lambda: server.memory_bytes() - before < 32 << 20)
    assert post(server, message)[0] == 200
    assert SLOWNESS == 1 or server.process.poll() is None
