# SPDX-License-Identifier: Apache-2.0
"""Broken and hostile gRPC calls: each gets an error, none harms the next call, nothing grows."""
import gzip
import random
import struct

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from clients import Client, content_proto, enum_of, predict_request, value_proto, values_of, varint
from raw import GrpcConnection
from penstock_server import SLOWNESS

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
GOOD = predict_request('half', {'x': np.array([1, 2], np.float32)}).SerializeToString()
MEGABYTE = 1 << 20


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """Small limits, so that a bomb that is not stopped shows."""
    from penstock_server import Server
    with Server(tmp_path_factory.mktemp('hostile'), {'identity': 'builtin:identity', 'half': 'builtin:half_plus_two'},
                flags=[f'--body_bytes_max={16 * MEGABYTE}']) as one:
        yield one


@pytest.fixture
def connection(server):
    with GrpcConnection(server) as one:
        yield one


@pytest.fixture(autouse=True)
def still_serving(server):
    """After each test a good call is answered, and the server has not grown."""
    yield
    with GrpcConnection(server) as one:
        status, text, answer = one.call(one.frame(GOOD))
        assert status == OK, text
        assert list(predict_pb2.PredictResponse.FromString(answer).outputs['y'].float_val) == [2.5, 3.0]
    assert server.memory_bytes() < (400 if SLOWNESS == 1 else 4000) * MEGABYTE


def also_good(connection):
    """The connection itself still works."""
    assert connection.call(connection.frame(GOOD))[0] == OK


# ------------------------------------------------------------------------------------------ framing

