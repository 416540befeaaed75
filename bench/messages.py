# SPDX-License-Identifier: Apache-2.0
"""The requests that the benchmarks send, and the check that a server answers them rightly."""
import struct

import grpc
import numpy
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def predict_request(values, content=False, model="m", name="x"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    array = numpy.asarray(values, numpy.float32)
    if content:
        request.inputs[name].dtype = tf.float32.as_datatype_enum
        request.inputs[name].tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
        request.inputs[name].tensor_content = array.tobytes()
    else:
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        if request.inputs[name].tensor_content:
            request.inputs[name].float_val.extend(array.ravel().tolist())
            request.inputs[name].ClearField("tensor_content")
    return request


def framed(request):
    """A gRPC message on the wire: a flag, the length, the bytes."""
    data = request.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


def stub(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", UNLIMITED)
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def check_half_plus_two(port, output="y", name="x"):
    answer = stub(port).Predict(predict_request([3.0], name=name), timeout=30)
    values = tf.make_ndarray(answer.outputs[output])
    assert values.tolist() == [3.5], values


def warm_up(port, request, calls=300):
    """Enough calls for the adaptive execution to have decided."""
    client = stub(port)
    for _ in range(calls):
        client.Predict(request, timeout=30)
