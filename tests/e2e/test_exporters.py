# SPDX-License-Identifier: Apache-2.0
"""ONNX files as the exporters of PyTorch, MXNet and CNTK wrote them in the years of ONNX 1.2 to 1.5 are served.

The files are made here by hand, with the operator sets, IR versions and habits of those exporters: initialisers that are
inputs, too, attributes that the operator set has no longer, names of free axes."""
import json
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from penstock_server import eventually
from test_inspect import inspect_json

pytestmark = [pytest.mark.release_only, pytest.mark.runtimes]
TOLERANCE = {'rtol': 1e-4, 'atol': 1e-5}
RANDOM = np.random.default_rng(5)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output] if isinstance(output, str) else output, **attributes)


def save(folder, nodes, inputs, outputs, weights, producer, opset, ir_version, weights_are_inputs=True):
    """`inputs`, `outputs`: shapes by name, of floats. `weights`: arrays by name."""
    declared = dict(inputs)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in declared.items()]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    if weights_are_inputs:
        values += [helper.make_tensor_value_info(each.name, each.data_type, list(each.dims)) for each in initializers]
    graph = helper.make_graph(nodes, 'graph', values, [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                                                       for name, shape in outputs.items()], initializers)
    model = helper.make_model(graph, producer_name=producer, ir_version=ir_version,
                              opset_imports=[helper.make_opsetid('', opset)])
    os.makedirs(folder / '1', exist_ok=True)
    onnx.save(model, str(folder / '1/model.onnx'))
    return str(folder)


def relu(x):
    return np.maximum(x, 0)


def conv1x1(x, w, b):
    return np.einsum('nchw,oc->nohw', x, w[:, :, 0, 0]) + b.reshape(-1, 1, 1)


def bn(x, scale, bias, mean, variance, epsilon):
    shape = [-1, 1, 1]
    return ((x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + epsilon) * scale.reshape(shape)
            + bias.reshape(shape))


def bn_weights(prefix, size):
    return {f'{prefix}_gamma': floats(size), f'{prefix}_beta': floats(size), f'{prefix}_moving_mean': floats(size),
            f'{prefix}_moving_var': RANDOM.uniform(0.5, 2, size).astype(np.float32)}


# --- PyTorch: numbers for names, a view that is computed from the shape, Pad and Slice with attributes

def pytorch(folder, opset, ir_version):
    w = {'conv1.weight': floats(4, 3, 1, 1), 'conv1.bias': floats(4), **bn_weights('bn1', 4),
         'fc.weight': floats(5, 36), 'fc.bias': floats(5)}
    constant = {name: numpy_helper.from_array(np.array(value)) for name, value in (('zero', 0), ('rest', [-1]))}
    nodes = [
        node('Conv', ['input.1', 'conv1.weight', 'conv1.bias'], '12', dilations=[1, 1], group=1, kernel_shape=[1, 1],
             pads=[0, 0, 0, 0], strides=[1, 1]),
        node('BatchNormalization', ['12', *list(w)[2:6]], '13', epsilon=1e-5, momentum=0.9),
        node('Relu', ['13'], '14'),
        node('Pad', ['14'], '15', mode='constant', pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0),
        node('MaxPool', ['15'], '16', kernel_shape=[2, 2], pads=[0, 0, 0, 0], strides=[2, 2]),
        node('Shape', ['16'], '17'),
        node('Constant', [], '18', value=constant['zero']),
        node('Gather', ['17', '18'], '19', axis=0),
        node('Unsqueeze', ['19'], '20', axes=[0]),
        node('Constant', [], '21', value=constant['rest']),
        node('Concat', ['20', '21'], '22', axis=0),
        node('Reshape', ['16', '22'], '23'),
        node('Dropout', ['23'], ['24', '25'], ratio=0.5),
        node('Gemm', ['24', 'fc.weight', 'fc.bias'], '26', alpha=1.0, beta=1.0, transB=1),
        node('LogSoftmax', ['26'], 'output', axis=1),
    ]
    if opset < 10:  # from 10 on, Slice takes its numbers as inputs
        nodes[8:8] = [node('Unsqueeze', ['19'], 'u', axes=[0]), node('Slice', ['u'], 's', axes=[0], starts=[0], ends=[1]),
                      node('Squeeze', ['s'], '19b', axes=[0])]
        nodes[11].input[0] = '19b'

    def expected(x):
        y = relu(bn(conv1x1(x, *list(w.values())[:2]), *list(w.values())[2:6], 1e-5))
        y = np.pad(y, [(0, 0), (0, 0), (1, 1), (1, 1)])
        y = y.reshape(len(x), 4, 3, 2, 3, 2).max(axis=(3, 5)).reshape(len(x), -1)
        y = y @ w['fc.weight'].T + w['fc.bias']
        return y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    path = save(folder, nodes, {'input.1': ['batch', 3, 4, 4]}, {'output': ['batch', 5]}, w, 'pytorch', opset, ir_version,
                weights_are_inputs=ir_version < 5)
    return path, 'input.1', (3, 4, 4), expected


