# SPDX-License-Identifier: Apache-2.0
"""Caffe2 nets are imported to ONNX models that compute the same: each operator against numpy, and whole networks."""
import json
import os
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest

from caffe2_nets import INT64, Model, add_op
from conftest import TEST_MODELS
from penstock_server import BINARY, SLOWNESS, eventually

pytestmark = [pytest.mark.release_only, pytest.mark.runtimes]
TOLERANCE = {'rtol': 2e-5, 'atol': 2e-5}


def convert(*arguments):
    """(exit code, standard output, standard error)"""
    done = subprocess.run([BINARY, 'convert', 'caffe2', *arguments], capture_output=True, text=True,
                          timeout=60 * SLOWNESS, check=False)
    return done.returncode, done.stdout, done.stderr


def imported(model, folder):
    """A session of ONNX Runtime on the imported model."""
    path = str(folder / 'model.onnx')
    assert convert(model.save(folder / 'caffe2'), f'--output={path}')[::2] == (0, '')
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def check(model, folder, rows=(None, 3)):
    session = imported(model, folder)
    for count in rows:
        feeds = model.feeds(count)
        wanted = model.run(feeds)
        got = dict(zip(wanted, session.run(list(wanted), feeds)))
        for name, value in wanted.items():
            np.testing.assert_allclose(got[name], value, err_msg=name, **TOLERANCE)
            assert got[name].dtype == value.dtype, name
    return session


def refusal(model, folder):
    code, out, err = convert(model.save(folder), f'--output={folder}/model.onnx')
    assert (code, out) == (1, '')
    assert not (folder / 'model.onnx').exists()
    return err


# --- Values that were computed by hand

def by_hand(folder, model, feeds):
    return imported(model, folder).run(None, feeds)


def row(*numbers):
    return np.array(numbers, np.float32)


def test_conv_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 1, 3, 3)
    model.given('w', row(1, 0, 0, -1).reshape(1, 1, 2, 2))
    model.given('b', row(0.5))
    model.op('Conv', ['x', 'w', 'b'], 'y', kernel=2)
    y, = by_hand(tmp_path, model.output('y'), {'x': row(*range(9)).reshape(1, 1, 3, 3)})
    # Each element less the one below and to the right: always -4.
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), -3.5, np.float32))


def test_pooling_as_in_caffe_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 1, 1, 5)
    model.op('MaxPool', 'x', 'max', kernel_h=1, kernel_w=2, stride=2, legacy_pad=3)
    model.op('AveragePool', 'x', 'mean', kernel_h=1, kernel_w=2, stride=2, legacy_pad=3)
    model.op('MaxPool', 'x', 'down', kernel_h=1, kernel_w=2, stride=2)
    largest, mean, down = by_hand(tmp_path, model.output('max', 'mean', 'down'),
                                  {'x': row(1, 5, 2, 3, 7).reshape(1, 1, 1, 5)})
    assert largest.tolist() == [[[[5, 3, 7]]]]  # the last window is cut off at the end
    assert mean.tolist() == [[[[3, 2.5, 7]]]]  # and its mean is that of what is there
    assert down.tolist() == [[[[5, 3]]]]  # Caffe2 itself rounds down


def test_lrn_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 3, 1, 1)
    model.op('LRN', 'x', ['y', 'scale'], size=3, alpha=3.0, beta=1.0, bias=2.0)
    y, = by_hand(tmp_path, model.output('y'), {'x': row(1, 2, 3).reshape(1, 3, 1, 1)})
    # 2 + 1 * (squares of the neighbours): 2+1+4, 2+1+4+9, 2+4+9
    np.testing.assert_allclose(y.ravel(), [1 / 7, 2 / 16, 3 / 15], rtol=1e-6)


def test_spatial_bn_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 2, 1, 1)
    for name, values in (('scale', (2, 3)), ('bias', (10, 20)), ('mean', (1, 5)), ('variance', (3, 8))):
        model.given(name, row(*values))
    model.op('SpatialBN', ['x', 'scale', 'bias', 'mean', 'variance'], 'y', is_test=1, epsilon=1.0)
    y, = by_hand(tmp_path, model.output('y'), {'x': row(5, 2).reshape(1, 2, 1, 1)})
    np.testing.assert_allclose(y.ravel(), [2 * 4 / 2 + 10, 3 * -3 / 3 + 20], rtol=1e-6)


