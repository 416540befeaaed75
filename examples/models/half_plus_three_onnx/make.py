# SPDX-License-Identifier: Apache-2.0
"""Writes 1/model.onnx: y = x / 2 + 3."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/models'))
from saving import here, save_onnx  # noqa: E402

from onnx import TensorProto, helper  # noqa: E402


def main():
    save_onnx(
        os.path.join(here(__file__), '1'),
        nodes=[helper.make_node('Mul', ['x', 'factor'], ['half']), helper.make_node('Add', ['half', 'term'], ['y'])],
        inputs=[('x', TensorProto.FLOAT, ['batch'])],
        outputs=[('y', TensorProto.FLOAT, ['batch'])],
        initializers=[helper.make_tensor('factor', TensorProto.FLOAT, [], [0.5]),
                      helper.make_tensor('term', TensorProto.FLOAT, [], [3.0])])


if __name__ == '__main__':
    main()
