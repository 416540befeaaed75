# SPDX-License-Identifier: Apache-2.0
"""What the make.py scripts of the sample and test models share: writing SavedModels and ONNX files.

The files come out the same, byte for byte, whenever the same versions of TensorFlow and onnx run on the same kind
of CPU: maps are written in key order, and what is random or names the machine is left out.
"""
import os
import shutil

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import onnx  # noqa: E402
import tensorflow as tf  # noqa: E402
from onnx import helper  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

tf.get_logger().setLevel('ERROR')

# Older than what the pinned packages write by default, so that older runtimes load the files too.
ONNX_IR_VERSION = 9
ONNX_OPSET = 17


def _fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.dirname(folder), exist_ok=True)


def tidy(folder, edit=None):
    """Rewrites saved_model.pb in key order; drops the fingerprint (it holds a random id)."""
    path = os.path.join(folder, 'saved_model.pb')
    saved = saved_model_pb2.SavedModel()
    with open(path, 'rb') as file:
        saved.ParseFromString(file.read())
    if edit:
        edit(saved)
    with open(path, 'wb') as file:
        file.write(saved.SerializeToString(deterministic=True))
    fingerprint = os.path.join(folder, 'fingerprint.pb')
    if os.path.exists(fingerprint):
        os.remove(fingerprint)
    for name in ('variables', 'assets'):
        if os.path.isdir(os.path.join(folder, name)) and not os.listdir(os.path.join(folder, name)):
            os.rmdir(os.path.join(folder, name))


def save_module(module, folder, signatures, edit=None):
    """Writes a tf.Module as a SavedModel. `signatures`: {name: concrete function}. `edit` may change the message."""
    folder = os.path.abspath(folder)
    _fresh(folder)
    tf.saved_model.save(module, folder, signatures=signatures,
                        options=tf.saved_model.SaveOptions(save_debug_info=False))
    tidy(folder, edit)


def save_graph(session, folder, signatures, edit=None):
    """Writes a TensorFlow 1 session as a SavedModel. `signatures`: {name: SignatureDef}. `edit` may change the message."""
    folder = os.path.abspath(folder)
    _fresh(folder)
    builder = tf.compat.v1.saved_model.Builder(folder)
    builder.add_meta_graph_and_variables(session, [tf.saved_model.SERVING], signature_def_map=signatures,
                                         strip_default_attrs=True)
    builder.save()
    tidy(folder, edit)


def save_onnx(folder, nodes, inputs, outputs, initializers=(), opsets=(('', ONNX_OPSET),), file='model.onnx',
              edit=None):
    """Writes folder/model.onnx. `inputs`, `outputs`: (name, element type, shape), a string being an unknown size.
    `edit` may change the message after it has been checked."""
    graph = helper.make_graph(
        nodes, 'model', [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs], initializer=list(initializers))
    model = helper.make_model(graph, producer_name='penstock', ir_version=ONNX_IR_VERSION,
                              opset_imports=[helper.make_opsetid(*each) for each in opsets])
    onnx.checker.check_model(model, full_check=True)
    if edit:
        edit(model)
    folder = os.path.abspath(folder)
    _fresh(folder)
    os.makedirs(folder)
    with open(os.path.join(folder, file), 'wb') as out:
        out.write(model.SerializeToString(deterministic=True))


def here(script):
    """The folder that a script lies in."""
    return os.path.dirname(os.path.abspath(script))