def test_broadcast_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 2, 2)
    model.given('b', row(10, 20))
    model.op('Add', ['x', 'b'], 'columns', broadcast=1)
    model.op('Add', ['x', 'b'], 'rows', broadcast=1, axis=1)
    columns, rows = by_hand(tmp_path, model.output('columns', 'rows'), {'x': row(1, 2, 3, 4).reshape(1, 2, 2)})
    assert columns.tolist() == [[[11, 22], [13, 24]]]
    assert rows.tolist() == [[[11, 12], [23, 24]]]


def test_fc_and_softmax_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 2)
    model.given('w', row(1, 2, 3, 4, 5, 6).reshape(3, 2))
    model.given('b', row(0.5, 0, -0.5))
    model.op('FC', ['x', 'w', 'b'], 'y')
    model.op('Softmax', 'x', 'p')
    y, p = by_hand(tmp_path, model.output('y', 'p'), {'x': row(0, np.log(3)).reshape(1, 2)})
    np.testing.assert_allclose(y, [[2 * np.log(3) + 0.5, 4 * np.log(3), 6 * np.log(3) - 0.5]], rtol=1e-6)
    np.testing.assert_allclose(p, [[0.25, 0.75]], rtol=1e-6)


def test_channel_shuffle_by_hand(tmp_path):
    model = Model()
    model.input('x', 1, 6, 1, 1)
    model.op('ChannelShuffle', 'x', 'y', group=2, kernel=1)
    y, = by_hand(tmp_path, model.output('y'), {'x': row(*range(6)).reshape(1, 6, 1, 1)})
    assert y.ravel().tolist() == [0, 3, 1, 4, 2, 5]


# --- Random values against numpy

CONVS = {
    'plain': ((4, 9, 8), (6, 4, 3, 3), {'kernel': 3}),
    'stride_and_pad': ((4, 9, 8), (6, 4, 3, 3), {'kernel': 3, 'stride': 2, 'pad': 1}),
    'each_side': ((3, 9, 8), (5, 3, 3, 2), {'kernel_h': 3, 'kernel_w': 2, 'stride_h': 1, 'stride_w': 2, 'pad_t': 1,
                                           'pad_l': 0, 'pad_b': 2, 'pad_r': 1}),
    'lists': ((3, 9, 8), (5, 3, 3, 2), {'kernels': [3, 2], 'strides': [2, 1], 'pads': [1, 0, 2, 1]}),
    'dilation': ((3, 9, 9), (4, 3, 3, 3), {'kernel': 3, 'dilation': 2, 'pad': 2}),
    'group': ((6, 7, 7), (4, 3, 3, 3), {'kernel': 3, 'group': 2, 'pad': 1}),
    'depthwise': ((4, 7, 7), (4, 1, 3, 3), {'kernel': 3, 'group': 4, 'pad': 1, 'stride': 2}),
    'same': ((2, 8, 7), (3, 2, 3, 3), {'kernel': 3, 'stride': 2, 'legacy_pad': 2}),
    'same_without_padding': ((2, 8, 8), (3, 2, 1, 1), {'kernel': 1, 'stride': 2, 'legacy_pad': 2}),
    'valid': ((2, 8, 7), (3, 2, 3, 3), {'kernel': 3, 'stride': 2, 'legacy_pad': 1}),
    'one_axis': ((3, 10), (4, 3, 3), {'kernels': [3], 'pads': [1, 1]}),
}


@pytest.mark.parametrize('order', ['NCHW', 'NHWC'])
@pytest.mark.parametrize('has_bias', [False, True])
@pytest.mark.parametrize('name', CONVS)
def test_conv(tmp_path, name, has_bias, order):
    image, weights, arguments = CONVS[name]
    if order == 'NHWC':
        image, weights = (*image[1:], image[0]), (weights[0], *weights[2:], weights[1])
    model = Model()
    inputs = [model.input('x', 2, *image), model.weights('w', *weights)]
    if has_bias:
        inputs.append(model.weights('b', weights[0]))
    model.op('Conv', inputs, 'y', order=order, **arguments)
    check(model.output('y'), tmp_path)


