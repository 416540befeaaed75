# SPDX-License-Identifier: Apache-2.0
"""What the half_plus_*_onnx samples share: they differ in one number."""
import os

from onnx import TensorProto, helper

from saving import save_onnx


def save_half_plus_onnx(folder, term):
    """Writes folder/1/model.onnx: y = x / 2 + term."""
    save_onnx(
        os.path.join(folder, '1'),
        nodes=[helper.make_node('Mul', ['x', 'factor'], ['half']), helper.make_node('Add', ['half', 'term'], ['y'])],
        inputs=[('x', TensorProto.FLOAT, ['batch'])],
        outputs=[('y', TensorProto.FLOAT, ['batch'])],
        initializers=[helper.make_tensor('factor', TensorProto.FLOAT, [], [0.5]),
                      helper.make_tensor('term', TensorProto.FLOAT, [], [float(term)])])
