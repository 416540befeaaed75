# SPDX-License-Identifier: Apache-2.0
"""A small encoder of texts, as BERT is one: ids and a mask of any length in, vectors of each token and of the text out."""
import os

import numpy as np

WIDTH, HEADS, WORDS, LENGTH_MAX = 32, 2, 50, 64


def make_encoder(folder):
    """Writes model.onnx with random weights and two layers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    random = np.random.default_rng(5)
    nodes, weights = [], []

    def constant(value):
        weights.append(numpy_helper.from_array(np.asarray(value), f'w{len(weights)}'))
        return weights[-1].name

    def weight(*shape):
        return constant((random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32))

    def add(kind, *inputs, output='', **attributes):
        output = output or f't{len(nodes)}'
        nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def norm(x, output=''):
        return add('LayerNormalization', x, constant(np.ones(WIDTH, np.float32)), constant(np.zeros(WIDTH, np.float32)),
                   axis=-1, output=output)

    def heads(x, order):
        parts = add('Reshape', add('MatMul', x, weight(WIDTH, WIDTH)), constant([0, 0, HEADS, WIDTH // HEADS]))
        return add('Transpose', parts, perm=order)

    mask = add('Cast', 'attention_mask', to=TensorProto.FLOAT)
    hidden_by = add('Mul', add('Sub', mask, constant(np.float32(1))), constant(np.float32(1e9)))
    hidden_by = add('Unsqueeze', hidden_by, constant([1, 2]))
    length = add('Gather', add('Shape', 'input_ids'), constant([1]))
    places = add('Slice', weight(LENGTH_MAX, WIDTH), constant([0]), length, constant([0]))
    x = norm(add('Add', add('Gather', weight(WORDS, WIDTH), 'input_ids'), places))
    for layer in range(2):
        scores = add('MatMul', heads(x, [0, 2, 1, 3]), heads(x, [0, 2, 3, 1]))
        scores = add('Softmax', add('Add', add('Mul', scores, constant(np.float32(0.25))), hidden_by), axis=-1)
        seen = add('Transpose', add('MatMul', scores, heads(x, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        x = norm(add('Add', x, add('MatMul', add('Reshape', seen, constant([0, 0, WIDTH])), weight(WIDTH, WIDTH))))
        inner = add('MatMul', add('Relu', add('MatMul', x, weight(WIDTH, 2 * WIDTH))), weight(2 * WIDTH, WIDTH))
        x = norm(add('Add', x, inner), output='hidden' if layer == 1 else '')
    column = add('Unsqueeze', mask, constant([2]))
    total = add('ReduceSum', add('Mul', x, column), constant([1]), keepdims=0)
    add('Div', total, add('ReduceSum', column, constant([1]), keepdims=0), output='pooled')
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, 'encoder',
        [value(name, TensorProto.INT64, ['batch', 'sequence']) for name in ('input_ids', 'attention_mask')],
        [value('hidden', TensorProto.FLOAT, ['batch', 'sequence', WIDTH]),
         value('pooled', TensorProto.FLOAT, ['batch', WIDTH])], weights)
    os.makedirs(folder)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8),
              os.path.join(folder, 'model.onnx'))
