# SPDX-License-Identifier: Apache-2.0
"""Models of one step of a recurrent network, as ONNX files, and the same in numpy."""
import os

import numpy as np

WIDTH, WORDS = 8, 11


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Lstm:
    """One step of an LSTM: x, h, c -> y, h_next, c_next. y is a linear function of h_next."""

    def __init__(self, inputs=3, width=WIDTH, seed=4):
        random = np.random.default_rng(seed)
        self.inputs, self.width = inputs, width
        self.weights = (random.standard_normal((inputs + width, 4 * width)) / 2).astype(np.float32)
        self.bias = (random.standard_normal(4 * width) / 4).astype(np.float32)
        self.last = random.standard_normal((width, 2)).astype(np.float32)

    def step(self, x, h, c):
        i, f, g, o = np.split(np.concatenate([x, h], 1) @ self.weights + self.bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h @ self.last, h, c

    def run(self, x, h=None, c=None):
        """The outputs of all steps of one sequence [steps, inputs], and the last h and c."""
        h, c = (np.zeros((1, self.width), np.float32) if state is None else state[None] for state in (h, c))
        outputs = np.zeros((len(x), 2), np.float32)
        for step, each in enumerate(x):
            outputs[step:step + 1], h, c = self.step(each[None], h, c)
        return outputs, h[0], c[0]

    def save(self, folder):
        import onnx
        from onnx import TensorProto, helper, numpy_helper
        node, value = helper.make_node, helper.make_tensor_value_info
        nodes = [node('Concat', ['x', 'h'], ['xh'], axis=1), node('MatMul', ['xh', 'weights'], ['product']),
                 node('Add', ['product', 'bias'], ['gates']), node('Split', ['gates'], ['i', 'f', 'g', 'o'], axis=1),
                 *[node('Sigmoid', [gate], [f'{gate}s']) for gate in 'ifo'], node('Tanh', ['g'], ['gt']),
                 node('Mul', ['fs', 'c'], ['kept']), node('Mul', ['is', 'gt'], ['added']),
                 node('Add', ['kept', 'added'], ['c_next']), node('Tanh', ['c_next'], ['ct']),
                 node('Mul', ['os', 'ct'], ['h_next']), node('MatMul', ['h_next', 'last'], ['y'])]
        floats = [(name, size) for name, size in (('x', self.inputs), ('h', self.width), ('c', self.width))]
        graph = helper.make_graph(
            nodes, 'lstm', [value(name, TensorProto.FLOAT, ['batch', size]) for name, size in floats],
            [value('y', TensorProto.FLOAT, ['batch', 2]),
             *[value(name, TensorProto.FLOAT, ['batch', self.width]) for name in ('h_next', 'c_next')]],
            [numpy_helper.from_array(array, name) for name, array in
             (('weights', self.weights), ('bias', self.bias), ('last', self.last))])
        os.makedirs(folder)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8),
                  os.path.join(folder, 'model.onnx'))

    CELL = ('batching { cell { input: "x" state { input: "h" output: "h_next" } '
            'state { input: "c" output: "c_next" } } }')


class Decoder:
    """One step of a greedy decoder: word, h -> the next word, h_next, and whether that word is the last one (0)."""

    def __init__(self, seed=5):
        random = np.random.default_rng(seed)
        self.words = random.standard_normal((WORDS, WIDTH)).astype(np.float32)
        self.turn = random.standard_normal((WIDTH, WIDTH)).astype(np.float32)
        self.scores = random.standard_normal((WIDTH, WORDS)).astype(np.float32)

    def run(self, word, h, limit):
        """The words until 0 comes, 0 included."""
        found = []
        while len(found) < limit and 0 not in found:
            h = np.tanh(self.words[word] + h @ self.turn)
            word = int(np.argmax(h @ self.scores))
            found.append(word)
        return found

    def save(self, folder):
        import onnx
        from onnx import TensorProto, helper, numpy_helper
        node, value = helper.make_node, helper.make_tensor_value_info
        nodes = [node('Gather', ['words', 'word'], ['w']), node('MatMul', ['h', 'turn'], ['turned']),
                 node('Add', ['w', 'turned'], ['sum']), node('Tanh', ['sum'], ['h_next']),
                 node('MatMul', ['h_next', 'scores'], ['s']), node('ArgMax', ['s'], ['next'], axis=1, keepdims=0),
                 node('Equal', ['next', 'zero'], ['done'])]
        graph = helper.make_graph(
            nodes, 'decoder', [value('word', TensorProto.INT64, ['batch']),
                               value('h', TensorProto.FLOAT, ['batch', WIDTH])],
            [value('next', TensorProto.INT64, ['batch']), value('h_next', TensorProto.FLOAT, ['batch', WIDTH]),
             value('done', TensorProto.BOOL, ['batch'])],
            [numpy_helper.from_array(array, name) for name, array in
             (('words', self.words), ('turn', self.turn), ('scores', self.scores), ('zero', np.int64([0])))])
        os.makedirs(folder)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8),
                  os.path.join(folder, 'model.onnx'))

    CELL = ('batching { cell { state { input: "word" output: "next" each_step: true } '
            'state { input: "h" output: "h_next" } stop: "done" } }')
