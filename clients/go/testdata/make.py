# SPDX-License-Identifier: Apache-2.0
"""Makes the messages of this folder: answers by the flatbuffers package, and a request by the Python client, which its own
tests compare with the public graphpipe package.  Run it with the Python of the tests."""
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
PYTHON = FOLDER.parents[1] / 'python'
sys.path[:0] = [str(PYTHON / 'src'), str(PYTHON / 'tests')]

import flatbuffers
import numpy as np
from answers import infer_response, offsets
from graphpipe.graphpipefb import IOMetadata, MetadataResponse
from penstock_client import message
from penstock_client.options import infer_buffers

# One of each type in the order of GraphPipe's numbers, a scalar, an empty one, strings, a large one.
arrays = [np.array([[1, 2, 3], [4, 5, 6]]).astype(dtype) for dtype in message.DTYPES.values()]
arrays += [np.float64(0.5), np.zeros((0, 3), np.int32), np.array([[b'one', b'a\0'], [b'', 'ü'.encode()]], object),
           np.arange(5000, dtype=np.float32)]
arrays = [np.asarray(each) for each in arrays]
(FOLDER / 'answer.bin').write_bytes(infer_response(arrays))
(FOLDER / 'refusal.bin').write_bytes(infer_response(errors=[(400, 'no input q')]))
(FOLDER / 'busy.bin').write_bytes(infer_response(errors=[(503, 'busy')]))
(FOLDER / 'request.bin').write_bytes(b''.join(bytes(memoryview(each)) for each in infer_buffers(
    {f'input {index}': array for index, array in enumerate(arrays)}, ['y', 'ü'], '{"a": 1}')))


def io_metadata(name, description, shape, number):
    name, description = builder.CreateString(name), builder.CreateString(description)
    builder.StartVector(8, len(shape), 8)
    for size in reversed(shape):
        builder.PrependInt64(size)
    shape = builder.EndVector()
    IOMetadata.IOMetadataStart(builder)
    IOMetadata.IOMetadataAddName(builder, name)
    IOMetadata.IOMetadataAddDescription(builder, description)
    IOMetadata.IOMetadataAddShape(builder, shape)
    IOMetadata.IOMetadataAddType(builder, number)
    return IOMetadata.IOMetadataEnd(builder)


builder = flatbuffers.Builder(1024)
inputs = offsets(builder, [io_metadata('x', 'any', [-7, 3], 10)])
outputs = offsets(builder, [io_metadata('y', '', [], 12), io_metadata('z', '', [2], 8)])
texts = [builder.CreateString(text) for text in ('m', '1.0', 'test', 'ü')]
MetadataResponse.MetadataResponseStart(builder)
MetadataResponse.MetadataResponseAddName(builder, texts[0])
MetadataResponse.MetadataResponseAddVersion(builder, texts[1])
MetadataResponse.MetadataResponseAddServer(builder, texts[2])
MetadataResponse.MetadataResponseAddDescription(builder, texts[3])
MetadataResponse.MetadataResponseAddInputs(builder, inputs)
MetadataResponse.MetadataResponseAddOutputs(builder, outputs)
builder.Finish(MetadataResponse.MetadataResponseEnd(builder))
(FOLDER / 'metadata.bin').write_bytes(bytes(builder.Output()))
