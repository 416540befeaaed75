# SPDX-License-Identifier: Apache-2.0
"""Writes GraphPipe's requests and reads its answers. A message is one flatbuffer of few tables, so this is done with
`struct`: the flatbuffers package copies each tensor into its own block, and does not check what it reads.

A request is a short head and the arrays' own memory:

    root offset | vtables | Request | InferRequest | config | names | list of tensors | Tensor tables |
    shapes, strings and small tensors | padding, length, elements of each large tensor

An answer is read in place: arrays are views of the received bytes."""
from __future__ import annotations

import dataclasses
import math
import struct

import numpy as np

from .errors import ProtocolError, server_error

MESSAGE_BYTES_MAX = 2**31 - 1  # flatbuffers' offsets have 31 usable bits
STRING = 12
DTYPES = {number: np.dtype(name) for number, name in enumerate(
    ('uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64', 'float16', 'float32', 'float64'), 1)}
_TYPES = {dtype: number for number, dtype in DTYPES.items()}
_TYPES[np.dtype(bool)] = 1  # GraphPipe has no bool; the server takes these bytes for one
_LITTLE = struct.pack('=H', 1) == b'\1\0'

_ENTRY_BYTES = 8  # of a list; a message whose parts share nothing has more
# What may be made of a message, beside answer_bytes_max.
_MEMORY_BYTES_LEAST, _GROWTH_MAX = 64 << 20, 16
_LOOK_BYTES = 1 << 20  # how much is made of a message between two looks at the clock
_COPIED_BYTES_MAX = 2048  # smaller arrays are copied into the head: a copy costs less than one more write to the socket
_ALIGNMENT = 64

# A vtable has its own size, the size of its table, and for each field its position in the table (0: absent).
_REQUEST_VTABLE = struct.pack('<4H', 8, 12, 8, 4)
_INFER_VTABLE = struct.pack('<6H', 12, 20, 4, 8, 12, 16)
_NUMBERS_VTABLE = struct.pack('<5H', 10, 16, 12, 4, 8)
_STRINGS_VTABLE = struct.pack('<6H', 12, 16, 12, 4, 0, 8)
_NUMBERS_VTABLE_AT, _STRINGS_VTABLE_AT, _REQUEST_AT, _INFER_AT, _INFER_END = 24, 34, 48, 60, 80
# Root offset, vtables, Request (its vtable, the InferRequest, the kind), and where the vtable of InferRequest is.
_PREFIX = (struct.pack('<I', _REQUEST_AT) + _REQUEST_VTABLE + _INFER_VTABLE + _NUMBERS_VTABLE + _STRINGS_VTABLE + bytes(2) +
           struct.pack('<iIBxxx', _REQUEST_AT - 4, _INFER_AT - _REQUEST_AT - 4, 1) + struct.pack('<i', _INFER_AT - 12))
METADATA_REQUEST = bytes.fromhex('0c00000008000c000b000400080000000c000000000000020400040004000000')

_U16, _I32, _U32, _I64 = (struct.Struct('<' + letter) for letter in 'HiIq')
_TENSOR = struct.Struct('<iIIBxxx')


# --- writing

class Tensor:
    """One input: a number of GraphPipe's types, a shape, and its elements: flat bytes or a list of bytes."""
    __slots__ = ('type', 'shape', 'data', 'strings')

    def __init__(self, value):
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError('GraphPipe has no masked arrays: use array.filled(value)')
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
        self.shape = array.shape
        self.data = self.strings = None
        if array.dtype.kind in 'OSUT':
            self.type = STRING
            self.strings = [_string_bytes(each) for each in array.ravel().tolist()]
            return
        if array.dtype.name == 'bfloat16':  # GraphPipe lacks it; float32 has all its values
            array = array.astype(np.float32)
        self.type = _TYPES.get(array.dtype.newbyteorder('='))
        if self.type is None:
            raise TypeError(f'GraphPipe has no elements of type {array.dtype}; it has bool, integers, float16, float32, '
                            'float64 and strings: convert the array with astype()')
        if array.dtype.isnative != _LITTLE and array.dtype.itemsize > 1:
            array = array.astype(array.dtype.newbyteorder('<'))
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        self.data = array.reshape(-1).view(np.uint8)


def _string_bytes(value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f'an array of objects may have str and bytes only, not {type(value).__name__}; '
                    'numbers need an array with a numeric dtype')


