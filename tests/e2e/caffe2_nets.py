# SPDX-License-Identifier: Apache-2.0
"""Makes Caffe2 models, and runs them with numpy by the rules of Caffe2's operators: the reference for their import."""
import functools
import itertools
import json
import math
import os
import subprocess

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from penstock_server import ROOT

FLOAT, INT32, INT64 = 1, 2, 10  # Caffe2's numbers of types
FILLS = {np.dtype('float32'): ('GivenTensorFill', 'floats'), np.dtype('int64'): ('GivenTensorInt64Fill', 'ints'),
         np.dtype('int32'): ('GivenTensorIntFill', 'ints'), np.dtype('float64'): ('GivenTensorDoubleFill', 'floats'),
         np.dtype('bool'): ('GivenTensorBoolFill', 'ints'), np.dtype('int16'): ('GivenTensorInt16Fill', 'ints')}


@functools.cache
def net_def_class():
    """caffe2.NetDef, from the project's own schema."""
    files = subprocess.run(['protoc', '-I', os.path.join(ROOT, 'proto'), '-o', '/dev/stdout', 'caffe2/caffe2.proto'],
                           check=True, capture_output=True).stdout
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(files).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('caffe2.NetDef'))


def add_argument(op, name, value):
    argument = op.arg.add(name=name)
    if isinstance(value, float):
        argument.f = value
    elif isinstance(value, (bool, int)):
        argument.i = int(value)
    elif isinstance(value, (str, bytes)):
        argument.s = value.encode() if isinstance(value, str) else value
    elif any(isinstance(each, float) for each in value):
        argument.floats.extend(value)
    else:
        argument.ints.extend(value)


def add_op(net, kind, inputs, outputs, name='', **arguments):
    op = net.op.add(type=kind, name=name)
    op.input.extend([inputs] if isinstance(inputs, str) else inputs)
    op.output.extend([outputs] if isinstance(outputs, str) else outputs)
    for key, value in arguments.items():
        add_argument(op, key, value)
    return op


class Model:
    """A pair of nets and its inputs."""

    def __init__(self, name='net', seed=1):
        self.init, self.predict = net_def_class()(name=f'{name}_init'), net_def_class()(name=name)
        self.inputs, self.random = {}, np.random.default_rng(seed)

    def input(self, name, *shape, dtype=FLOAT):
        self.inputs[name] = [dtype, list(shape)]
        self.predict.external_input.append(name)
        return name

    def given(self, name, array):
        """A constant with these elements."""
        kind, field = FILLS[array.dtype]
        op = add_op(self.init, kind, [], name, shape=list(array.shape))
        argument = op.arg.add(name='values')
        getattr(argument, field).extend(array.ravel().tolist())
        self.predict.external_input.append(name)
        return name

    def weights(self, name, *shape, scale=None, offset=0.0):
        scale = scale or math.sqrt(2 / max(np.prod(shape[1:]), 1))
        return self.given(name, (offset + scale * self.random.standard_normal(shape)).astype(np.float32))

    def op(self, kind, inputs, outputs, name='', **arguments):
        add_op(self.predict, kind, inputs, outputs, name, **arguments)
        return outputs if isinstance(outputs, str) else outputs[0]

    def output(self, *names):
        self.predict.external_output.extend(names)
        return self

    def save(self, folder):
        os.makedirs(folder, exist_ok=True)
        for name, net in (('init_net.pb', self.init), ('predict_net.pb', self.predict)):
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(net.SerializeToString())
        with open(os.path.join(folder, 'value_inputs.json'), 'w', encoding='utf-8') as file:
            json.dump(self.inputs, file)
        return str(folder)

    def feeds(self, rows=None):
        """Random inputs, with the rows of value_inputs or as many as asked for."""
        return {name: self.random.standard_normal([rows or shape[0], *shape[1:]]).astype(np.float32)
                for name, (_, shape) in self.inputs.items()}

    def run(self, feeds):
        """The outputs by name, computed here."""
        blobs = {}
        for op in self.init.op:
            run_op(op, blobs)
        blobs.update(feeds)
        for op in self.predict.op:
            run_op(op, blobs)
        return {name: blobs[name] for name in self.predict.external_output}


# --- Caffe2's operators, each by its definition: slow, without tricks.

def get(op, name, default=None):
    for argument in op.arg:
        if argument.name == name:
            for field in ('f', 'i', 's'):
                if argument.HasField(field):
                    return getattr(argument, field)
            return list(argument.floats) or list(argument.ints)
    return default


