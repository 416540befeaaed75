# SPDX-License-Identifier: Apache-2.0
"""The public clients as the tests use them: tensorflow-serving-api over grpcio, and bare gRPC calls."""
import grpc
import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc, predict_pb2,
                                     prediction_service_pb2_grpc)

from penstock_server import SLOWNESS

# numpy type -> the field of TensorProto that carries its values one by one.
VALUE_FIELDS = {
    'float32': 'float_val', 'float64': 'double_val', 'int8': 'int_val', 'int16': 'int_val', 'int32': 'int_val',
    'int64': 'int64_val', 'uint8': 'int_val', 'uint16': 'int_val', 'uint32': 'uint32_val', 'uint64': 'uint64_val',
    'bool': 'bool_val', 'string': 'string_val', 'float16': 'half_val', 'bfloat16': 'half_val',
    'complex64': 'scomplex_val', 'complex128': 'dcomplex_val'}
TYPES = list(VALUE_FIELDS)

PREDICT = '/tensorflow.serving.PredictionService/Predict'


def numpy_type(name):
    return np.dtype(object) if name == 'string' else np.dtype(getattr(ml_dtypes, name, name))


def values_of(name, shape):
    """Distinct values of a type, extremes among them, in the given shape."""
    count = int(np.prod(shape, dtype=np.int64))
    if name == 'string':
        flat = [b'', b'plain', 'Größe 北京'.encode(), b'\x00\xff\x80', b'x' * 300]
        array = np.empty(count, dtype=object)
        array[:] = [flat[i % len(flat)] + (b'%d' % i if i >= len(flat) else b'') for i in range(count)]
        return array.reshape(shape)
    kind = numpy_type(name)
    if name == 'bool':
        flat = [i % 3 == 0 for i in range(count)]
    elif kind.kind in 'iu':
        limits = np.iinfo(kind)
        flat = [(limits.max, limits.min, 1, 0)[i] if i < 4 else i % 100 for i in range(count)]
    elif kind.kind == 'c':
        flat = [complex(i + 0.5, -i) for i in range(count)]
    else:
        flat = [(0.0, -1.5, 1e4, 2.0 ** -14)[i] if i < 4 else i / 4 for i in range(count)]
    return np.array(flat, dtype=kind).reshape(shape)


def enum_of(name):
    return tf.as_dtype(name).as_datatype_enum


def content_proto(name, array):
    """As tensor_content: little-endian bytes; for strings their lengths as varints, then all bytes."""
    proto = tensor_pb2.TensorProto(dtype=enum_of(name))
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if name == 'string':
        texts = [bytes(each) for each in array.ravel()]
        proto.tensor_content = b''.join(varint(len(each)) for each in texts) + b''.join(texts)
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()
    return proto


def value_proto(name, array):
    """With a field value per element."""
    proto = tensor_pb2.TensorProto(dtype=enum_of(name))
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat, field = array.ravel(), getattr(proto, VALUE_FIELDS[name])
    if name.startswith('complex'):
        field.extend(part for each in flat.tolist() for part in (each.real, each.imag))
    elif name in ('float16', 'bfloat16'):
        field.extend(flat.view(np.uint16).tolist())
    else:
        field.extend(flat.tolist())
    return proto


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def to_proto(value):
    if isinstance(value, tensor_pb2.TensorProto):
        return value
    return tf.make_tensor_proto(value)


def predict_request(model, inputs, signature='', version=None, label=None, outputs=()):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_proto(value))
    return request


class Client:
    """The stubs of tensorflow-serving-api on one channel."""

    def __init__(self, server, options=()):
        self.channel = grpc.insecure_channel(server.address, [
            ('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1), *options])
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict_raw(self, *args, timeout=30, **options):
        return self.stub.Predict(predict_request(*args, **options), timeout=timeout * SLOWNESS)

    def predict(self, *args, **options):
        """{output: array}"""
        response = self.predict_raw(*args, **options)
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def metadata(self, model, fields=('signature_def',), version=None, label=None):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        return self.stub.GetModelMetadata(request, timeout=30 * SLOWNESS)

    def status(self, model, version=None):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        return self.models.GetModelStatus(request, timeout=30 * SLOWNESS)

    def call_bytes(self, method, message, timeout=30, metadata=None):
        """A unary call of any bytes; returns the bytes of the answer."""
        call = self.channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        return call(message, timeout=timeout * SLOWNESS, metadata=metadata)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def error_of(function, *args, **options):
    """The gRPC error that a call ends with: (code, text)."""
    try:
        answer = function(*args, **options)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f'the call succeeded: {answer}')


def type_name(enum):
    return types_pb2.DataType.Name(enum)
