# SPDX-License-Identifier: Apache-2.0
"""`penstock table extract`: ONNX models whose tables are taken out answer as before."""
import os
import subprocess

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2

from clients import Client, error_of
from penstock_server import BINARY, SLOWNESS, Server

pytestmark = pytest.mark.runtimes


def run(*arguments):
    return subprocess.run([BINARY, 'table', 'extract', *arguments], capture_output=True, text=True, timeout=60 * SLOWNESS,
                          check=False)


def tables():
    """Weights by name. All but `small` and `tied` are looked up only."""
    random = np.random.default_rng(7)
    return {'half': random.standard_normal((40, 8)).astype(np.float16),
            'twice': random.standard_normal((50, 4)).astype(np.float32),
            'bytes': random.integers(-100, 100, (30, 6)).astype(np.int8),
            'exact': random.standard_normal((20, 3)),
            'tied': random.standard_normal((16, 8)).astype(np.float32),
            'branch': random.standard_normal((25, 4)).astype(np.float32),
            'cube': random.standard_normal((9, 3, 4)).astype(np.float32),
            'small': random.standard_normal((9, 1)).astype(np.float32)}


def save_model(path, external):
    """Inputs of three ranks and both types, and every reason for a table to stay."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    node = helper.make_node
    then = helper.make_graph([node('Gather', ['branch', 'pick'], ['then_out'])], 'then', [], [
        helper.make_tensor_value_info('then_out', TensorProto.FLOAT, ['batch', 4])])
    other = helper.make_graph([node('Gather', ['twice_rows', 'zero'], ['else_out'], axis=1)], 'else', [], [
        helper.make_tensor_value_info('else_out', TensorProto.FLOAT, ['batch', 4])])
    nodes = [node('Cast', ['ids'], ['ids32'], to=TensorProto.INT32), node('Identity', ['ids32'], ['same']),
             node('Gather', ['half', 'same'], ['half_out'], axis=0, name='look "up"'),
             node('Gather', ['twice', 'ids'], ['twice_rows']), node('Gather', ['twice', 'ids'], ['again']),
             node('Add', ['twice_rows', 'again'], ['sum']),
             node('Gather', ['bytes', 'pick'], ['bytes_rows'], axis=-2), node('Neg', ['bytes_rows'], ['bytes_out']),
             node('Gather', ['exact', 'grid'], ['exact_out']),
             node('Gather', ['tied', 'pick'], ['tied_rows']), node('Transpose', ['tied'], ['tied_t']),
             node('MatMul', ['tied_rows', 'tied_t'], ['tied_out']),
             node('Gather', ['cube', 'pick'], ['cube_out']), node('Gather', ['small', 'pick'], ['small_out']),
             node('If', ['flag'], ['if_out'], then_branch=then, else_branch=other)]
    value = helper.make_tensor_value_info
    outputs = {'half_out': (TensorProto.FLOAT16, ['batch', 3, 8]), 'sum': (TensorProto.FLOAT, ['batch', 3, 4]),
               'bytes_out': (TensorProto.INT8, ['batch', 6]), 'exact_out': (TensorProto.DOUBLE, ['a', 'b', 2, 3]),
               'tied_out': (TensorProto.FLOAT, ['batch', 16]), 'cube_out': (TensorProto.FLOAT, ['batch', 3, 4]),
               'small_out': (TensorProto.FLOAT, ['batch', 1]), 'if_out': (TensorProto.FLOAT, ['batch', 4])}
    inputs = [value('ids', TensorProto.INT64, ['batch', 3]), value('pick', TensorProto.INT32, ['batch']),
              value('grid', TensorProto.INT64, ['a', 'b', 2]), value('flag', TensorProto.BOOL, [])]
    weights = [numpy_helper.from_array(array, name) for name, array in tables().items()]
    weights.append(numpy_helper.from_array(np.array(0, np.int64), 'zero'))
    graph = helper.make_graph(nodes, 'mixed', inputs, [value(name, *what) for name, what in outputs.items()], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8, producer_name='test')
    os.makedirs(os.path.dirname(path))
    onnx.save(model, path, save_as_external_data=external, location='weights.bin', size_threshold=100)


def requests():
    random = np.random.default_rng(3)
    for batch in (1, 5):
        for flag in (True, False):
            yield {'ids': random.integers(-40, 40, (batch, 3)), 'pick': random.integers(-9, 9, batch).astype(np.int32),
                   'grid': random.integers(-20, 20, (batch + 1, 1, 2)), 'flag': np.array(flag)}


def part_of(config):
    """The models of a model_config_file."""
    with open(config, encoding='utf-8') as file:
        return file.read().removeprefix('model_config_list {\n').removesuffix('}\n')


def signature_of(client, model):
    signatures = get_model_metadata_pb2.SignatureDefMap()
    client.metadata(model).metadata['signature_def'].Unpack(signatures)
    signature = signatures.signature_def['serving_default']
    assert len(signature.inputs) == 4 and len(signature.outputs) == 8
    return [{name: (each.dtype, str(each.tensor_shape)) for name, each in ends.items()}
            for ends in (signature.inputs, signature.outputs)]


@pytest.mark.parametrize('external', [False, True])
def test_answers_are_those_of_the_whole_model(tmp_path, external):
    import onnx
    import onnxruntime
    path = str(tmp_path / 'mixed/3/model.onnx')
    save_model(path, external)
    done = run(f'--model={tmp_path}/mixed/3', f'--output={tmp_path}/parts', '--bytes_min=100', '--name=cut')
    assert done.returncode == 0, done.stderr
    took = sorted(line.split()[3].rstrip(':') for line in done.stdout.splitlines() if line.startswith('took'))
    assert took == ['bytes', 'exact', 'half', 'twice']
    for text in ('tied: a node Transpose uses it, too', 'branch: the body of a loop or of a branch uses it',
                 'cube: it has 3 dimensions; tables have 2', 'looked up 2 times', 'the model cut_half'):
        assert text in done.stdout
    assert sorted(os.listdir(tmp_path / 'parts')) == ['cut_bytes', 'cut_exact', 'cut_half', 'cut_rest', 'cut_twice',
                                                      'models.config']
    for name in took:
        with open(tmp_path / f'parts/cut_{name}/3/emb_vector', 'rb') as file:
            assert file.read() == tables()[name].tobytes()
    onnx.checker.check_model(str(tmp_path / 'parts/cut_rest/3/model.onnx'))

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    with open(tmp_path / 'all.config', 'w', encoding='utf-8') as file:
        file.write('model_config_list {\n' + part_of(tmp_path / 'parts/models.config')
                   + f'config {{ name: "whole" base_path: "{tmp_path}/mixed" }}\n}}\n')
    with Server(tmp_path / 'server', flags=[f'--model_config_file={tmp_path}/all.config']) as server, Client(server) as client:
        for inputs in requests():
            expected = dict(zip(names, session.run(names, inputs)))
            answer = client.predict('cut', inputs)
            assert sorted(answer) == sorted(expected)
            for name, array in expected.items():
                assert answer[name].dtype == array.dtype and answer[name].shape == array.shape, name
                assert answer[name].tobytes() == array.tobytes(), name
            body = {'inputs': {name: array.tolist() for name, array in inputs.items()}}
            assert server.rest_predict('cut', body) == server.rest_predict('whole', body)
        assert signature_of(client, 'cut') == signature_of(client, 'whole')
        # What was wrong is wrong, and the limits of indices are the same.
        good = next(requests())
        for name, wrong in (('ids', np.full((1, 3), 40)), ('ids', np.full((1, 3), -41)), ('ids', np.zeros((1, 4), np.int64)),
                            ('ids', np.zeros(3, np.int64)), ('pick', np.array([30], np.int32)),
                            ('ids', np.zeros((1, 3), np.float32))):
            codes = {error_of(client.predict, model, {**good, name: wrong})[0] for model in ('cut', 'whole')}
            assert codes == {grpc.StatusCode.INVALID_ARGUMENT}, (name, wrong)
        edges = {**good, 'ids': np.array([[39, -40, 0]]), 'pick': np.array([-3], np.int32)}
        assert client.predict('cut', edges)['half_out'].tobytes() == client.predict('whole', edges)['half_out'].tobytes()


def save_plain(path, array=None, ir_version=8, raw=True, nodes=None):
    """One table `emb` behind the input `ids`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    array = np.arange(40, dtype=np.float32).reshape(10, 4) if array is None else array
    tensor = numpy_helper.from_array(array, 'emb')
    if not raw:
        tensor = helper.make_tensor('emb', TensorProto.FLOAT, array.shape, array.ravel())
    inputs = [helper.make_tensor_value_info('ids', TensorProto.INT64, None)]
    if ir_version < 4:
        inputs.append(helper.make_tensor_value_info('emb', TensorProto.FLOAT, array.shape))
    graph = helper.make_graph(nodes or [helper.make_node('Gather', ['emb', 'ids'], ['rows'])], 'plain', inputs,
                              [helper.make_tensor_value_info('rows', tensor.data_type, None)], [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=ir_version), path)


