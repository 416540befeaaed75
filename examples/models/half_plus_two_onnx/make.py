# SPDX-License-Identifier: Apache-2.0
"""Writes 1/model.onnx: y = x / 2 + 2."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/models'))
from half_plus import save_half_plus_onnx  # noqa: E402
from saving import here  # noqa: E402

if __name__ == '__main__':
    save_half_plus_onnx(here(__file__), 2)