POOLS = {
    'plain': {'kernel': 2, 'stride': 2},
    'pad': {'kernel': 3, 'stride': 2, 'pad': 1},
    'each_side': {'kernel_h': 3, 'kernel_w': 2, 'stride_h': 2, 'stride_w': 1, 'pad_t': 1, 'pad_l': 0, 'pad_b': 2,
                  'pad_r': 1},
    'global': {'global_pooling': 1},
    'same': {'kernel': 3, 'stride': 2, 'legacy_pad': 2},
    'valid': {'kernel': 3, 'stride': 2, 'legacy_pad': 1},
    'as_caffe': {'kernel': 3, 'stride': 2, 'legacy_pad': 3},
    'as_caffe_with_pad': {'kernel': 3, 'stride': 2, 'pad': 1, 'legacy_pad': 3},
    'as_caffe_cut': {'kernel': 2, 'stride': 2, 'pad': 1, 'legacy_pad': 3},
}


@pytest.mark.parametrize('order', ['NCHW', 'NHWC'])
@pytest.mark.parametrize('name', POOLS)
def test_pools(tmp_path, name, order):
    model = Model()
    model.input('x', *((2, 3, 10, 7) if order == 'NCHW' else (2, 10, 7, 3)))
    model.op('MaxPool', 'x', 'max', order=order, **POOLS[name])
    model.op('AveragePool', 'x', 'mean', order=order, **POOLS[name])
    model.op('AveragePool', 'x', 'counts', order=order, count_include_pad=0 if name == 'global' else 1,
             **POOLS[name])
    check(model.output('max', 'mean', 'counts'), tmp_path)


@pytest.mark.parametrize('order', ['NCHW', 'NHWC'])
def test_operators_on_images(tmp_path, order):
    model = Model()
    model.input('x', *((2, 6, 4, 5) if order == 'NCHW' else (2, 4, 5, 6)))
    model.op('LRN', 'x', ['lrn', 'unread'], size=5, alpha=0.3, beta=0.75, bias=2.0, order=order)
    bn = [model.weights(name, 6) for name in ('scale', 'bias', 'mean')] + [model.given(
        'variance', model.random.uniform(0.5, 2, 6).astype(np.float32))]
    model.op('SpatialBN', ['x', *bn], 'bn', is_test=1, epsilon=1e-3, order=order)
    model.op('ChannelShuffle', 'x', 'shuffled', group=3, order=order)
    model.op('Concat', ['x', 'bn', 'lrn'], ['joined', 'split_info'], order=order)
    model.op('Sum', ['x', 'bn', 'lrn'], 'sum')
    model.op('Relu', 'sum', 'relu')
    model.op('Sigmoid', 'sum', 'sigmoid')
    model.op('Tanh', 'sum', 'tanh')
    check(model.output('lrn', 'bn', 'shuffled', 'joined', 'relu', 'sigmoid', 'tanh'), tmp_path)


BROADCASTS = {  # the shapes of both, and the arguments
    'equal': ((2, 3, 4), (2, 3, 4), {}),
    'numpy_suffix': ((2, 3, 4), (4,), {}),
    'numpy_ones': ((2, 3, 4), (3, 1), {}),
    'numpy_first_smaller': ((4,), (5, 4), {}),
    'suffix': ((2, 3, 4), (3, 4), {'broadcast': 1}),
    'channels': ((2, 3, 4, 5), (3,), {'broadcast': 1, 'axis': 1}),
    'middle': ((2, 3, 4, 5), (3, 4), {'broadcast': 1, 'axis': 1}),
    'letter': ((2, 3, 4, 5), (3,), {'broadcast': 1, 'axis_str': 'C'}),
    'letter_nhwc': ((2, 4, 5, 3), (3,), {'broadcast': 1, 'axis_str': 'C', 'order': 'NHWC'}),
    'ones_at_the_ends': ((2, 3, 4, 5), (1, 3, 1), {'broadcast': 1, 'axis': 0}),
    'scalar': ((2, 3), (), {'broadcast': 1}),
    'one_element': ((2, 3), (1, 1, 1), {'broadcast': 1}),
}


@pytest.mark.parametrize('name', BROADCASTS)
def test_broadcasts(tmp_path, name):
    a, b, arguments = BROADCASTS[name]
    model = Model()
    model.input('a', *a)
    # A second input has the rows of the first; a constant keeps its own.
    has_rows = name in ('equal', 'numpy_first_smaller')
    model.input('b', *b) if has_rows else model.weights('b', *b)  # pylint: disable=expression-not-assigned
    model.op('Add', ['a', 'b'], 'sum', **arguments)
    model.op('Mul', ['a', 'b'], 'product', **arguments)
    check(model.output('sum', 'product'), tmp_path, [None] if name == 'numpy_first_smaller' else (None, 3))