def is_nhwc(op):
    return get(op, 'order', b'NCHW') == b'NHWC'


def channels_first(op, image):
    return np.moveaxis(image, -1, 1) if is_nhwc(op) else image


def as_ordered(op, image):
    return np.moveaxis(image, 1, -1) if is_nhwc(op) else image


def axes_of(op, plural, singular, default, count):
    if get(op, plural) is not None:
        return get(op, plural)
    if get(op, singular) is not None:
        return [get(op, singular)] * count
    if get(op, f'{singular}_h') is not None and get(op, f'{singular}_w') is not None:
        return [get(op, f'{singular}_h'), get(op, f'{singular}_w')]
    return [default] * count


def windows(op, spatial):
    """For each axis the start of each window (negative: in the padding), and the size and dilation of the window."""
    count = len(spatial)
    if get(op, 'global_pooling', 0):
        return [[0]] * count, list(spatial), [1] * count
    kernel, stride = axes_of(op, 'kernels', 'kernel', 0, count), axes_of(op, 'strides', 'stride', 1, count)
    dilation = axes_of(op, 'dilations', 'dilation', 1, count)
    pads = get(op, 'pads') or [get(op, 'pad', 0)] * (2 * count)
    if get(op, 'pad_t') is not None:
        pads = [get(op, f'pad_{side}') for side in 'tlbr']
    starts = []
    for axis, size in enumerate(spatial):
        head, tail = pads[axis], pads[count + axis]
        legacy = get(op, 'legacy_pad', 0)
        if legacy == 2:  # as TensorFlow's SAME
            outputs = math.ceil(size / stride[axis])
            head = max(0, ((outputs - 1) * stride[axis] + kernel[axis] - size)) // 2
        elif legacy == 3:  # as Caffe: rounded up, but no window starts behind the input
            outputs = math.ceil((size + 2 * head - kernel[axis]) / stride[axis]) + 1
            if head and (outputs - 1) * stride[axis] >= size + head:
                outputs -= 1
        else:
            outputs = math.floor((size + head + tail - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis]) + 1
        starts.append([stride[axis] * i - head for i in range(outputs)])
    return starts, kernel, dilation


def conv(op, image, weights, bias=None):
    image, weights = channels_first(op, image), channels_first(op, weights)
    group = get(op, 'group', 1)
    starts, kernel, dilation = windows(op, image.shape[2:])
    # For each element of the kernel: the pixels below it, in all windows at once. Padding is zero.
    heads = [-s[0] for s in starts]
    tails = [max(s[-1] + d * (k - 1) + 1 - size, 0) for s, d, k, size in zip(starts, dilation, kernel, image.shape[2:])]
    padded = np.pad(image, [(0, 0), (0, 0), *zip(heads, tails)]).astype(np.float64)
    result = np.zeros([len(image), len(weights), *map(len, starts)])
    into, out_of = image.shape[1] // group, len(weights) // group
    for offset in itertools.product(*map(range, kernel)):
        pixels = padded[(slice(None), slice(None), *(np.s_[h + s[0] + o * d:h + s[-1] + o * d + 1:max(np.diff(s), default=1)]
                                                     for h, s, o, d in zip(heads, starts, offset, dilation)))]
        for g in range(group):
            filters = weights[(slice(g * out_of, (g + 1) * out_of), slice(None), *offset)]
            part = np.tensordot(filters, pixels[:, g * into:(g + 1) * into], ([1], [1]))  # [out of, rows, ...]
            result[:, g * out_of:(g + 1) * out_of] += part.swapaxes(0, 1)
    if bias is not None:
        result += bias.reshape([-1] + [1] * len(kernel))
    return as_ordered(op, result.astype(np.float32))


def pool(op, image):
    image = channels_first(op, image)
    starts, kernel, _ = windows(op, image.shape[2:])
    result = np.zeros([*image.shape[:2], *map(len, starts)], np.float32)
    for position in itertools.product(*(range(len(s)) for s in starts)):
        begins = [starts[i][p] for i, p in enumerate(position)]
        window = image[(slice(None), slice(None), *(slice(max(b, 0), b + k) for b, k in zip(begins, kernel)))]
        flat = window.reshape([*image.shape[:2], -1])
        if op.type == 'MaxPool':
            value = flat.max(axis=2)
        else:
            value = flat.sum(axis=2) / (np.prod(kernel) if get(op, 'count_include_pad', 0) else flat.shape[2])
        result[(slice(None), slice(None), *position)] = value
    return as_ordered(op, result)


