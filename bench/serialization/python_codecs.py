# SPDX-License-Identifier: Apache-2.0
"""What a client in Python does with tensors: a request to bytes, and an answer from bytes. Times as multiples of one copy of the
same array by numpy into memory that is in use already. Codec and copy alternate. No network, no server."""
import argparse
import math
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "clients/python/src"), str(ROOT / "clients/python/tests"), str(ROOT / "bench")]

import flatbuffers
import numpy as np
import orjson
import ujson
from graphpipe import convert
from penstock_client import message
from penstock_client.client import aligned
from tensorflow_serving.apis import predict_pb2

import answers
from pairs import row

REQUEST, ANSWER = (128, 224, 224, 3), (128, 7, 7, 512)
# Lists of Python numbers take seconds and gigabytes, so these codecs get a part of the rows, and are
# compared with that part of the time that a copy of all rows takes.
LIST_ROWS = 8
RATIO_MAX = 1.2


class Penstock:
    name = "penstock_client"

    @staticmethod
    def write(x):
        return message.infer_request([message.Tensor(x)])

    @staticmethod
    def encode(x):
        """The bytes of an answer with x. This and the next are not measured."""
        data = answers.infer_response([x])
        block = aligned(len(data))
        block[:] = np.frombuffer(data, np.uint8)
        return block

    @staticmethod
    def read(data):
        return message.read_infer_response(data)[0]

    @staticmethod
    def written(data, _shape):
        """The tensor of a request."""
        return np.frombuffer(data[1], np.float32)


class OneBlock(Penstock):
    name = "penstock_client, the buffers joined, the output copied"

    @staticmethod
    def write(x):
        return b"".join(message.infer_request([message.Tensor(x)]))

    @staticmethod
    def read(data):
        return message.read_infer_response(data)[0].copy()

    @staticmethod
    def written(data, shape):
        return np.frombuffer(data, np.float32, math.prod(shape), len(data) - 4 * math.prod(shape))


class GraphPipe(Penstock):
    name = f"graphpipe 1.0.4, flatbuffers {flatbuffers.__version__}"

    @staticmethod
    def write(x):
        return convert.serialize_infer_request(convert.InferReq("", [x], [], []))

    @staticmethod
    def encode(x):
        return bytearray(answers.infer_response([x]))

    @staticmethod
    def read(data):
        return convert.deserialize_infer_response(data)[0][0]

    @staticmethod
    def written(data, _shape):
        return convert.deserialize_request(data).input_tensors[0]


class TensorContent:
    name = "protobuf, tensor_content"

    @staticmethod
    def write(x):
        request = predict_pb2.PredictRequest()
        request.inputs["x"].dtype = 1
        request.inputs["x"].tensor_content = x.tobytes()
        return request.SerializeToString()

    @staticmethod
    def encode(x):
        answer = predict_pb2.PredictResponse()
        answer.outputs["y"].tensor_content = x.tobytes()
        for size in x.shape:
            answer.outputs["y"].tensor_shape.dim.add().size = size
        return answer.SerializeToString()

    @staticmethod
    def read(data):
        tensor = predict_pb2.PredictResponse.FromString(data).outputs["y"]
        return np.frombuffer(tensor.tensor_content, np.float32).reshape([dim.size for dim in tensor.tensor_shape.dim])

    @staticmethod
    def written(data, _shape):
        return np.frombuffer(predict_pb2.PredictRequest.FromString(data).inputs["x"].tensor_content, np.float32)


class FloatVal:
    name = "protobuf, float_val"

    @staticmethod
    def write(x):
        request = predict_pb2.PredictRequest()
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.extend(x.ravel().tolist())
        return request.SerializeToString()

    @staticmethod
    def encode(x):
        answer = predict_pb2.PredictResponse()
        answer.outputs["y"].float_val.extend(x.ravel().tolist())
        return answer.SerializeToString()

    @staticmethod
    def read(data):
        return np.fromiter(predict_pb2.PredictResponse.FromString(data).outputs["y"].float_val, np.float32)

    @staticmethod
    def written(data, _shape):
        return np.array(predict_pb2.PredictRequest.FromString(data).inputs["x"].float_val, np.float32)


