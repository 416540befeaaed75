# SPDX-License-Identifier: Apache-2.0
"""Caffe2 nets are imported to ONNX models that compute the same: each operator against numpy, and whole networks."""
import subprocess

import numpy as np
import onnxruntime
import pytest

from caffe2_nets import Model
from penstock_server import BINARY, SLOWNESS

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
    check(model.output('lrn', 'bn', 'shuffled', 'joined', 'relu'), tmp_path)


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
    from caffe2_nets import INT64, add_op
    add_op(model.init, 'ConstantFill', [], 'half', shape=[3], value=0.5)
    add_op(model.init, 'ConstantFill', [], 'shape', shape=[2], value=-1, dtype=INT64)
    add_op(model.init, 'ConstantFill', [], 'unread', shape=[1 << 20, 200])
    add_op(model.init, 'GivenTensorFill', [], 'scalar', values=[2.0])
    model.op('Mul', ['x', 'half'], 'y', broadcast=1)
    model.op('Add', ['y', 'scalar'], 'z', broadcast=1)
    session = check(model.output('z'), tmp_path)
    assert [each.name for each in session.get_inputs()] == ['x']
