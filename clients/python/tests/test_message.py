# SPDX-License-Identifier: Apache-2.0
"""The messages: against the public graphpipe package and flatbuffers' builder, and damaged ones."""
import random
import struct

import numpy as np
import pytest

pytest.importorskip('flatbuffers')
from answers import infer_response  # noqa: E402
import penstock_client  # noqa: E402
from penstock_client import ProtocolError, message  # noqa: E402
from penstock_client.options import Deadline, infer_buffers  # noqa: E402

SHAPES = ((), (0, 3), (1,), (7,), (2, 3, 4), (40, 50))


def arrays_of_every_type():
    rng = np.random.default_rng(1)
    for dtype in message.DTYPES.values():
        for shape in SHAPES:
            yield np.asarray((rng.random(shape) * 100)).astype(dtype)
    for shape in ((), (0,), (5,), (2, 2)):
        yield np.array([b'text'[:i % 5] + bytes(i % 3) for i in range(int(np.prod(shape)))], object).reshape(shape)


def joined(buffers):
    return b''.join(bytes(memoryview(buffer)) for buffer in buffers)


def assert_equal(one, other):
    assert (one.dtype, one.shape) == (other.dtype, other.shape) and one.tolist() == other.tolist()


def test_the_public_package_reads_what_is_written():
    convert = pytest.importorskip('graphpipe.convert')
    arrays = list(arrays_of_every_type())
    names = [f'input {index}' for index in range(len(arrays))]
    buffers = infer_buffers(dict(zip(names, arrays)), ['y', 'ü'], '{"a": 1}')
    assert len(buffers) > 3, 'large tensors are buffers of their own'
    from graphpipe.graphpipefb import InferRequest, Request
    root = Request.Request.GetRootAsRequest(bytearray(joined(buffers)), 0)
    assert root.ReqType() == 1
    request = InferRequest.InferRequest()
    request.Init(root.Req().Bytes, root.Req().Pos)
    assert request.Config() == b'{"a": 1}'
    assert [request.InputNames(i).decode() for i in range(request.InputNamesLength())] == names
    assert [request.OutputNames(i).decode() for i in range(request.OutputNamesLength())] == ['y', 'ü']
    assert request.InputTensorsLength() == len(arrays)
    for index, array in enumerate(arrays):
        read = convert.tensor_to_np(request.InputTensors(index))
        if array.dtype == object:
            assert read.shape == array.shape and [bytes(x) for x in read.ravel()] == \
                [x.rstrip(b'\0') for x in array.ravel()]  # the package makes 'S' arrays, which lose these
        else:
            assert_equal(array, read)


def test_what_the_public_package_writes_is_read():
    convert = pytest.importorskip('graphpipe.convert')
    arrays = [array for array in arrays_of_every_type()]
    written = bytes(convert.serialize_infer_request(convert.InferReq('', arrays, [], [])))

    def input_tensors(reader, request):
        return [message._tensor(reader, each) for each in reader.tables(reader.table(reader.follow(request(1)))(2))]
    for array, read in zip(arrays, message.read_with(input_tensors)(written), strict=True):
        assert_equal(array, read)
        assert read.flags.aligned


def test_the_builder_of_flatbuffers_is_read():
    arrays = list(arrays_of_every_type())
    for array, read in zip(arrays, message.read_infer_response(infer_response(arrays)), strict=True):
        assert_equal(array, read)


def test_large_arrays_are_not_copied():
    largest, other = np.ones((100, 100), np.float32), np.ones(1000)
    buffers = infer_buffers([other, largest], None, '')
    assert [np.shares_memory(np.frombuffer(buffer, np.uint8), array)
            for buffer, array in zip(buffers[1::2], (largest, other))] == [True, True], 'the largest comes first'
    assert len(buffers[0]) % 64 == 0 and (len(buffers[0]) + largest.nbytes + len(buffers[2])) % 64 == 0
    answer = np.frombuffer(infer_response([largest]), np.uint8)
    if answer.ctypes.data % 4 == 0:
        assert np.shares_memory(message.read_infer_response(answer)[0], answer)


def test_other_arrays_are_converted():
    for array, sent in ((np.array([True, False]), np.array([1, 0], np.uint8)),
                        (np.arange(6, dtype='>i4').reshape(2, 3), np.arange(6, dtype=np.int32).reshape(2, 3)),
                        (np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(2, 3).T.copy()),
                        (np.arange(10.0)[::2], np.arange(0.0, 10, 2))):
        tensor = message.Tensor(array)
        assert tensor.data.tobytes() == sent.tobytes() and tensor.shape == sent.shape
        assert message.DTYPES[tensor.type] == sent.dtype
    assert message.Tensor(np.array(['ü', 'a'])).strings == ['ü'.encode(), b'a']
    bfloat16 = pytest.importorskip('ml_dtypes').bfloat16
    assert message.Tensor(np.array([1.5], bfloat16)).type == 10


def test_wrong_arguments():
    for array, text in ((np.array([1j]), 'complex128'), (np.array([None]), 'NoneType'),
                        (np.array(['2020'], 'M8[Y]'), 'datetime')):
        with pytest.raises(TypeError, match=text):
            message.Tensor(array)
    with pytest.raises(TypeError, match='one input'):
        infer_buffers([1.0, np.ones(1)], None, '')
    with pytest.raises(TypeError, match='infer_one'):
        infer_buffers(np.ones(1), 'y', '')
    x = np.ones(1)
    for arguments, text in (((x, 0.5, ''), 'outputs is a list of names, not 0.5'),
                            ((x, [1], ''), 'name of an output is a text'),
                            (({1: x}, None, ''), 'name of an input is a text, not 1'), ((x, None, 0.5), 'config is a text'),
                            ((np.ma.array([1.0, 2.0], mask=[0, 1]), None, ''), 'filled')):
        with pytest.raises(TypeError, match=text):
            infer_buffers(*arguments)


