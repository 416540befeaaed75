# SPDX-License-Identifier: Apache-2.0
"""Trains two versions of a small convolutional classifier of digits and writes 1/ and 2/ (SavedModels), and the same
weights as ONNX graphs into ../digits_onnx/1 and 2. Prints the held-out accuracies that README.md states."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/models'))
from saving import here, save_module, save_onnx  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import data  # noqa: E402

VERSIONS = {1: {'seed': 1, 'epochs': 15}, 2: {'seed': 2, 'epochs': 60}}
BATCH = 64


class Digits(tf.Module):
    """Two convolutions of 3 x 3, each with a ReLU, a max-pooling of 2 x 2, a dense layer, a softmax."""

    def __init__(self, seed):
        super().__init__()
        random = np.random.default_rng(seed)

        def weights(shape, fan_in):
            return tf.Variable((random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32))

        self.conv1, self.bias1 = weights((3, 3, 1, 16), 9), tf.Variable(tf.zeros(16))
        self.conv2, self.bias2 = weights((3, 3, 16, 32), 144), tf.Variable(tf.zeros(32))
        self.dense, self.bias3 = weights((512, 10), 512), tf.Variable(tf.zeros(10))

    def logits(self, images):
        layer = tf.reshape(images, [-1, 8, 8, 1])
        layer = tf.nn.relu(tf.nn.conv2d(layer, self.conv1, 1, 'SAME') + self.bias1)
        layer = tf.nn.relu(tf.nn.conv2d(layer, self.conv2, 1, 'SAME') + self.bias2)
        layer = tf.nn.max_pool2d(layer, 2, 2, 'VALID')
        return tf.matmul(tf.reshape(layer, [-1, 512]), self.dense) + self.bias3

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8], tf.float32, 'images')])
    def serve(self, images):
        probabilities = tf.nn.softmax(self.logits(images))
        return {'probabilities': probabilities, 'label': tf.argmax(probabilities, axis=1)}


def train(model, images, labels, seed, epochs):
    """Adam with a rate that falls to zero."""
    random = np.random.default_rng(seed)
    state = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in model.trainable_variables]

    @tf.function
    def step(x, y, rate, count):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model.logits(x)))
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient, (mean, square) in zip(model.trainable_variables, gradients, state):
            mean.assign(0.9 * mean + 0.1 * gradient)
            square.assign(0.999 * square + 0.001 * gradient * gradient)
            unbiased = tf.sqrt(square / (1 - 0.999 ** count)) + 1e-7
            variable.assign_sub(rate * mean / (1 - 0.9 ** count) / unbiased)

    count = 0
    for epoch in range(epochs):
        rate = 3e-3 * (1 - epoch / epochs)
        order = random.permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start:start + BATCH]
            count += 1
            step(images[rows], labels[rows], tf.constant(rate, tf.float32), tf.constant(count, tf.float32))


def write_onnx(model, folder):
    """The same graph in ONNX's operators: images are [batch, channel, row, column] there."""
    def constant(name, value):
        return numpy_helper.from_array(np.ascontiguousarray(value), name)

    node = helper.make_node
    save_onnx(
        folder,
        nodes=[
            node('Unsqueeze', ['images', 'channel_axis'], ['layer0']),
            node('Conv', ['layer0', 'conv1', 'bias1'], ['layer1'], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node('Relu', ['layer1'], ['layer2']),
            node('Conv', ['layer2', 'conv2', 'bias2'], ['layer3'], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node('Relu', ['layer3'], ['layer4']),
            node('MaxPool', ['layer4'], ['layer5'], kernel_shape=[2, 2], strides=[2, 2]),
            # The rows of the dense layer count columns of pixels last, channels fastest.
            node('Transpose', ['layer5'], ['layer6'], perm=[0, 2, 3, 1]),
            node('Reshape', ['layer6', 'flat'], ['layer7']),
            node('Gemm', ['layer7', 'dense', 'bias3'], ['logits']),
            node('Softmax', ['logits'], ['probabilities'], axis=1),
            node('ArgMax', ['probabilities'], ['label'], axis=1, keepdims=0),
        ],
        inputs=[('images', TensorProto.FLOAT, ['batch', 8, 8])],
        outputs=[('probabilities', TensorProto.FLOAT, ['batch', 10]), ('label', TensorProto.INT64, ['batch'])],
        initializers=[
            constant('channel_axis', np.array([1], np.int64)), constant('flat', np.array([-1, 512], np.int64)),
            constant('conv1', model.conv1.numpy().transpose(3, 2, 0, 1)), constant('bias1', model.bias1.numpy()),
            constant('conv2', model.conv2.numpy().transpose(3, 2, 0, 1)), constant('bias2', model.bias2.numpy()),
            constant('dense', model.dense.numpy()), constant('bias3', model.bias3.numpy()),
        ])


def main():
    tf.config.experimental.enable_op_determinism()
    train_x, train_y, test_x, test_y = data.load()
    for version, options in VERSIONS.items():
        tf.random.set_seed(options['seed'])
        model = Digits(options['seed'])
        train(model, train_x, train_y, **options)
        save_module(model, os.path.join(here(__file__), str(version)), {'serving_default': model.serve})
        write_onnx(model, os.path.join(here(__file__), '..', 'digits_onnx', str(version)))
        right = int(np.sum(model.serve(test_x)['label'].numpy() == test_y))
        print(f'version {version}: {right} of {len(test_y)} held-out images, {100 * right / len(test_y):.2f} %')


if __name__ == '__main__':
    main()