def test_fc(tmp_path):
    model = Model()
    model.input('image', 2, 3, 4, 5)
    for name, shape in (('w', (7, 60)), ('w4', (7, 3, 4, 5)), ('w_axis', (6, 20)), ('w_axis_w', (3, 2, 20))):
        model.weights(name, *shape)
    model.weights('b', 7)
    model.weights('b6', 6)
    model.op('FC', ['image', 'w', 'b'], 'flat')
    model.op('FC', ['image', 'w4', 'b'], 'unflat')
    model.op('FC', ['image', 'w_axis', 'b6'], 'axis', axis=2)
    model.op('FC', ['image', 'w_axis_w', 'b6'], 'axis_w', axis=-2, axis_w=2)
    model.op('FC', ['flat', model.weights('w2', 3, 7), model.weights('b2', 3)], 'matrix')
    check(model.output('flat', 'unflat', 'axis', 'axis_w', 'matrix'), tmp_path)


def test_shapes(tmp_path):
    model = Model()
    model.input('x', 2, 3, 4)
    model.op('Reshape', 'x', ['kept', 'old'], shape=[0, -1])
    model.op('Reshape', 'x', ['rows_first', 'old1'], shape=[-1, 12])
    model.op('Reshape', ['x', model.given('shape', np.array([0, 2, 6]))], ['by_blob', 'old3'])
    model.op('Reshape', 'x', ['mixed', 'old4'], shape=[-1, 4])
    model.op('Reshape', model.weights('c', 2, 6), ['constant', 'old5'], shape=[3, -1])
    model.op('Add', ['x', 'constant'], 'with_constant', broadcast=1)
    model.op('Transpose', 'x', 'swapped', axes=[0, 2, 1])
    model.op('Transpose', 'x', 'reversed')
    model.op('Flatten', 'x', 'flat')
    model.op('Flatten', 'x', 'flat0', axis=0)
    model.op('Flatten', 'x', 'flat2', axis=2)
    model.op('Softmax', 'x', 'softmax')
    model.op('Softmax', 'x', 'softmax2', axis=-1)
    model.op('Softmax', 'flat', 'over_rows', axis=0)
    model.op('Dropout', 'x', ['same', 'mask'], is_test=1, ratio=0.5)
    outputs = [op.output[0] for op in model.predict.op]
    outputs.remove('constant')
    session = check(model.output(*outputs, 'old'), tmp_path)
    named = {each.name: each.shape[0] for each in session.get_outputs()}
    # Where rows are mixed, the server must not take the first dimension for rows.
    assert {name for name, size in named.items() if size != 'rows'} == {
        'mixed', 'reversed', 'flat0', 'flat2', 'over_rows', 'old'}


def test_a_shape_with_the_rows_of_the_example_takes_any_rows(tmp_path):
    model = Model()
    model.input('x', 2, 6)
    model.op('Reshape', 'x', ['y', 'old'], shape=[2, 3, 2])
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(by_hand(tmp_path, model.output('y'), {'x': x})[0], x.reshape(4, 3, 2))


def test_blobs_that_are_written_many_times(tmp_path):
    model = Model()
    model.input('x', 2, 3)
    model.op('Relu', 'x', 'x')  # an input in place
    model.op('Add', ['x', model.weights('c', 3)], 'y', broadcast=1)
    model.op('Relu', 'c', 'c')  # a constant in place
    model.op('Mul', ['y', 'c'], 'y', broadcast=1)
    model.op('Relu', 'y', 'y.1')  # what a renamed blob could be called
    model.op('Softmax', 'y', 'y')
    check(model.output('y.1', 'y'), tmp_path)


def test_an_input_that_init_net_fills_is_an_input(tmp_path):
    model = Model()
    model.given('x', np.zeros(1, np.float32))  # as exporters write it
    model.input('x', 1, 3)
    model.op('Relu', 'x', 'y')
    check(model.output('y'), tmp_path)