def test_a_message_cut_short(connection):
    for cut in (1, 4, 5, 6, len(GOOD) // 2, len(GOOD) + 4):
        status, _, _ = connection.call(connection.frame(GOOD)[:cut])
        assert status not in (OK, 'closed')
    also_good(connection)


def test_no_message(connection):
    assert connection.call(b'')[0] not in (OK, 'closed')
    also_good(connection)


def test_two_messages_in_a_unary_call(connection):
    assert connection.call(connection.frame(GOOD) * 2)[0] not in (OK, 'closed')
    also_good(connection)


def test_bytes_behind_the_message(connection):
    assert connection.call(connection.frame(GOOD) + b'\0')[0] not in (OK, 'closed')
    also_good(connection)


@pytest.mark.parametrize('length', [2 ** 32 - 1, 2 ** 31, 17 * MEGABYTE])
def test_a_length_over_the_limit(connection, length):
    status, text, _ = connection.call(connection.frame(GOOD, length=length))
    assert status == RESOURCE_EXHAUSTED
    assert str(16 * MEGABYTE) in text
    also_good(connection)


def test_a_message_over_the_limit(connection):
    assert connection.call(connection.frame(b'\0' * (16 * MEGABYTE + 1)))[0] == RESOURCE_EXHAUSTED
    also_good(connection)


def test_a_claimed_length_costs_no_memory(server):
    before = server.memory_bytes()
    connections = [GrpcConnection(server) for _ in range(50)]
    try:
        for each in connections:
            each.send(each.begin(), each.frame(GOOD, length=16 * MEGABYTE - 10))
        with GrpcConnection(server) as one:
            also_good(one)
        assert server.memory_bytes() - before < 200 * MEGABYTE
    finally:
        for each in connections:
            each.sock.close()


def test_compressed_flag_without_encoding(connection):
    assert connection.call(connection.frame(gzip.compress(GOOD), flag=1))[0] == INTERNAL
    also_good(connection)


def test_unknown_flag(connection):
    for flag in (2, 128, 255):
        assert connection.call(connection.frame(GOOD, flag=flag))[0] not in (OK, 'closed')
    also_good(connection)


def test_unknown_encoding(connection):
    status, text, _ = connection.call(connection.frame(GOOD, flag=1), headers=[('grpc-encoding', 'snappy')])
    assert status == UNIMPLEMENTED and 'snappy' in text
    also_good(connection)


def gzip_call(connection, data):
    return connection.call(connection.frame(data, flag=1), headers=[('grpc-encoding', 'gzip')])


def test_gzip(connection):
    assert gzip_call(connection, gzip.compress(GOOD))[0] == OK


CONTROL_METHODS = [
    '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
    '/tensorflow.serving.ModelService/GetModelStatus', '/tensorflow.serving.PredictionService/GetModelMetadata']


@pytest.mark.parametrize('path', CONTROL_METHODS)
def test_control_messages_are_small(connection, path):
    """Parsed, two bytes of such a message take more than ten."""
    unknown_fields = b'\x10\x00' * (64 * 1024 // 2 + 1)
    status, text, _ = connection.call(connection.frame(unknown_fields), path=path)
    assert (status, text) == (RESOURCE_EXHAUSTED, 'a message of 65538 bytes was received; the limit is 65536 bytes')
    status, text, _ = connection.call(connection.frame(gzip.compress(unknown_fields), flag=1), path=path,
                                      headers=[('grpc-encoding', 'gzip')])
    assert (status, text) == (RESOURCE_EXHAUSTED, 'the message is over the limit of 65536 bytes after decompression')
    also_good(connection)


def test_broken_gzip(connection):
    whole = gzip.compress(GOOD)
    for data in (b'', b'\x1f\x8b', whole[:-9], whole[:-1], b'not gzip at all', whole[:20] + b'\xff' * 20,
                 whole + b'rest'):
        assert gzip_call(connection, data)[0] not in (OK, 'closed')
    also_good(connection)


def test_gzip_bomb(server, connection):
    before = server.memory_bytes()
    bomb = gzip.compress(b'\0' * (512 * MEGABYTE), 1)
    for _ in range(3):
        status, _, _ = gzip_call(connection, bomb)
        assert status == RESOURCE_EXHAUSTED
    assert server.memory_bytes() - before < 200 * MEGABYTE
    also_good(connection)


# ------------------------------------------------------------------------------------------ heads

@pytest.mark.parametrize('content_type', ['application/json', 'text/plain', '', 'application/grpcx'])
def test_other_content_types(connection, content_type):
    status, _, _ = connection.call(connection.frame(GOOD), content_type=content_type)
    assert status == 'http 415'
    also_good(connection)


@pytest.mark.parametrize('timeout', ['S', '-1S', '1', '1x', '123456789S', '1 S', '0x1S', '١S'])
def test_malformed_timeouts(connection, timeout):
    status, text, _ = connection.call(connection.frame(GOOD), headers=[('grpc-timeout', timeout)])
    assert status == INTERNAL and 'it must be 1 to 8 digits and one of H, M, S, m, u, n' in text
    also_good(connection)


def test_an_empty_timeout_is_none(connection):
    assert connection.call(connection.frame(GOOD), headers=[('grpc-timeout', '')])[0] == OK


@pytest.mark.parametrize('headers, expected', [
    ([('x-broken-bin', '!!!')], OK), ([('x-long', 'v' * 20000)], OK), ([('grpc-encoding', 'gzip' * 1000)], UNIMPLEMENTED),
    ([(f'x-{i}', 'v') for i in range(500)], OK), ([('grpc-message', '%')], OK), ([('content-length', '3')], 'reset'),
    ([('content-length', '-1')], 'reset')], ids=['base64', 'long', 'encoding', 'many', 'percent', 'length', 'negative'])
def test_odd_headers(connection, headers, expected):
    assert connection.call(connection.frame(GOOD), headers=headers)[0] == expected


def test_a_head_over_the_limit(server):
    with GrpcConnection(server) as one:
        status, _, _ = one.call(one.frame(GOOD), headers=[(f'x-{i}', 'v' * 1000) for i in range(100)])
        assert status != OK


@pytest.mark.parametrize('path', ['/', '//', '/tensorflow.serving.PredictionService/', 'Predict', '*',
                                  '/tensorflow.serving.PredictionService/predict', '/%00', '/a' * 10000])
def test_odd_paths(connection, path):
    status, _, _ = connection.call(connection.frame(GOOD), path=path)
    assert status != OK


# ------------------------------------------------------------------------------------------ messages

def test_every_beginning_of_a_message(connection):
    message = predict_request('half', {'x': value_proto('float32', np.array([1, 2], np.float32))}, version=1,
                              signature='serving_default', outputs=['y']).SerializeToString()
    for end in range(len(message)):
        status, _, _ = connection.call(connection.frame(message[:end]))
        assert isinstance(status, int)
    also_good(connection)


def test_changed_bytes(connection):
    chance = random.Random(20261122)
    whole = predict_request('identity', {name: form(name, values_of(name, (2,))) for form, name in (
        (content_proto, 'float32'), (value_proto, 'string'), (value_proto, 'int64'), (content_proto, 'bool'))},
                            version=1).SerializeToString()
    statuses = set()
    for _ in range(400 if SLOWNESS == 1 else 100):
        message = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            kind, at = chance.randrange(3), chance.randrange(len(message))
            if kind == 0:
                message[at] = chance.randrange(256)
            elif kind == 1:
                del message[at:at + chance.randint(1, 8)]
            else:
                message[at:at] = chance.randbytes(chance.randint(1, 8))
        status, _, _ = connection.call(connection.frame(bytes(message)))
        assert isinstance(status, int), status
        statuses.add(status)
    assert INVALID_ARGUMENT in statuses and INTERNAL not in statuses
    also_good(connection)


def field(number, wire_type, payload=b''):
    return varint(number << 3 | wire_type) + payload


def bytes_field(number, payload):
    return field(number, 2, varint(len(payload)) + payload)


@pytest.mark.parametrize('message', [
    b'\xff' * 100, field(1, 2, varint(2 ** 63)), field(1, 2, b'\x80' * 11), field(2, 2, b'\x7f'), field(0, 0, b'\0'),
    field(1, 7), field(1, 6), field(1, 4), field(15, 3) * 100_000, field(15, 3) + field(16, 4),
    bytes_field(2, bytes_field(1, b'x') + bytes_field(2, b'\xff')), bytes_field(1, bytes_field(1, b'\xff\xfe')),
    bytes_field(1, field(1, 0, b'\1')), field(1, 5, b'abc'), field(1, 1, b'abcdefg')],
    ids=['ff', 'huge', 'long varint', 'past the end', 'number 0', 'type 7', 'type 6', 'end of nothing', 'deep groups',
         'crossed groups', 'bad tensor', 'not UTF-8', 'wrong type', 'short fixed32', 'short fixed64'])
def test_malformed_messages(connection, message):
    status, text, _ = connection.call(connection.frame(message))
    assert status == INVALID_ARGUMENT or isinstance(status, int) and status not in (OK, INTERNAL), (status, text)
    also_good(connection)


def test_deep_messages_in_unknown_fields(connection):
    message = b''
    for _ in range(200):
        message = bytes_field(99, message)
    assert connection.call(connection.frame(GOOD + message))[0] == OK
    also_good(connection)


def test_names_that_are_not_text(connection):
    for name in (b'\xff\xfe', b'\xc0\x80', b'\xed\xa0\x80', b'\0', b'x' * MEGABYTE):
        message = bytes_field(1, bytes_field(1, b'half')) + bytes_field(
            2, bytes_field(1, name) + bytes_field(2, content_proto('float32', np.float32([1])).SerializeToString()))
        status, _, _ = connection.call(connection.frame(message))
        assert status == INVALID_ARGUMENT
    also_good(connection)


# ------------------------------------------------------------------------------------------ tensors

def tensor(dtype='float32', sizes=(), **fields):
    proto = value_proto('float32', np.zeros(0, np.float32))
    proto.Clear()
    proto.dtype = enum_of(dtype) if isinstance(dtype, str) else dtype
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if isinstance(value, bytes):
            setattr(proto, name, value)
        else:
            getattr(proto, name).extend(value)
    return proto


BAD_TENSORS = {
    'too few bytes': tensor(sizes=[3], tensor_content=b'\0' * 11),
    'too many bytes': tensor(sizes=[3], tensor_content=b'\0' * 13),
    'bytes for nothing': tensor(sizes=[0], tensor_content=b'\0' * 4),
    'negative size': tensor(sizes=[-1], float_val=[1]),
    'very negative size': tensor(sizes=[-2 ** 63], float_val=[1]),
    'two negative sizes': tensor(sizes=[-2, -2], tensor_content=b'\0' * 16),
    'overflow': tensor(sizes=[2 ** 62, 4], float_val=[1]),
    'overflow to zero': tensor(sizes=[2 ** 32, 2 ** 32], float_val=[1]),
    'overflow in bytes': tensor('complex128', sizes=[2 ** 60], dcomplex_val=[1, 2]),
    'overflow beside zero': tensor(sizes=[0, 2 ** 62, 2 ** 62], float_val=[1]),
    'repeat bomb': tensor(sizes=[10 ** 12], float_val=[1]),
    'zero bomb': tensor(sizes=[10 ** 12]),
    'string bomb': tensor('string', sizes=[10 ** 12], string_val=[b'x' * 100]),
    'bool bomb': tensor('bool', sizes=[2 ** 40], bool_val=[True]),
    'string repeat bomb': tensor('string', sizes=[10 ** 6], string_val=[b'x' * 100_000]),
    'too many dimensions': tensor(sizes=[1] * 300, float_val=[1]),
    'type 0': tensor(0, sizes=[1], float_val=[1]),
    'a reference type': tensor(101, sizes=[1], float_val=[1]),
    'resource': tensor(20, sizes=[1]),
    'variant': tensor(21, sizes=[1]),
    'unknown type': tensor(25, sizes=[1], tensor_content=b'\0'),
    'a bool of 2': tensor('bool', sizes=[2], tensor_content=b'\1\2'),
    'strings too short': tensor('string', sizes=[2], tensor_content=b'\1'),
    'strings too long': tensor('string', sizes=[1], tensor_content=b'\1ab'),
    'a string of a huge length': tensor('string', sizes=[1], tensor_content=b'\xff\xff\xff\xff\x0f'),
    'a length that is no number': tensor('string', sizes=[1], tensor_content=b'\xff' * 6),
}


@pytest.mark.parametrize('bad', BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_bad_tensors(connection, server, bad):
    before = server.memory_bytes()
    message = predict_request('identity', {'a': value_proto('int32', np.int32([1])), 'bad': bad}).SerializeToString()
    status, text, _ = connection.call(connection.frame(message))
    assert status in (INVALID_ARGUMENT, RESOURCE_EXHAUSTED), (status, text)
    assert 'bad' in text or 'the answer takes' in text
    assert server.memory_bytes() - before < 64 * MEGABYTE * SLOWNESS
    also_good(connection)


def test_unknown_rank(connection):
    bad = tensor(float_val=[1])
    bad.tensor_shape.unknown_rank = True
    message = predict_request('identity', {'bad': bad}).SerializeToString()
    assert connection.call(connection.frame(message))[0] == INVALID_ARGUMENT


def test_many_inputs(connection):
    one = value_proto('float32', np.float32([1]))
    message = predict_request('half', {f'x{i}': one for i in range(5000)}).SerializeToString()
    assert connection.call(connection.frame(message))[0] == INVALID_ARGUMENT
    also_good(connection)


def test_one_input_twice(connection):
    # A map's later entry replaces the earlier one.
    first, second = (predict_request('half', {'x': np.float32([value])}).SerializeToString() for value in (1, 9))
    status, _, answer = connection.call(connection.frame(first + second))
    assert status == OK
    assert list(predict_pb2.PredictResponse.FromString(answer).outputs['y'].float_val) == [6.5]


def test_streams_left_open_and_reset(server):
    with GrpcConnection(server) as one:
        for i in range(2000):
            stream = one.begin()
            one.send(stream, one.frame(GOOD)[:i % 60])
            one.h2.reset_stream(stream)
            one._flush()
            if one.closed:
                break  # taken for a flood, as it should be


def test_clients_that_vanish(server):
    for i in range(100):
        one = GrpcConnection(server)
        one.send(one.begin(), one.frame(GOOD)[:i % 60])
        one.sock.setsockopt(1, 13, struct.pack('ii', 1, 0))  # SO_LINGER 0: a reset
        one.sock.close()


def test_the_public_client_is_undisturbed(server):
    with Client(server) as client:
        for _ in range(20):
            assert client.predict('half', {'x': np.float32([2])})['y'].tolist() == [3]
