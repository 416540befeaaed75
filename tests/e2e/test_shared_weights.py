# SPDX-License-Identifier: Apache-2.0
"""Equal tables of ONNX models are in memory once, and no file that is written to later changes an answer."""
import os
import shutil

import numpy as np
import pytest

from clients import Client
from conftest import SAMPLES
from penstock_server import SLOWNESS
from test_reload import reload

pytestmark = pytest.mark.runtimes

MEGABYTE = 1_000_000
ROWS, COLUMNS = 1 << 18, 64  # 67 MB
OPENER = os.path.join(SAMPLES, 'half_plus_two_onnx')


def save_model(folder, table, square):
    """Rows of `table`, and x + square with a Transpose around it, which ONNX Runtime moves by storing `square` anew."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    node = helper.make_node
    nodes = [node('Gather', ['table', 'ids'], ['rows']), node('Transpose', ['x'], ['t'], perm=[1, 0]),
             node('Add', ['t', 'square'], ['a']), node('Relu', ['a'], ['b']), node('Transpose', ['b'], ['y'], perm=[1, 0])]
    value = helper.make_tensor_value_info
    size = len(square)
    graph = helper.make_graph(
        nodes, 'shared', [value('ids', TensorProto.INT64, ['n']), value('x', TensorProto.FLOAT, [size, size])],
        [value('rows', TensorProto.FLOAT, ['n', table.shape[1]]), value('y', TensorProto.FLOAT, [size, size])],
        [numpy_helper.from_array(table, 'table'), numpy_helper.from_array(square, 'square')])
    os.makedirs(folder)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8),
              os.path.join(folder, 'model.onnx'), save_as_external_data=True, location='weights.bin', size_threshold=100)


def test_equal_tables_are_in_memory_once_and_files_may_be_overwritten(start, tmp_path):
    random = np.random.default_rng(7)
    table = random.random((ROWS if SLOWNESS == 1 else ROWS // 16, COLUMNS), np.float32)
    square = random.random((200, 200), np.float32)
    bases = {name: str(tmp_path / name) for name in ('one', 'two', 'other')}
    save_model(os.path.join(bases['one'], '1'), table, square)
    shutil.copytree(bases['one'], bases['two'])
    changed = table.copy()
    changed[3, 5] += 1  # where no sample of a content is taken
    save_model(os.path.join(bases['other'], '1'), changed, square)

    server = start({'opener': OPENER})
    grown = {}
    models = {'opener': OPENER}
    for name, base in bases.items():
        before = server.memory_bytes()
        models[name] = base
        assert reload(server, models) is None
        grown[name] = server.memory_bytes() - before
    if SLOWNESS == 1:  # a sanitizer takes memory of its own
        assert grown['one'] > table.nbytes
        assert grown['two'] < 10 * MEGABYTE, grown
        assert grown['other'] > table.nbytes

    ids = np.array([0, 3, len(table) - 1], np.int64)
    x = random.random(square.shape, np.float32) - 0.5

    def check(names):
        with Client(server) as client:
            for name in names:
                answer = client.predict(name, {'ids': ids, 'x': x})
                expected = changed if name == 'other' else table
                assert np.array_equal(answer['rows'], expected[ids]), name
                assert np.array_equal(answer['y'], np.maximum(x.T + square, 0).T), name
    check(bases)
    for name in ('one', 'two'):
        path = os.path.join(bases[name], '1', 'weights.bin')
        with open(path, 'r+b') as file:
            file.write(b'\xff' * os.path.getsize(path))
    check(bases)
    for name in ('one', 'two'):
        os.truncate(os.path.join(bases[name], '1', 'weights.bin'), 0)
    check(bases)

    # The table stays as long as one of its models.
    before = server.memory_bytes()
    del models['one']
    assert reload(server, models) is None
    check(['two', 'other'])
    del models['two']
    assert reload(server, models) is None
    check(['other'])
    if SLOWNESS == 1:
        assert server.memory_bytes() < before - table.nbytes / 2