def test_a_model_that_is_only_a_table(tmp_path):
    """Also an old one, whose initialiser is an input, too; with numbers in float_data; and indices of any rank."""
    save_plain(tmp_path / 'old.onnx', ir_version=3, raw=False)
    done = run('--model', str(tmp_path / 'old.onnx'), f'--output={tmp_path}/parts', '--bytes-min=100')
    assert done.returncode == 0, done.stderr
    with Server(tmp_path / 'server', flags=[f'--model_config_file={tmp_path}/parts/models.config']) as server:
        for ids in (3, [1, -1], [[0], [9]], []):
            status, body = server.rest_predict('old', {'inputs': {'ids': ids}})
            assert status == 200, body
            assert body == {'outputs': np.arange(40, dtype=np.float32).reshape(10, 4)[np.array(ids, np.int64)].tolist()}
        status, body = server.rest_predict('old', {'inputs': {'ids': [10]}})
        assert status == 400 and 'its 10 rows have the indices -10 to 9' in body['error']


def test_what_cannot_be_cut_is_refused(tmp_path):
    from onnx import helper
    node = helper.make_node
    save_plain(tmp_path / 'good.onnx')
    save_plain(tmp_path / 'text.onnx', np.array([['a', 'b']] * 9, object))
    save_plain(tmp_path / 'columns.onnx', nodes=[node('Gather', ['emb', 'ids'], ['rows'], axis=1, name='n')])
    save_plain(tmp_path / 'computed.onnx', nodes=[node('Neg', ['ids'], ['i']), node('Gather', ['emb', 'i'], ['rows'])])
    save_plain(tmp_path / 'unused.onnx', nodes=[node('Cast', ['ids'], ['rows'], to=1)])
    with open(tmp_path / 'good.onnx', 'rb') as file:
        model = file.read()
    (tmp_path / 'torn.onnx').write_bytes(model[:-30])
    (tmp_path / 'random.onnx').write_bytes(np.random.default_rng(1).bytes(3000))
    (tmp_path / 'empty.onnx').write_bytes(b'')
    (tmp_path / 'folder').mkdir()
    for name, message in (('text', 'its elements are texts'), ('columns', "the node 'n' (Gather) takes columns of it (axis 1)"),
                          ('computed', 'the indices of a node Gather are no input of the model'),
                          ('unused', 'no node uses it'), ('torn', 'it is no ONNX model'), ('random', 'it is no ONNX model'),
                          ('empty', 'it is no ONNX model'), ('absent', 'there is no ')):
        done = run(f'--model={tmp_path}/{name}.onnx', f'--output={tmp_path}/out', '--bytes_min=10')
        assert done.returncode == 1 and message in done.stderr and f'{name}.onnx' in done.stderr, done.stderr
        assert not (tmp_path / 'out').exists() and not (tmp_path / '.out.building').exists()
    for arguments, message in (
            ((f'--model={tmp_path}/good.onnx', f'--output={tmp_path}/out'), 'the largest of the smaller tensors has 160 bytes'),
            ((f'--model={tmp_path}/good.onnx', f'--output={tmp_path}/folder', '--bytes_min=10'), 'exists'),
            ((f'--model={tmp_path}/folder', f'--output={tmp_path}/out'), 'no file with the ending .onnx'),
            ((f'--model={tmp_path}/good.onnx',), '--output is missing'), ((f'--output={tmp_path}/out',), '--model is missing'),
            (('--model=x', '--output=y', '--bytes_min=many'), '--bytes_min is as 1000000, 16MiB or 1GiB')):
        done = run(*arguments)
        assert done.returncode == 1 and message in done.stderr, done.stderr


def test_data_beside_the_model_stays_in_its_folder(tmp_path):
    import onnx
    save_model(str(tmp_path / 'whole/model.onnx'), True)
    model = onnx.load(str(tmp_path / 'whole/model.onnx'), load_external_data=False)
    (tmp_path / 'cut').mkdir()
    for location, size, message in (('../whole/weights.bin', None, 'which is outside of its folder'),
                                    ('weights.bin', None, 'cannot read'), ('weights.bin', 50, 'from its offset on')):
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == 'location':
                    entry.value = location
        (tmp_path / 'cut/model.onnx').write_bytes(model.SerializeToString())
        if size:
            (tmp_path / 'cut/weights.bin').write_bytes(bytes(size))
        done = run(f'--model={tmp_path}/cut', f'--output={tmp_path}/out', '--bytes_min=100')
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert not (tmp_path / 'out').exists()
