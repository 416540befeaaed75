# SPDX-License-Identifier: Apache-2.0
"""Answers of a server, made by the flatbuffers package."""
import flatbuffers
import numpy as np
from penstock_client.message import _TYPES, STRING


def infer_response(arrays=(), errors=()):
    builder = flatbuffers.Builder(1024)
    error_tables = []
    for code, text in errors:
        string = builder.CreateString(text)
        builder.StartObject(2)
        builder.PrependInt64Slot(0, code, 0)
        builder.PrependUOffsetTRelativeSlot(1, string, 0)
        error_tables.append(builder.EndObject())
    tables = [tensor(builder, array) for array in arrays]
    lists = [offsets(builder, tables), offsets(builder, error_tables) if errors else 0]
    builder.StartObject(2)
    for slot, each in enumerate(lists):
        builder.PrependUOffsetTRelativeSlot(slot, each, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def offsets(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()


def tensor(builder, array):
    builder.StartVector(8, array.ndim, 8)
    for size in reversed(array.shape):
        builder.PrependInt64(size)
    shape = builder.EndVector()
    is_string = array.dtype == object
    if is_string:
        elements = offsets(builder, [builder.CreateString(each) for each in array.ravel()])
    else:
        elements = builder.CreateByteVector(array.tobytes())
    builder.StartObject(4)
    builder.PrependUint8Slot(0, STRING if is_string else _TYPES[array.dtype], 0)
    builder.PrependUOffsetTRelativeSlot(1, shape, 0)
    builder.PrependUOffsetTRelativeSlot(3 if is_string else 2, elements, 0)
    return builder.EndObject()


def http(body, status='200 OK', headers=''):
    return f'HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n'.encode() + body


ONE = infer_response([np.ones(1, np.float32)])