def test_fills(tmp_path):
    model = Model()
    model.input('x', 2, 3)
    add_op(model.init, 'ConstantFill', [], 'half', shape=[3], value=0.5)
    add_op(model.init, 'ConstantFill', [], 'shape', shape=[2], value=-1, dtype=INT64)
    add_op(model.init, 'ConstantFill', [], 'unread', shape=[1000, 1000])
    add_op(model.init, 'GivenTensorFill', [], 'scalar', values=[2.0])
    model.op('Mul', ['x', 'half'], 'y', broadcast=1)
    model.op('Add', ['y', 'scalar'], 'z', broadcast=1)
    session = check(model.output('z'), tmp_path)
    assert [each.name for each in session.get_inputs()] == ['x']


# --- Networks: the layers of the well-known ones, with fewer channels

class Network(Model):
    """Layers in either order, with the same random weights."""

    def __init__(self, order, *image):
        super().__init__()
        self.order, self.count = order, 0
        self.last = self.input('data', *self.ordered((1, *image)))
        self.sizes = {self.last: image[0]}  # channels

    def ordered(self, shape):
        return shape if self.order == 'NCHW' else (shape[0], *shape[2:], shape[1])

    def layer(self, kind, inputs, channels=None, outputs=1, **arguments):
        self.count += 1
        names = [f'{kind.lower()}_{self.count}{extra}' for extra in ('', '_more')[:outputs]]
        self.op(kind, inputs, names, order=self.order, **arguments)
        self.last = names[0]
        self.sizes[self.last] = channels or self.sizes[inputs if isinstance(inputs, str) else inputs[0]]
        return self.last

    def conv(self, x, channels, kernel, relu=True, group=1, **arguments):
        shape = (channels, self.sizes[x] // group, kernel, kernel)
        values = (np.sqrt(2 / np.prod(shape[1:])) * self.random.standard_normal(shape)).astype(np.float32)
        weights = self.given(f'w{self.count}', values if self.order == 'NCHW' else np.moveaxis(values, 1, -1))
        y = self.layer('Conv', [x, weights, self.weights(f'b{self.count}', channels, scale=0.1)], channels,
                       kernel=kernel, group=group, **arguments)
        if relu:
            self.op('Relu', y, y)
        return y

    def bn(self, x):
        size = [self.sizes[x]]
        names = [self.weights(f'bn{self.count}_{i}', *size, scale=0.2, offset=offset) for i, offset in enumerate((1, 0, 0))]
        names.append(self.given(f'bn{self.count}_3', self.random.uniform(0.5, 2, size).astype(np.float32)))
        return self.layer('SpatialBN', [x, *names], is_test=1, epsilon=1e-4)

    def concat(self, *parts):
        return self.layer('Concat', list(parts), sum(self.sizes[p] for p in parts), outputs=2)

    def classify(self, x, classes=10):
        x = self.layer('AveragePool', x, global_pooling=1)
        self.op('FC', [x, self.weights('fc_w', classes, self.sizes[x]), self.weights('fc_b', classes)], 'fc')
        self.op('Softmax', 'fc', 'softmax')
        return self.output('softmax')


def squeezenet(net):
    def fire(x, squeezed, expanded):
        x = net.conv(x, squeezed, 1)
        return net.concat(net.conv(x, expanded, 1), net.conv(x, expanded, 3, pad=1))
    x = net.layer('MaxPool', net.conv('data', 64, 3, stride=2), kernel=3, stride=2, legacy_pad=3)
    for squeezed, expanded in ((16, 64), (16, 64)):
        x = fire(x, squeezed, expanded)
    x = net.layer('MaxPool', x, kernel=3, stride=2, legacy_pad=3)
    for squeezed, expanded in ((32, 128), (32, 128)):
        x = fire(x, squeezed, expanded)
    x = net.layer('MaxPool', x, kernel=3, stride=2, legacy_pad=3)
    for squeezed, expanded in ((48, 192), (48, 192), (64, 256), (64, 256)):
        x = fire(x, squeezed, expanded)
    net.op('Dropout', x, [x, 'mask'], ratio=0.5, is_test=1)
    x = net.layer('AveragePool', net.conv(x, 1000, 1), global_pooling=1)
    net.op('Softmax', x, 'softmaxout')
    return net.output('softmaxout')


def resnet(net):
    x = net.layer('MaxPool', net.bn(net.conv('data', 16, 7, relu=False, stride=2, pad=3)), kernel=3, stride=2, pad=1)
    for stride in (1, 2):
        short = net.bn(net.conv(x, 32, 1, relu=False, stride=stride))
        y = net.bn(net.conv(net.conv(x, 8, 1), 8, 3, relu=False, stride=stride, pad=1))
        y = net.bn(net.conv(y, 32, 1, relu=False))
        net.op('Sum', [y, short], y)
        net.op('Relu', y, y)
        x = y
    return net.classify(x)


def shufflenet(net):
    x = net.conv('data', 12, 3, stride=2, pad=1)
    y = net.layer('ChannelShuffle', net.conv(x, 12, 1, group=3), group=3, kernel=1)
    y = net.bn(net.conv(y, 12, 3, relu=False, group=12, pad=1))
    y = net.bn(net.conv(y, 12, 1, relu=False, group=3))
    net.op('Sum', [x, y], y)
    return net.classify(y)


def inception(net):
    x = net.layer('LRN', net.conv('data', 16, 3, pad=1), size=5, alpha=0.0001, beta=0.75)
    pooled = net.layer('MaxPool', x, kernel=3, stride=1, pad=1)
    return net.classify(net.concat(net.conv(x, 8, 1), net.conv(net.conv(x, 4, 1), 8, 3, pad=1),
                                   net.conv(net.conv(x, 4, 1), 8, 5, pad=2), net.conv(pooled, 8, 1)))


def densenet(net):
    x = net.conv('data', 8, 3, pad=1)
    for _ in range(2):  # a scale and a bias of their own, as converters from Caffe write them
        y = net.bn(x)
        for kind in ('Mul', 'Add'):
            y = net.layer(kind, [y, net.weights(f'{kind}{net.count}', net.sizes[y], scale=0.3, offset=1.0)],
                          net.sizes[y], broadcast=1, axis_str='C')
        net.op('Relu', y, y)
        x = net.concat(x, net.conv(y, 8, 3, pad=1))
    return net.classify(net.layer('AveragePool', x, kernel=2, stride=2))


NETWORKS = {'squeezenet': (squeezenet, (3, 64, 64)), 'resnet': (resnet, (3, 33, 33)),
            'shufflenet': (shufflenet, (3, 16, 16)), 'inception': (inception, (3, 9, 9)),
            'densenet': (densenet, (3, 12, 12))}


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_in_both_orders(tmp_path, name):
    build, image = NETWORKS[name]
    outputs = []
    for order in ('NCHW', 'NHWC'):
        model = build(Network(order, *image))
        session = imported(model, tmp_path / order)
        feeds = {'data': np.random.default_rng(3).standard_normal((2, *image)).astype(np.float32)}
        if order == 'NHWC':
            feeds = {'data': np.moveaxis(feeds['data'], 1, -1)}
        wanted, = model.run(feeds).values()
        got, = session.run(None, feeds)
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-6)
        outputs.append(got.reshape(2, -1))
    np.testing.assert_allclose(*outputs, rtol=2e-4, atol=1e-6)