def infer_request(tensors, input_names=(), output_names=(), config=''):
    """The buffers of a message, to be sent one after the other. `tensors`: of class Tensor; their arrays are sent as
    they are by then, so do not change them before the answer is there."""
    out = bytearray(_PREFIX)
    out += bytes(_INFER_END - len(out))
    _point(out, _INFER_AT + 4, len(out))
    _put_string(out, config.encode() if isinstance(config, str) else config)
    _point(out, _INFER_AT + 8, len(out))
    _put_strings(out, [name.encode() for name in input_names])
    _point(out, _INFER_AT + 16, len(out))
    _put_strings(out, [name.encode() for name in output_names])
    _point(out, _INFER_AT + 12, len(out))
    out += _U32.pack(len(tensors))
    tables = len(out) + 4 * len(tensors)
    for index in range(len(tensors)):
        out += _U32.pack(tables + 16 * index - len(out))
    out += bytes(16 * len(tensors))
    large = []
    for index, tensor in enumerate(tensors):
        at = tables + 16 * index
        shape_at = _pad(out, 4, 8)
        out += struct.pack(f'<I{len(tensor.shape)}q', len(tensor.shape), *tensor.shape)
        elements_at = 0
        if tensor.strings is not None:
            elements_at = len(out)
            _put_strings(out, tensor.strings)
        elif tensor.data.size <= _COPIED_BYTES_MAX:
            elements_at = _pad(out, 4, 8)
            out += _U32.pack(tensor.data.size)
            out += tensor.data.data
            _pad(out, 0, 4)
        else:
            large.append((at, tensor))
        vtable = _NUMBERS_VTABLE_AT if tensor.strings is None else _STRINGS_VTABLE_AT
        _TENSOR.pack_into(out, at, at - vtable, shape_at - at - 4, max(elements_at - at - 8, 0), tensor.type)
    return _gather(out, large)


def _gather(head, large):
    """The buffers: the head, and the elements of the large tensors. The largest comes first: then the server receives it
    where the model can use it."""
    buffers = [head]
    end = len(head)
    offsets = []
    for at, tensor in sorted(large, key=lambda pair: -pair[1].data.size):
        if buffers[-1] is not head:
            buffers.append(bytearray())
        pad = -(end + 4) % _ALIGNMENT
        buffers[-1] += bytes(pad) + _U32.pack(tensor.data.size)
        offsets.append((at + 8, end + pad - at - 8))
        buffers.append(tensor.data.data)
        end += pad + 4 + tensor.data.size
    if end > MESSAGE_BYTES_MAX:
        raise ValueError(f'the request has {end} bytes; a GraphPipe message has at most {MESSAGE_BYTES_MAX}: send fewer rows')
    for at, offset in offsets:
        _U32.pack_into(head, at, offset)
    return buffers


def _pad(out, before, alignment):
    """Adds zeros until the end and `before` bytes more are aligned; the new end."""
    out += bytes(-(len(out) + before) % alignment)
    return len(out)


def _point(out, at, target):
    _U32.pack_into(out, at, target - at)


def _put_string(out, value):
    out += _U32.pack(len(value))
    out += value
    out += bytes(4 - len(value) % 4)  # at least one: a zero that no count includes


def _put_strings(out, values):
    count = len(values)
    # Their positions first: one join is faster than many small steps.
    offsets, at = [], 4 * count
    for index, value in enumerate(values):
        offsets.append(at - 4 * index)
        at += 4 + len(value) + 4 - len(value) % 4
    out += struct.pack(f'<{count + 1}I', count, *offsets)
    for value in values:
        _put_string(out, value)


# --- reading

class _Reader:
    """Reads numbers at positions of a message. A position is never negative, so `struct` finds each one behind the end.
    `left`: the bytes of memory that what is read may still take."""
    __slots__ = ('array', 'view', 'size', 'left', 'memory_bytes_max', '_deadline', '_next_look')

    def __init__(self, array, memory_bytes_max, deadline):
        self.array = array
        self.view = memoryview(array)
        self.size = len(array)
        self.left = self.memory_bytes_max = min(memory_bytes_max, _MEMORY_BYTES_LEAST + _GROWTH_MAX * self.size)
        self._deadline = deadline
        self._next_look = self.left - _LOOK_BYTES

    def take(self, size):
        """Counts what is made of the message. Offsets may lead to the same place, so that is not bounded by its size."""
        self.left -= size
        if self.left < 0:
            raise ProtocolError('the parts of the message share bytes, and together take more memory than '
                                f'{self.memory_bytes_max} bytes, which a message of {self.size} bytes, or answer_bytes_max, '
                                'allows')
        if self.left < self._next_look and self._deadline is not None:
            self._deadline.left()
            self._next_look = self.left - _LOOK_BYTES

    def follow(self, at):
        return at + _U32.unpack_from(self.view, at)[0]

    def table(self, at):
        """{field: position} of the table at a position, as a function of the field."""
        vtable = at - _I32.unpack_from(self.view, at)[0]
        if vtable < 0:
            raise ProtocolError(f'the message is malformed: a vtable lies before the start (table at byte {at})')
        size = _U16.unpack_from(self.view, vtable)[0]

        def field(index):
            position = 4 + 2 * index
            if position + 2 > size:
                return 0
            offset = _U16.unpack_from(self.view, vtable + position)[0]
            return at + offset if offset else 0
        return field

    def vector(self, at, width):
        """(position of the elements, count) of the vector that an offset leads to; nothing if the field is absent."""
        if not at:
            return 0, 0
        start = self.follow(at)
        count = _U32.unpack_from(self.view, start)[0]
        if start + 4 + count * width > self.size:
            raise ProtocolError(f'the message is malformed: a list of {count} elements is longer than the message '
                                f'(byte {start} of {self.size})')
        return start + 4, count

    def tables(self, at):
        start, count = self.vector(at, 4)
        self.take(_ENTRY_BYTES * count)
        return [self.table(self.follow(start + 4 * index)) for index in range(count)]

    def bytes(self, at):
        start, count = self.vector(at, 1)
        self.take(_ENTRY_BYTES + count)
        return bytes(self.view[start:start + count])

    def text(self, at):
        return self.bytes(at).decode(errors='replace')

    def number(self, at, kind):
        return kind.unpack_from(self.view, at)[0] if at else 0

    def type(self, at):
        if at >= self.size:
            raise ProtocolError(f'the message is malformed: a type lies behind the end (byte {at} of {self.size})')
        return self.view[at] if at else 0

    def shape(self, at):
        start, rank = self.vector(at, 8)
        if rank > 254:
            raise ProtocolError(f'the message is malformed: a shape has {rank} dimensions')
        self.take(_ENTRY_BYTES * rank)
        return struct.unpack_from(f'<{rank}q', self.view, start)