# --- MXNet: spatial=0 with a scale for each channel, initialisers for shapes, a fixed batch

def mxnet(folder, opset, ir_version, **habits):
    w = {'conv0_weight': floats(4, 3, 1, 1), 'conv0_bias': floats(4), **bn_weights('bn0', 4),
         'reshape_attr_tensor': np.array([0, -1]), 'fc_weight': floats(5, 64), 'fc_bias': floats(5)}
    nodes = [
        node('Conv', ['data', 'conv0_weight', 'conv0_bias'], 'conv0', kernel_shape=[1, 1], strides=[1, 1],
             dilations=[1, 1], pads=[0, 0, 0, 0], group=1),
        node('BatchNormalization', ['conv0', *list(w)[2:6]], 'bn0', epsilon=1e-3, momentum=0.9, **habits.get('bn', {})),
        node('Relu', ['bn0'], 'relu0', **habits.get('relu', {})),
        node('Dropout', ['relu0'], 'dropout0', ratio=0.5, **habits.get('dropout', {})),
        node('Reshape', ['dropout0', 'reshape_attr_tensor'], 'reshape0'),
        node('Gemm', ['reshape0', 'fc_weight', 'fc_bias'], 'fc', alpha=1.0, beta=1.0, transA=0, transB=1),
        node('Softmax', ['fc'], 'softmax', axis=1),
    ]

    def expected(x):
        y = relu(bn(conv1x1(x, *list(w.values())[:2]), *list(w.values())[2:6], 1e-3)).reshape(len(x), -1)
        y = np.exp(y @ w['fc_weight'].T + w['fc_bias'])
        return y / y.sum(axis=1, keepdims=True)
    path = save(folder, nodes, {'data': [1, 3, 4, 4]}, {'softmax': [1, 5]}, w, 'mxnet', opset, ir_version)
    return path, 'data', (3, 4, 4), expected


def mxnet_prelu(folder, opset, ir_version):
    """Its slopes count channels by the rule of older operator sets; as many as there are columns would not show that."""
    w = {'conv0_weight': floats(4, 3, 1, 1), 'conv0_bias': floats(4), **bn_weights('bn0', 4), 'relu0_gamma': floats(4),
         'relu1_gamma': floats(4), 'relu2_gamma': floats(1)}
    nodes = [
        node('Conv', ['data', 'conv0_weight', 'conv0_bias'], 'conv0', kernel_shape=[1, 1]),
        node('PRelu', ['conv0', 'relu0_gamma'], 'relu0'),
        node('BatchNormalization', ['relu0', *list(w)[2:6]], 'bn0', epsilon=1e-3, momentum=0.9, spatial=0),
        node('PRelu', ['bn0', 'relu1_gamma'], 'relu1'),
        node('PRelu', ['relu1', 'relu2_gamma'], 'out'),
    ]

    def prelu(x, slope):
        return np.where(x < 0, x * w[slope].reshape(-1, 1, 1), x)

    def expected(x):
        y = prelu(conv1x1(x, w['conv0_weight'], w['conv0_bias']), 'relu0_gamma')
        return prelu(prelu(bn(y, *list(w.values())[2:6], 1e-3), 'relu1_gamma'), 'relu2_gamma')
    path = save(folder, nodes, {'data': [1, 3, 5, 5]}, {'out': [1, 4, 5, 5]}, w, 'mxnet', opset, ir_version)
    return path, 'data', (3, 5, 5), expected