def alexnet():
    """Groups, LRN, fully connected layers with Dropout in place; NCHW as it was published."""
    net = Network('NCHW', 3, 67, 67)
    x = net.conv('data', 8, 11, stride=4)
    x = net.layer('MaxPool', net.layer('LRN', x, size=5, alpha=0.0001, beta=0.75), kernel=3, stride=2)
    x = net.layer('MaxPool', net.conv(x, 16, 5, group=2, pad=2), kernel=3, stride=2)
    for name, shape in (('fc6', (32, 144)), ('fc7', (32, 32)), ('fc8', (10, 32))):
        net.op('FC', [x, net.weights(f'{name}_w', *shape), net.weights(f'{name}_b', shape[0])], name)
        if name != 'fc8':
            net.op('Relu', name, name)
            net.op('Dropout', name, [name, f'_{name}_mask'], ratio=0.5, is_test=1)
        x = name
    net.op('Softmax', 'fc8', 'prob')
    return net.output('prob')


def test_alexnet(tmp_path):
    check(alexnet(), tmp_path)


def mlp(seed=1):
    net = Model('mlp', seed)
    net.input('data', 1, 6)
    net.op('FC', ['data', net.weights('w1', 8, 6), net.weights('b1', 8)], 'h')
    net.op('Relu', 'h', 'h')
    net.op('FC', ['h', net.weights('w2', 3, 8), net.weights('b2', 3)], 'y')
    return net.output('y')


# --- The command and the server