def test_a_list_without_arrays_is_one_input():
    assert joined(infer_buffers([[1.0, 2, 3, 4]], None, '')) == joined(infer_buffers(np.array([[1.0, 2, 3, 4]]), None, ''))
    assert joined(infer_buffers(['a', 'b'], None, '')) == joined(infer_buffers(np.array(['a', 'b']), None, ''))
    assert joined(infer_buffers([], None, '')) == joined(infer_buffers({}, None, ''))


def test_messages_have_at_most_2_gib(monkeypatch):
    monkeypatch.setattr(message, 'MESSAGE_BYTES_MAX', 10000)
    infer_buffers(np.zeros(9000, np.uint8), None, '')
    for inputs in (np.zeros(10000, np.uint8), [np.zeros(5000, np.uint8)] * 2, [np.zeros(1000, np.uint8)] * 10,
                   np.array(['x' * 10000])):
        with pytest.raises(ValueError, match='at most 10000: send fewer rows'):
            infer_buffers(inputs, None, '')


def test_the_metadata_request_is_that_of_the_public_client():
    convert = pytest.importorskip('graphpipe.convert')
    assert message.METADATA_REQUEST == bytes(convert.serialize_metadata_request())


def test_damaged_messages_raise_protocol_errors():
    good = infer_response([np.arange(6, dtype=np.float32).reshape(2, 3), np.array([b'a', b'bcd'], object),
                           np.ones(1)])
    rng = random.Random(1)
    damaged = [good[:size] for size in range(len(good))] + [bytes(size) for size in range(100)]
    for position in range(len(good)):
        for value in (0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)):
            damaged.append(good[:position] + bytes([value]) + good[position + 1:])
    for _ in range(5000):
        each = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            each[rng.randrange(len(each))] = rng.randrange(256)
        damaged.append(bytes(each))
    refused = 0
    for each in damaged:
        try:
            message.read_infer_response(each)
        except ProtocolError:
            refused += 1
        except Exception as error:  # an error within the message
            assert 'ServerError' in str(type(error).__mro__), (each, error)
        try:
            message.read_metadata_response(each)
        except ProtocolError:
            pass
    assert refused > len(damaged) / 4


def test_strings_are_bounded():
    answer = infer_response([np.array([b'x' * 100] * 10, object)])
    needed = 10 * (8 + 100) + 8 + 8  # the list and the shape have entries, too
    assert len(message.read_infer_response(answer, needed)[0]) == 10
    with pytest.raises(ProtocolError, match='answer_bytes_max'):
        message.read_infer_response(answer, needed - 1)


def parts(*parts):
    """A message of parts: bytes, or names of the parts to which an offset leads. A part may begin with its own name."""
    places, size = {}, 0
    for part in parts:
        if isinstance(part, tuple):
            places[part[0]] = size
            part = part[1]
        size += 4 if isinstance(part, str) else len(part)
    out = bytearray()
    for part in parts:
        part = part[1] if isinstance(part, tuple) else part
        out += struct.pack('<I', places[part] - len(out)) if isinstance(part, str) else part
    return bytes(out)


def shared_tensors(count, number, shape, *elements):
    """An answer with `count` offsets to one tensor. `elements`: what is in its data, or in its strings."""
    field = 3 if number == message.STRING else 2
    vtable = struct.pack('<6H', 12, 16, 4, 8, *((0, 12) if field == 3 else (12, 0)))
    return parts('answer', ('vtable', struct.pack('<3H', 6, 8, 4)), bytes(2), ('answer', struct.pack('<i', 8)), 'list',
                 ('list', struct.pack('<I', count)), *['tensor'] * count,
                 vtable, ('tensor', struct.pack('<iI', 12, number)), 'shape', 'elements',
                 ('shape', struct.pack(f'<I{len(shape)}q', len(shape), *shape)), *elements)


def test_parts_that_share_bytes_are_bounded():
    """Answers of 100 KB that took gigabytes, or minutes."""
    strings = shared_tensors(1000, message.STRING, [10000], ('elements', struct.pack('<I', 10000)), *['empty'] * 10000,
                             ('empty', bytes(8)))
    numbers = shared_tensors(1000, 11, [10000], bytes(1), ('elements', struct.pack('<I', 80000)), bytes(80000))
    shapes = shared_tensors(1000, 1, [0] * 32, ('elements', bytes(4)))
    few = shared_tensors(2, message.STRING, [1], ('elements', struct.pack('<I', 1)), 'text', ('text', b'\3\0\0\0abc\0'))
    assert [each.tolist() for each in message.read_infer_response(few, 100)] == [[b'abc']] * 2
    for each in (strings, numbers, shapes):
        with pytest.raises(ProtocolError, match='share bytes'):
            message.read_infer_response(each, 100_000)
    for each in (strings[:-4] + bytes(4), numbers):
        with pytest.raises(ProtocolError, match='share bytes'):
            message.read_infer_response(each)  # the default limit is 2 GiB


def test_the_time_of_a_call_is_also_for_reading():
    strings = shared_tensors(1000, message.STRING, [10000], ('elements', struct.pack('<I', 10000)), *['empty'] * 10000,
                             ('empty', bytes(8)))
    with pytest.raises(penstock_client.TimeoutExpired):
        message.read_infer_response(strings, deadline=Deadline(0.001))
