# SPDX-License-Identifier: Apache-2.0
"""Writes 1/: y = x / 2 + 3, in the form of TensorFlow 2."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/models'))
from saving import here, save_module  # noqa: E402

import tensorflow as tf  # noqa: E402


class HalfPlusThree(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(0.5)
        self.term = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, 'x')])
    def serve(self, x):
        return {'y': x * self.factor + self.term}


def main():
    module = HalfPlusThree()
    save_module(module, os.path.join(here(__file__), '1'), {'serving_default': module.serve})


if __name__ == '__main__':
    main()