def lrn(op, image):
    image = channels_first(op, image)
    reach, scale = get(op, 'size') // 2, np.zeros_like(image)
    for channel in range(image.shape[1]):
        near = image[:, max(channel - reach, 0):channel + reach + 1]
        scale[:, channel] = get(op, 'bias', 1.0) + get(op, 'alpha') / get(op, 'size') * (near ** 2).sum(axis=1)
    return as_ordered(op, image * scale ** -get(op, 'beta'))


def spatial_bn(op, image, scale, bias, mean, variance):
    assert get(op, 'is_test') == 1
    image = channels_first(op, image)
    scale, bias, mean, variance = (
        each.reshape([-1] + [1] * (image.ndim - 2)) for each in (scale, bias, mean, variance))
    return as_ordered(op, (image - mean) / np.sqrt(variance + get(op, 'epsilon', 1e-5)) * scale + bias)


def channel_shuffle(op, image):
    image = channels_first(op, image)
    group, shape = get(op, 'group'), image.shape
    return as_ordered(op, image.reshape([shape[0], group, shape[1] // group, -1]).swapaxes(1, 2).reshape(shape))


def fc(op, x, weights, bias):
    axis, axis_w = get(op, 'axis', 1) % x.ndim, get(op, 'axis_w', 1) % weights.ndim
    rows = x.reshape([int(np.prod(x.shape[:axis])), -1])
    matrix = weights.reshape([int(np.prod(weights.shape[:axis_w])), -1])
    return (rows @ matrix.T + bias).reshape([*x.shape[:axis], len(matrix)])


def softmax(op, x):
    axis = get(op, 'axis', 1) % x.ndim
    rows = x.reshape([int(np.prod(x.shape[:axis])), -1])
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape)


def binary(op, a, b):
    function = np.add if op.type == 'Add' else np.multiply
    if not get(op, 'broadcast', 0):
        return function(a, b)
    if b.size == 1:
        return function(a, b.ravel()[0])
    axis = get(op, 'axis', -1)
    if get(op, 'axis_str'):
        axis = get(op, 'order', b'NCHW').index(get(op, 'axis_str'))
    if axis == -1:
        axis = a.ndim - b.ndim
    return function(a, b.reshape([*b.shape, *[1] * (a.ndim - axis - b.ndim)]))


def concat(op, *parts):
    axis = get(op, 'axis', 3 if is_nhwc(op) else 1)
    return np.concatenate(parts, axis=axis), np.array([part.shape[axis] for part in parts], np.int32)


def reshape(op, x, shape=None):
    asked = get(op, 'shape') if shape is None else shape.tolist()
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(asked)]), np.array(x.shape)


def flatten(op, x):
    axis = get(op, 'axis', 1)
    return x.reshape([int(np.prod(x.shape[:axis])), -1])


def fill(op, *_):
    dtype = next((dtype for dtype, (kind, _) in FILLS.items() if kind == op.type), None)
    if dtype is not None:
        return np.array(get(op, 'values', []), dtype).reshape(get(op, 'shape', []))
    dtype = {FLOAT: np.float32, INT32: np.int32, INT64: np.int64}[get(op, 'dtype', FLOAT)]
    return np.full(get(op, 'shape', []), get(op, 'value', 0), dtype)


def dropout(op, x):
    assert get(op, 'is_test') == 1
    return x


FUNCTIONS = {
    'Conv': conv, 'MaxPool': pool, 'AveragePool': pool, 'LRN': lrn, 'SpatialBN': spatial_bn,
    'ChannelShuffle': channel_shuffle, 'FC': fc, 'Softmax': softmax, 'Add': binary, 'Mul': binary, 'Concat': concat,
    'Reshape': reshape, 'Flatten': flatten, 'Dropout': dropout, 'ConstantFill': fill,
    'Relu': lambda op, x: np.maximum(x, 0), 'Sigmoid': lambda op, x: 1 / (1 + np.exp(-x)), 'Tanh': lambda op, x: np.tanh(x),
    'Sum': lambda op, *parts: functools.reduce(np.add, parts),
    'Transpose': lambda op, x: np.transpose(x, get(op, 'axes')), **{kind: fill for kind, _ in FILLS.values()}}


def run_op(op, blobs):
    results = FUNCTIONS[op.type](op, *(blobs[name] for name in op.input))
    blobs.update(zip(op.output, results if isinstance(results, tuple) else (results,)))