def read_with(parse):
    """Makes a function that reads a message out of bytes: every fault of the message becomes a ProtocolError."""
    def read(message, memory_bytes_max=MESSAGE_BYTES_MAX, deadline=None):
        array = message if isinstance(message, np.ndarray) else np.frombuffer(message, np.uint8)
        reader = _Reader(array, memory_bytes_max, deadline)
        try:
            return parse(reader, reader.table(reader.follow(0)))
        except struct.error as error:
            raise ProtocolError(f'the message of {reader.size} bytes is malformed: an offset leads behind the end') from error
    return read


def _tensor(reader, field):
    number = reader.type(field(0))
    shape = reader.shape(field(1))
    if min(shape, default=0) < 0:
        raise ProtocolError(f'an output has the shape {list(shape)}, which is none')
    count = math.prod(shape)
    if number == STRING:
        start, found = reader.vector(field(3), 4)
        if found != count:
            raise ProtocolError(f'an output of shape {list(shape)} has {found} strings, not {count}')
        flat = np.empty(count, object)
        for index in range(count):
            flat[index] = reader.bytes(start + 4 * index)
    else:
        dtype = DTYPES.get(number)
        if dtype is None:
            raise ProtocolError(f'an output has elements of type {number}, which GraphPipe does not know')
        start, found = reader.vector(field(2), 1)
        if found != count * dtype.itemsize:
            raise ProtocolError(f'an output of shape {list(shape)} and type {dtype} has {found} bytes, not '
                                f'{count * dtype.itemsize}')
        flat = reader.array[start:start + found].view(dtype if _LITTLE else dtype.newbyteorder('<'))
        if not flat.flags.aligned:
            reader.take(found)
            flat = flat.copy()
    try:
        return flat.reshape(shape)
    except ValueError as error:  # numpy has limits of its own
        raise ProtocolError(f'numpy cannot have an output of shape {list(shape)}') from error


class Outputs(list):
    """The outputs as a list of arrays. `headers`: those of the answer, by their names in lower case."""
    headers: dict[str, str] = {}


def _infer_response(reader, field):
    for error in reader.tables(field(1)):
        raise server_error(reader.number(error(0), _I64), reader.text(error(1)))
    return Outputs(_tensor(reader, each) for each in reader.tables(field(0)))


@dataclasses.dataclass(frozen=True)
class IOMetadata:
    """An input or output. `shape`: None for a dimension of any size. `dtype`: object for strings, None if unknown."""
    name: str
    description: str
    shape: tuple[int | None, ...]
    dtype: np.dtype | None


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What the server says about a model. `version`: of the server."""
    name: str
    version: str
    server: str
    description: str
    inputs: tuple[IOMetadata, ...]
    outputs: tuple[IOMetadata, ...]


def _io_metadata(reader, field):
    number = reader.type(field(3))
    return IOMetadata(reader.text(field(0)), reader.text(field(1)),
                      tuple(None if size < 0 else size for size in reader.shape(field(2))),
                      np.dtype(object) if number == STRING else DTYPES.get(number))


def _metadata_response(reader, field):
    return ModelMetadata(*(reader.text(field(index)) for index in range(4)),
                         *(tuple(_io_metadata(reader, each) for each in reader.tables(field(index))) for index in (4, 5)))


read_infer_response = read_with(_infer_response)
read_infer_response.__doc__ = 'The outputs as a list of arrays, which are views of the message.'
read_metadata_response = read_with(_metadata_response)
