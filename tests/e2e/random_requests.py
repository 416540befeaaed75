# SPDX-License-Identifier: Apache-2.0
"""Random inputs for a signature of a SavedModel, and what Python's TensorFlow computes from them."""
import glob
import os

import numpy as np
import tensorflow as tf

from clients import numpy_type

tf1 = tf.compat.v1
WORDS = [b'', b'plain', b'tensor', b'zebra', 'Größe 北京 😀'.encode(), b'"\\/\t\x7f', b'x' * 300]


class Reference:
    """A SavedModel in a session of Python's TensorFlow, fed and fetched by its signatures as TensorFlow Serving does."""

    def __init__(self, folder):
        self.graph = tf.Graph()
        self.session = tf1.Session(graph=self.graph)
        with self.graph.as_default():
            loaded = tf1.saved_model.load(self.session, ['serve'], folder)
        self.signatures = {name: each for name, each in loaded.signature_def.items() if each.inputs}
        self.words = WORDS + [word for path in glob.glob(os.path.join(folder, 'assets', '*'))
                              for word in open(path, 'rb').read().split()]

    def run(self, signature, inputs):
        """{output: array}, or None if TensorFlow refuses the inputs."""
        info = self.signatures[signature]
        feeds = {info.inputs[name].name: array for name, array in inputs.items()}
        try:
            outputs = self.session.run({name: each.name for name, each in info.outputs.items()}, feeds)
        except tf.errors.InvalidArgumentError:
            return None
        return {name: np.array(array, object) if isinstance(array, bytes) else np.asarray(array)
                for name, array in outputs.items()}

    def close(self):
        self.session.close()


class RandomInputs:
    """Inputs of random shapes and values for the signatures of one model.

    `values` says which numbers: "any" bits, for models that only move them; "wide" ones, whose products may
    be next to zero or infinite; or "narrow" ones, for models whose result
    depends on the order of a sum, or that cast to integers. `examples`: strings are serialized Examples, whose x has so
    many values."""

    def __init__(self, seed, reference, values='wide', examples=0):
        self.random = np.random.default_rng(seed)
        self.reference, self.values, self.examples = reference, values, examples

    def make(self, signature):
        """{input: array}. Inputs that are one tensor of the graph are one array."""
        rows = int(self.random.choice([0, 1, 1, 2, 3, 7]))
        made = {}
        for info in self.reference.signatures[signature].inputs.values():
            if info.name not in made:
                made[info.name] = self.array(tf.as_dtype(info.dtype).name, self.shape(info.tensor_shape, rows))
        return {name: made[info.name] for name, info in self.reference.signatures[signature].inputs.items()}

    def shape(self, declared, rows):
        sizes = [-1] * int(self.random.integers(0, 4)) if declared.unknown_rank else [dim.size for dim in declared.dim]
        sizes = [int(self.random.integers(0, 5)) if size < 0 else size for size in sizes]
        if sizes and (declared.unknown_rank or declared.dim[0].size < 0):
            sizes[0] = rows
        return sizes

    def array(self, kind, shape):
        count = int(np.prod(shape, dtype=np.int64))
        if kind == 'string':
            return self.strings(count).reshape(shape)
        if kind == 'bool':
            return self.random.integers(0, 2, count).astype(bool).reshape(shape)
        dtype = numpy_type(kind)
        if self.values == 'any' and dtype.kind != 'c':
            flat = np.frombuffer(self.random.bytes(count * dtype.itemsize), dtype)
        elif dtype.kind in 'iu':
            flat = self.random.integers(0, 100, count)
        elif self.values == 'wide':
            flat = self.random.normal(size=count) * 10.0 ** self.random.integers(-25, 15, count)
            flat[self.random.random(count) < 0.1] = self.random.choice([0.0, -0.0, np.nan, np.inf, -np.inf])
        else:
            flat = self.random.integers(-8, 17, count) / 16
        if dtype.kind == 'c':
            flat = flat + 1j * self.random.normal(size=count)
        return np.asarray(flat).astype(dtype).reshape(shape)

    def strings(self, count):
        array = np.empty(count, object)
        for i in range(count):
            if self.examples:
                array[i] = self.example()
            elif self.random.random() < 0.1:
                array[i] = self.random.bytes(int(self.random.integers(0, 20)))
            else:
                array[i] = self.reference.words[self.random.integers(len(self.reference.words))]
        return array

    def example(self):
        """A serialized Example for the models examples_tf1 and examples_tf2, and for half_plus_two."""
        example = tf.train.Example()
        feature = example.features.feature
        if self.random.random() < 0.98:
            feature['x'].float_list.value.extend(self.random.normal(size=self.examples).astype(np.float32))
        if self.random.random() < 0.5:
            feature['bonus'].float_list.value.append(float(np.float32(self.random.normal())))
        if self.random.random() < 0.5:
            feature['name'].bytes_list.value.append(WORDS[self.random.integers(len(WORDS))])
        if self.random.random() < 0.3:
            feature['unused'].int64_list.value.extend([1, 2])
        return example.SerializeToString()