# --- CNTK: a batch of 1, images scaled by an operator of its own time, names such as Input3 and Plus214_Output_0

def cntk(folder, opset, ir_version):
    w = {'Parameter5': floats(4, 3, 1, 1), 'Parameter6': floats(4, 1, 1), 'Parameter193': floats(4, 2, 2, 5),
         'Parameter194': floats(1, 5), 'shape': np.array([1, 16]), 'shape193': np.array([16, 5])}
    nodes = [
        node('Reshape', ['Parameter193', 'shape193'], 'Parameter193_reshape1'),
        node('Conv', ['Input3', 'Parameter5'], 'Convolution28_Output_0', auto_pad='SAME_UPPER', dilations=[1, 1], group=1,
             kernel_shape=[1, 1], strides=[1, 1]),
        node('Add', ['Convolution28_Output_0', 'Parameter6'], 'Plus30_Output_0'),
        node('Relu', ['Plus30_Output_0'], 'ReLU32_Output_0'),
        node('MaxPool', ['ReLU32_Output_0'], 'Pooling66_Output_0', auto_pad='NOTSET', kernel_shape=[2, 2],
             pads=[0, 0, 0, 0], strides=[2, 2]),
        node('Reshape', ['Pooling66_Output_0', 'shape'], 'Pooling160_Output_0_reshape0'),
        node('MatMul', ['Pooling160_Output_0_reshape0', 'Parameter193_reshape1'], 'Times212_Output_0'),
        node('Add', ['Times212_Output_0', 'Parameter194'], 'Plus214_Output_0'),
    ]

    def expected(x):
        y = relu(np.einsum('nchw,oc->nohw', x, w['Parameter5'][:, :, 0, 0]) + w['Parameter6'])
        y = y.reshape(len(x), 4, 2, 2, 2, 2).max(axis=(3, 5)).reshape(len(x), 16)
        return y @ w['Parameter193'].reshape(16, 5) + w['Parameter194']
    path = save(folder, nodes, {'Input3': [1, 3, 4, 4]}, {'Plus214_Output_0': [1, 5]}, w, 'CNTK', opset, ir_version)
    return path, 'Input3', (3, 4, 4), expected


def cntk_sequence(folder, axis_name, producer='CNTK'):
    """A recurrent net: [steps, batch, features], and the name of the steps is the only free axis."""
    w = {'W': floats(1, 3, 2), 'R': floats(1, 3, 3), 'B': floats(1, 6)}
    nodes = [node('RNN', ['x', 'W', 'R', 'B'], 'steps', hidden_size=3, direction='forward', activations=['Tanh']),
             node('Squeeze', ['steps'], 'y', axes=[1])]
    path = save(folder, nodes, {'x': [axis_name, 1, 2]}, {'y': [axis_name, 1, 3]},
                {name: w[name] for name in 'WRB'}, producer, 8, 3)

    def expected(x):
        hidden, steps = np.zeros((1, 3)), []
        for step in x:
            hidden = np.tanh(step @ w['W'][0].T + hidden @ w['R'][0].T + w['B'][0, :3] + w['B'][0, 3:])
            steps.append(hidden)
        return np.array(steps)
    return path, expected


