# SPDX-License-Identifier: Apache-2.0
"""What a model takes is measured when it is loaded, and corrects the estimate for the next version."""
import json
import os
import re
import shutil

import numpy as np
import pytest

from conftest import SAMPLES
from penstock_server import SLOWNESS, eventually
from test_reload import reload

pytestmark = [pytest.mark.runtimes,
              pytest.mark.skipif(SLOWNESS > 1, reason='a sanitizer takes memory beside that of the model')]

MEGABYTE = 1_000_000
WEIGHTS = 16 * MEGABYTE  # of 4 bytes
JUNK_BYTES = 2_000 * MEGABYTE


def make_onnx(folder):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    weights = np.random.default_rng(7).random(WEIGHTS, np.float32)
    nodes = [helper.make_node('Shape', ['x'], ['shape']), helper.make_node('Gather', ['w', 'shape'], ['picked']),
             helper.make_node('Add', ['x', 'picked'], ['y'])]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n'])  # noqa: E731
    graph = helper.make_graph(nodes, 'big', [value('x')], [value('y')], [numpy_helper.from_array(weights, 'w')])
    os.makedirs(folder)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8),
              os.path.join(folder, 'model.onnx'))


def make_saved_model(folder):
    import tensorflow as tf

    class Big(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(np.random.default_rng(7).random(WEIGHTS, np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, 'x')])
        def run(self, x):
            return {'y': x + tf.gather(self.w, tf.shape(x))}

    model = Big()
    tf.saved_model.save(model, folder, signatures={'serving_default': model.run})


def file_bytes(folder):
    return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)


def version_of(server, number):
    """What the admin API says of one version of m."""
    model = json.loads(server.get('/admin/v1/models/m')[1])
    return next((each for each in model['versions'] if each['version'] == number), {})


@pytest.mark.parametrize('make, opener', [(make_onnx, 'half_plus_two_onnx'), (make_saved_model, 'half_plus_two')])
def test_a_measured_load_corrects_the_estimate_of_the_next_version(start, tmp_path, make, opener):
    base = str(tmp_path / 'm')
    make(os.path.join(base, '1'))
    models = {'opener': os.path.join(SAMPLES, opener)}  # a runtime takes much memory for itself
    server = start(models, flags=[f'--model_memory_bytes_max={1_000 * MEGABYTE}', '--log_level=debug'])
    before = server.memory_bytes()
    assert reload(server, {**models, 'm': base}) is None
    growth, shown, files = server.memory_bytes() - before, version_of(server, 1), file_bytes(os.path.join(base, '1'))
    assert shown['memory_measured'], shown
    assert files <= shown['memory_bytes'] < 3 * files
    assert 0.7 * growth < shown['memory_bytes'] < 1.3 * growth, (growth, shown)

    # The next one has weights of 2 GB, as far as can be told from the outside.
    shutil.copytree(os.path.join(base, '1'), os.path.join(base, '2.incoming'))
    with open(os.path.join(base, '2.incoming', 'junk'), 'wb') as junk:
        junk.truncate(JUNK_BYTES)
    os.rename(os.path.join(base, '2.incoming'), os.path.join(base, '2'))
    eventually('it does not fit', lambda: 'Insufficient resources' in version_of(server, 2).get('error', ''))
    needed = int(re.search(r'it takes (\d+) bytes', version_of(server, 2)['error']).group(1))
    factor = (files + JUNK_BYTES) / files
    # At its peak the load takes more than what stays, if that was seen.
    assert 0.99 * factor * shown['memory_bytes'] < needed < 4 * factor * shown['memory_bytes']
    assert version_of(server, 1)['state'] == 'AVAILABLE'


def test_what_the_configuration_says_wins(start, tmp_path):
    base = str(tmp_path / 'm')
    make_onnx(os.path.join(base, '1'))
    server = start({'m': f'base_path: "{base}" penstock {{ memory_bytes: 7 }}'})
    shown = version_of(server, 1)
    assert (shown['memory_bytes'], shown['memory_measured']) == (7, False)