class Orjson:
    name = "JSON, orjson (reads numpy arrays itself)"

    @staticmethod
    def write(x):
        return orjson.dumps({"inputs": x}, option=orjson.OPT_SERIALIZE_NUMPY)

    @staticmethod
    def encode(x):
        return orjson.dumps({"outputs": x}, option=orjson.OPT_SERIALIZE_NUMPY)

    @staticmethod
    def read(data):
        return np.array(orjson.loads(data)["outputs"], np.float32)

    @staticmethod
    def written(data, _shape):
        return np.array(orjson.loads(data)["inputs"], np.float32)


class Ujson(Orjson):
    name = "JSON, ujson"

    @staticmethod
    def write(x):
        return ujson.dumps({"inputs": x.tolist()})

    @staticmethod
    def read(data):
        return np.array(ujson.loads(data)["outputs"], np.float32)

    @staticmethod
    def written(data, _shape):
        return np.array(ujson.loads(data)["inputs"], np.float32)


CODECS = {codec: None for codec in (Penstock, OneBlock, GraphPipe, TensorContent)} | {
    codec: LIST_ROWS for codec in (FloatVal, Orjson, Ujson)}


def seconds(function, argument):
    start = time.perf_counter()
    result = function(argument)
    took = time.perf_counter() - start
    del result  # its memory is freed outside of the measurement
    return took


def against_copy(function, argument, x, share, rounds):
    """(median ratio to a share of a copy of x, median seconds, median seconds of that share)"""
    target = x.copy()
    pairs = []
    for _ in range(rounds):
        copy = seconds(lambda source: np.copyto(target, source), x) * share
        pairs.append((seconds(function, argument), copy))
    return (statistics.median(took / copy for took, copy in pairs), *(statistics.median(column) for column in zip(*pairs)))


def measure(rounds):
    """(codec, figures of a request to bytes, figures of an answer from bytes)"""
    rng = np.random.default_rng(1)
    request, answer = rng.random(REQUEST, np.float32), rng.random(ANSWER, np.float32)
    for codec, rows in CODECS.items():
        x, y = request[:rows], answer[:rows]
        assert np.allclose(codec.written(codec.write(x), x.shape).ravel(), x.ravel(), atol=1e-6), codec.name
        data = codec.encode(y)
        assert np.allclose(codec.read(data).ravel(), y.ravel(), atol=1e-6), codec.name
        share = len(x) / len(request)
        yield codec, against_copy(codec.write, x, request, share, rounds), against_copy(codec.read, data, answer, share, rounds)


def run(rounds):
    """For bench/measure.py."""
    for codec, write, read in measure(rounds):
        yield row(f"Python, {codec.name}: request to bytes, answer from bytes, against one copy",
                  f"{write[0]:.3g}x ({write[1] * 1e3:.3g} ms), {read[0]:.3g}x ({read[1] * 1e3:.3g} ms)",
                  f"<= {RATIO_MAX}x each" if codec is Penstock else "",
                  codec is not Penstock or max(write[0], read[0]) <= RATIO_MAX, language="Python", codec=codec.name, write=write,
                  read=read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    print("| codec | request to bytes | answer from bytes |\n|---|---|---|")
    for each, *figures in measure(parser.parse_args().rounds):
        cells = [f"{ratio:.3g}x: {took * 1e3:.3g} ms, copy {copy * 1e3:.3g}" for ratio, took, copy in figures]
        rows_measured = f", {CODECS[each]} rows" if CODECS[each] else ""
        print(f"| {each.name}{rows_measured} | {cells[0]} | {cells[1]} |", flush=True)