def test_the_command_says_what_is_wrong(tmp_path):
    folder = mlp().save(tmp_path / 'm')
    versions = tmp_path / 'versions'
    for version in ('2', '10'):
        mlp().save(versions / version)
    (versions / '11').mkdir()
    output = f'--output={tmp_path}/model.onnx'
    for arguments, text in (
            ([folder], '--output is missing'), ([output], '--init_net is missing, or the folder of the model'),
            ([folder, folder, output], 'one folder at a time'), (['--outptu=x'], 'did you mean --output?'),
            ([folder, '--output'], '--output needs a value'),
            ([folder, output, '--init-net=/nowhere.pb'], 'cannot read /nowhere.pb: No such file'),
            ([folder, output, f'--predict_net={BINARY}'], 'is no Caffe2 net'),
            ([folder, output, f'--predict_net={os.devnull}'], '/dev/null is no regular file'),
            ([folder, output, f'--value_inputs={folder}/init_net.pb'], 'init_net.pb: it is no JSON'),
            ([versions, output], f'did you mean {versions}/10?'),
            ([folder, f'--output={tmp_path}/no/folder.onnx'], 'No such file')):
        code, out, err = convert(*arguments)
        assert (code, out) == (1, '') and text in err and err.startswith('penstock convert: '), (arguments, err)
    assert convert('--help')[0] == 0
    # Separate values, and the dashes of graphpipe-onnx.
    assert convert('--init-net', f'{folder}/init_net.pb', '--predict-net', f'{folder}/predict_net.pb', '--value-inputs',
                   f'{folder}/value_inputs.json', '--output', f'{tmp_path}/x.onnx')[0] == 0


def predict(server, name, rows):
    status, answer = server.rest_predict(name, {'instances': rows.tolist()})
    assert status == 200, answer
    return np.array(answer['predictions'], np.float32)


def status_of(server, name, version):
    states = json.loads(server.get(f'/v1/models/{name}')[1])['model_version_status']
    return next((each for each in states if each['version'] == str(version)), {'state': None})


def test_a_folder_of_nets_is_served(start, tmp_path):
    model = mlp()
    model.save(tmp_path / 'mlp/1')
    config = ('base_path: "%s" model_platform: "caffe2" penstock { batching { } }' % (tmp_path / 'named'))
    mlp(2).save(tmp_path / 'named/1')
    server = start({'mlp': str(tmp_path / 'mlp'), 'named': config, 'image': f'{TEST_MODELS}/image_caffe2'})
    for count in (1, 5):
        feeds = model.feeds(count)
        np.testing.assert_allclose(predict(server, 'mlp', feeds['data']), model.run(feeds)['y'], **TOLERANCE)
        np.testing.assert_allclose(predict(server, 'named', feeds['data']), mlp(2).run(feeds)['y'], **TOLERANCE)
    assert np.array(predict(server, 'image', np.ones((2, 3, 8, 8)))).shape == (2, 5)
    metadata = json.loads(server.get('/v1/models/mlp/metadata')[1])['metadata']
    shape = metadata['signature_def']['signature_def']['serving_default']['inputs']['data']['tensor_shape']['dim']
    assert [each['size'] for each in shape] == ['-1', '6']
    # A wrong shape is the request's fault.
    status, answer = server.rest_predict('mlp', {'instances': [[1.0, 2.0]]})
    assert status == 400 and 'data' in answer['error']

    # A version with an operator that is not imported leaves the one before it in service.
    broken = mlp(3)
    add_op(broken.predict, 'RoIAlign', 'y', 'y', name='roi')
    broken.save(tmp_path / 'mlp/2')
    error = eventually('the error', lambda: status_of(server, 'mlp', 2).get('status', {}).get('error_message'))
    assert "mlp/2: predict_net 'mlp': op[3] 'roi' of type RoIAlign: this type is not imported" in error
    feeds = model.feeds(2)
    np.testing.assert_allclose(predict(server, 'mlp', feeds['data']), model.run(feeds)['y'], **TOLERANCE)
    # A good one replaces it.
    mlp(4).save(tmp_path / 'mlp/3')
    eventually('version 3', lambda: status_of(server, 'mlp', 3)['state'] == 'AVAILABLE')
    np.testing.assert_allclose(predict(server, 'mlp', feeds['data']), mlp(4).run(feeds)['y'], **TOLERANCE)
