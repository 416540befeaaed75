# SPDX-License-Identifier: Apache-2.0
"""grpcio, the C++ core that most Python and C++ clients use, against our server: bytes only, no stubs."""
import threading

import grpc
import pytest

from net_fixtures import TestServer

SERVICE = '/grpc.testing.TestService/'
BIG = 100_000_000


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def payload_field(number, size):
    """A field with a Payload of `size` zeros in it."""
    body = b'\x12' + varint(size) + bytes(size) if size else b''
    return bytes([number << 3 | 2]) + varint(len(body)) + body


def asks_for(*sizes, interval_us=0):
    """A StreamingOutputCallRequest."""
    out = b''
    for size in sizes:
        parameters = b'\x08' + varint(size) + (b'\x10' + varint(interval_us) if interval_us else b'')
        out += b'\x12' + varint(len(parameters)) + parameters
    return out


@pytest.fixture
def channel(test_server):
    options = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
    with grpc.insecure_channel(f'127.0.0.1:{test_server.port}', options) as made:
        yield made


def unary(channel, method='UnaryCall'):
    return channel.unary_unary(SERVICE + method)


def test_unary(channel):
    assert unary(channel)(b'\x10\x05') == payload_field(1, 5)


def test_unary_big_both_ways(channel):
    request = b'\x10' + varint(BIG) + payload_field(3, BIG)
    answer = unary(channel)(request, timeout=60)
    assert answer == payload_field(1, BIG)


def test_message_over_the_limit(tmp_path):
    with TestServer(tmp_path, '--body-bytes-max', '1000') as server, \
            grpc.insecure_channel(f'127.0.0.1:{server.port}') as channel:
        with pytest.raises(grpc.RpcError) as error:
            unary(channel)(payload_field(3, 2000))
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert unary(channel)(payload_field(3, 900)) == payload_field(1, 0)


def test_many_at_once(channel):
    calls = [unary(channel).future(b'\x10' + varint(i)) for i in range(500)]
    assert [call.result() for call in calls] == [payload_field(1, i) for i in range(500)]


def test_error_with_message(channel):
    status = '\u20ac 100%\n'.encode()
    echo = b'\x08\x05\x12' + varint(len(status)) + status
    with pytest.raises(grpc.RpcError) as error:
        unary(channel)(b'\x3a' + varint(len(echo)) + echo)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert error.value.details() == '\u20ac 100%\n'


def test_malformed_message(channel):
    with pytest.raises(grpc.RpcError) as error:
        unary(channel)(b'\xff\xff')
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_metadata(channel):
    sent = (('x-grpc-test-echo-initial', 'hello'), ('x-grpc-test-echo-trailing-bin', b'\x00\x01\xff'))
    _, call = unary(channel).with_call(b'', metadata=sent)
    assert ('x-grpc-test-echo-initial', 'hello') in call.initial_metadata()
    assert ('x-grpc-test-echo-trailing-bin', b'\x00\x01\xff') in call.trailing_metadata()


@pytest.mark.parametrize('compression', [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_both_ways(channel, compression):
    request = b'\x10' + varint(1_000_000) + payload_field(3, 2_000_000)
    assert unary(channel)(request, compression=compression) == payload_field(1, 1_000_000)


def test_gzip_stream(channel):
    echo = channel.stream_stream(SERVICE + 'FullDuplexCall')
    sizes = [1000, 70_000, 5]
    answers = list(echo(iter([asks_for(size) for size in sizes]), compression=grpc.Compression.Gzip))
    assert answers == [payload_field(1, size) for size in sizes]


def test_server_streaming(channel):
    answers = channel.unary_stream(SERVICE + 'StreamingOutputCall')(asks_for(1, 200_000, 3, 5_000_000))
    assert [len(answer) for answer in answers] == [len(payload_field(1, size)) for size in (1, 200_000, 3, 5_000_000)]


def test_client_streaming(channel):
    requests = [payload_field(1, size) for size in (1, 100_000, 3_000_000)]
    assert channel.stream_unary(SERVICE + 'StreamingInputCall')(iter(requests)) == b'\x08' + varint(3_100_001)


def test_thousands_of_messages_in_one_stream(channel):
    echo = channel.stream_stream(SERVICE + 'FullDuplexCall')
    answers = list(echo(iter([asks_for(7)] * 3000)))
    assert answers == [payload_field(1, 7)] * 3000


def test_slow_reader_gets_everything(channel):
    answers = channel.unary_stream(SERVICE + 'StreamingOutputCall')(asks_for(*[300_000] * 100))
    first = next(answers)
    assert len(unary(channel)(b'\x10\x05')) == 9  # others are served meanwhile
    assert len([first, *answers]) == 100


def test_deadline(channel):
    with pytest.raises(grpc.RpcError) as error:
        list(channel.unary_stream(SERVICE + 'StreamingOutputCall')(asks_for(1, interval_us=30_000_000), timeout=0.05))
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_cancel(channel):
    started = threading.Event()

    def requests():
        yield asks_for(1)
        started.wait(10)

    call = channel.stream_stream(SERVICE + 'FullDuplexCall')(requests())
    assert next(call) == payload_field(1, 1)
    call.cancel()
    started.set()
    with pytest.raises(grpc.RpcError) as error:
        next(call)
    assert error.value.code() == grpc.StatusCode.CANCELLED
    assert unary(channel)(b'\x10\x05') == payload_field(1, 5)


@pytest.mark.parametrize('path', [SERVICE + 'Nope', '/no.Service/Nope'])
def test_unknown_method(channel, path):
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(path)(b'')
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_unary_method_called_as_stream_takes_one_message(channel):
    call = channel.stream_unary(SERVICE + 'UnaryCall')
    assert call(iter([b'\x10\x05'])) == payload_field(1, 5)
    for messages in ([], [b'', b'']):
        with pytest.raises(grpc.RpcError) as error:
            call(iter(messages))
        assert error.value.code() == grpc.StatusCode.INTERNAL


def test_health_watch_and_drain(tmp_path):
    with TestServer(tmp_path) as server, grpc.insecure_channel(f'127.0.0.1:{server.port}') as channel:
        watch = channel.unary_stream('/grpc.health.v1.Health/Watch')
        calls = {'': watch(b''), 'none': watch(b'\x0a\x04none')}
        assert next(calls['']) == b'\x08\x01'      # SERVING
        assert next(calls['none']) == b'\x08\x03'  # SERVICE_UNKNOWN
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary('/grpc.health.v1.Health/Check')(b'\x0a\x04none')
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        slow = channel.unary_stream(SERVICE + 'StreamingOutputCall')(asks_for(4, interval_us=500_000))
        unary(channel)(b'')  # the call before it has arrived
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        assert next(calls['']) == b'\x08\x02'  # NOT_SERVING
        assert list(slow) == [payload_field(1, 4)]  # in flight: is answered
        with pytest.raises(grpc.RpcError) as error:
            next(calls[''])
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        stopper.join()
    assert server.process.returncode == 0