SPATIAL = {'bn': {'spatial': 0}}
MODELS = {
    'pytorch_0_4': lambda folder: pytorch(folder, 7, 3),  # ONNX 1.2
    'pytorch_1_0': lambda folder: pytorch(folder, 9, 4),  # ONNX 1.4
    'pytorch_1_2': lambda folder: pytorch(folder, 10, 5),  # ONNX 1.5
    'mxnet_1_3': lambda folder: mxnet(folder, 7, 3, **SPATIAL),
    'mxnet_1_4': lambda folder: mxnet(folder, 8, 3, **SPATIAL),
    'mxnet_prelu': lambda folder: mxnet_prelu(folder, 7, 3),
    'mxnet_opset_9': lambda folder: mxnet(folder, 9, 4, bn={'spatial': 1}),
    'mxnet_old_attributes': lambda folder: mxnet(
        folder, 7, 3, bn={'spatial': 0, 'consumed_inputs': [0, 0, 0, 1, 1], 'is_test': 1}, relu={'consumed_inputs': [0]},
        dropout={'is_test': 1}),
    'cntk_2_5': lambda folder: cntk(folder, 7, 3),
    'cntk_2_7': lambda folder: cntk(folder, 9, 4),
}


def test_models_of_each_exporter(start, tmp_path):
    made = {name: make(tmp_path / name) for name, make in MODELS.items()}
    server = start({name: path for name, (path, *_) in made.items()})
    for name, (_, feed, shape, expected) in made.items():
        signature = json.loads(server.get(f'/v1/models/{name}/metadata')[1])['metadata']['signature_def'][
            'signature_def']['serving_default']
        # Initialisers that are inputs are constants before IR version 4, and inputs that may be left out from then on.
        assert (set(signature['inputs']) == {feed}) == (name not in ('pytorch_1_0', 'mxnet_opset_9', 'cntk_2_7')), name
        for rows in ((1, 3) if name.startswith('pytorch') else (1,)):
            x = floats(rows, *shape)
            status, answer = server.rest_predict(name, {'inputs': {feed: x.tolist()}})
            assert status == 200, (name, answer)
            np.testing.assert_allclose(answer['outputs'], expected(x), err_msg=name, **TOLERANCE)


def test_the_steps_of_a_sequence_are_no_rows(start, tmp_path):
    """CNTK calls the axis of the steps None or Sequence. Requests must not be joined along it."""
    made = {name: cntk_sequence(tmp_path / name, name) for name in ('None', 'Sequence')}
    server = start({name: 'base_path: "%s" penstock { batching { } }' % path for name, (path, _) in made.items()})
    for name, (path, expected) in made.items():
        for steps in (1, 4):
            x = floats(steps, 1, 2)
            status, answer = server.rest_predict(name, {'inputs': {'x': x.tolist()}})
            assert status == 200, answer
            np.testing.assert_allclose(answer['outputs'], expected(x), **TOLERANCE)
        assert 'batch_axis' not in inspect_json(path)['signatures']['serving_default']['inputs']['x']
    # Other exporters give the axis of the rows a name.
    path, _ = cntk_sequence(tmp_path / 'other', 'N', producer='other')
    assert inspect_json(path)['signatures']['serving_default']['inputs']['x']['batch_axis'] == 0


def test_an_older_operator_set_is_an_error_that_says_what_to_do(start, tmp_path):
    save(tmp_path / 'old', [node('Add', ['x', 'b'], 'y', broadcast=1, axis=1)], {'x': [1, 3, 2, 2]}, {'y': [1, 3, 2, 2]},
         {'b': floats(3)}, 'pytorch', 6, 3)
    server = start({'old': str(tmp_path / 'old')}, ready=False)

    def error():
        states = json.loads(server.get('/v1/models/old')[1]).get('model_version_status', [])
        return next((each['status']['error_message'] for each in states if each['status']['error_message']), None)
    text = eventually('the error', error)
    assert 'it has opset 6, and ONNX Runtime has the operators from opset 7, ONNX 1.2, on' in text
