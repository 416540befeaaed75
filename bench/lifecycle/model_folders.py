# SPDX-License-Identifier: Apache-2.0
"""Base paths whose versions appear by a rename, and models of any size, made when they are needed."""
import json
import os
import pathlib
import shutil
import tempfile

import numpy
from servers import ROOT

SAMPLES = ROOT / "examples" / "models"
BIG_BYTES = 500_000_000


def scratch():
    """A folder on disk that is gone at the end of the `with` statement."""
    return tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))


def configuration(models):
    """A file that configures {name: base path}, gone at the end of the `with` statement."""
    file = tempfile.NamedTemporaryFile("w", suffix=".config")
    entries = "".join(f'config {{ name: "{name}" base_path: "{path}" }}\n' for name, path in models.items())
    file.write(f"model_config_list {{ {entries} }}")
    file.flush()
    return file


class BasePath:
    """Versions are made beside it and renamed into it, whole."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder)
        self.beside = self.path.with_name(self.path.name + ".beside")
        self.path.mkdir(parents=True)
        self.beside.mkdir()

    def prepare(self, version, make):
        """`make(folder)` fills a folder that does not exist yet."""
        make(self.beside / str(version))

    def prepare_copy(self, version, source, warm_up=None):
        """`warm_up`: the body of a REST request that each load runs: the first run of a runtime is slow, whoever asks for it."""
        self.prepare(version, lambda folder: shutil.copytree(source, folder))
        if warm_up is not None:
            (self.beside / str(version) / "warmup").mkdir()
            (self.beside / str(version) / "warmup" / "request.json").write_text(json.dumps(warm_up))

    def show(self, version):
        os.rename(self.beside / str(version), self.path / str(version))

    def hide(self, version):
        os.rename(self.path / str(version), self.beside / str(version))


def big_arrays():
    """500 MB of weights, as a model has them: some large matrices."""
    rows = 5
    numbers = numpy.random.default_rng(7).random((BIG_BYTES // 4 // rows,), numpy.float32)
    return [numbers + i for i in range(rows)]


def save_onnx(folder, name, nodes, inputs, outputs, weights):
    """`inputs` and `outputs`: {name: shape}, of floats."""
    import onnx
    from onnx import TensorProto, helper
    values = [[helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in side.items()]
              for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, name, *values, weights)
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")


def make_big_onnx(folder):
    """y = x / 2 + 2 with 500 MB of weights, of which each run reads one."""
    from onnx import helper, numpy_helper
    weights = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(big_arrays())]
    constants = [numpy_helper.from_array(numpy.array(value, kind), name) for name, value, kind in (
        ("half", 0.5, numpy.float32), ("two", 2.0, numpy.float32), ("zero", 0.0, numpy.float32), ("first", 0, numpy.int64))]
    nodes = [helper.make_node("Mul", ["x", "half"], ["scaled"]), helper.make_node("Add", ["scaled", "two"], ["sum0"])]
    for i in range(len(weights)):  # plus one weight, times nothing, so that none is optimised away
        nodes += [helper.make_node("Gather", [f"w{i}", "index"], [f"picked{i}"]),
                  helper.make_node("Mul", [f"picked{i}", "zero"], [f"nothing{i}"]),
                  helper.make_node("Add", [f"sum{i}", f"nothing{i}"], [f"sum{i + 1}"])]
    nodes += [helper.make_node("Shape", ["x"], ["shape"]),
              helper.make_node("Gather", ["shape", "first"], ["index"])]
    nodes = nodes[-2:] + nodes[:-2]
    nodes.append(helper.make_node("Identity", [f"sum{len(weights)}"], ["y"]))
    save_onnx(folder, "big", nodes, {"x": ["n"]}, {"y": ["n"]}, weights + constants)


def make_residual_onnx(folder, blocks=16, channels=64):
    """A residual network (He et al., 2015) of 33 convolutions, each with normalization, 5 MB."""
    from onnx import helper, numpy_helper
    numbers = numpy.random.default_rng(7)
    nodes, weights = [], []

    def weight(name, array):
        weights.append(numpy_helper.from_array(array.astype(numpy.float32), name))
        return name

    def convolution(name, x, channels_in):
        kernel = weight(f"{name}_kernel", numbers.standard_normal((channels, channels_in, 3, 3)) / (9 * channels_in) ** 0.5)
        moments = [weight(f"{name}_{each}", numbers.random(channels) + 0.5) for each in ("scale", "bias", "mean", "variance")]
        nodes.extend([helper.make_node("Conv", [x, kernel], [f"{name}_sum"], pads=[1] * 4),
                      helper.make_node("BatchNormalization", [f"{name}_sum", *moments], [f"{name}_normal"]),
                      helper.make_node("Relu", [f"{name}_normal"], [name])])
        return name

    at = convolution("first", "x", 3)
    for i in range(blocks):
        inner = convolution(f"b{i}", convolution(f"a{i}", at, channels), channels)
        nodes.append(helper.make_node("Add", [at, inner], [f"block{i}"]))
        at = f"block{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [at], ["y"]))
    save_onnx(folder, "residual", nodes, {"x": ["n", 3, 32, 32]}, {"y": ["n", channels, 1, 1]}, weights)


def make_big_saved_model(folder):
    """The same as variables of a SavedModel."""
    import tensorflow as tf

    class Big(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = [tf.Variable(array) for array in big_arrays()]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def run(self, x):
            picked = sum(tf.gather(each, tf.shape(x)[0]) for each in self.weights)
            return {"y": x * 0.5 + 2.0 + picked * 0.0}

    model = Big()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.run})


BIG = {"ONNX": make_big_onnx, "SavedModel": make_big_saved_model}
