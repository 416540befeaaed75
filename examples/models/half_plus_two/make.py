# SPDX-License-Identifier: Apache-2.0
"""Writes 1/: y = x / 2 + 2, in the form of TensorFlow 1, with a signature for each kind of call."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/models'))
from saving import here, save_graph  # noqa: E402

import tensorflow as tf  # noqa: E402

tf1 = tf.compat.v1


def info(tensor):
    return tf1.saved_model.build_tensor_info(tensor)


def main():
    with tf1.Graph().as_default(), tf1.Session() as session:
        factor = tf1.get_variable('factor', initializer=0.5, use_resource=True)
        term = tf1.get_variable('term', initializer=2.0, use_resource=True)
        x = tf1.placeholder(tf.float32, [None], 'x')
        y = tf.add(tf.multiply(x, factor), term, 'y')

        # Classify and Regress send serialized tf.Examples, with the number in the feature "x".
        examples = tf1.placeholder(tf.string, [None], 'examples')
        parsed = tf.io.parse_example(examples, {'x': tf.io.FixedLenFeature([1], tf.float32)})['x']
        score = tf.add(tf.multiply(parsed, factor), term, 'score')

        session.run(tf1.global_variables_initializer())
        make = tf1.saved_model.build_signature_def
        save_graph(session, os.path.join(here(__file__), '1'), {
            'serving_default': make({'x': info(x)}, {'y': info(y)}, 'tensorflow/serving/predict'),
            'classify_x_to_y': make({'inputs': info(examples)}, {'scores': info(score)},
                                    'tensorflow/serving/classify'),
            'regress_x_to_y': make({'inputs': info(examples)}, {'outputs': info(score)},
                                   'tensorflow/serving/regress'),
        })


if __name__ == '__main__':
    main()
