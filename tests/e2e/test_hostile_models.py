# SPDX-License-Identifier: Apache-2.0
"""Model folders and config files as operators leave them behind: half copied, damaged, empty, linked in circles. Each
bad one says what is wrong with it; the good ones beside it serve."""
import os
import shutil

import numpy as np
import pytest

from clients import Client, error_of
from conftest import SAMPLES, TEST_MODELS
from penstock_server import config_text, eventually
from test_command_line import fails

runtimes = pytest.mark.runtimes
FLAGS = ['--file_system_poll_wait_seconds=1', '--max_num_load_retries=0']
HALF = 'builtin:half_plus_two'


def version(base, number='1'):
    os.makedirs(base / number)
    return base / number


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def saved_model(folder, name='half_plus_two'):
    shutil.copytree(f'{SAMPLES}/{name}/1', folder, dirs_exist_ok=True)
    return folder / 'saved_model.pb'


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * share)])


# Each makes a base path, and gives a text that its error must hold.

def truncated_saved_model(base):
    cut(saved_model(version(base)), 0.5)
    return 'saved_model.pb'


def empty_saved_model(base):
    write(version(base) / 'saved_model.pb', b'')
    return 'tags'


def saved_model_of_zeros(base):
    write(version(base) / 'saved_model.pb', bytes(100_000))
    return 'saved_model.pb'


def saved_model_that_is_a_folder(base):
    os.makedirs(version(base) / 'saved_model.pb')
    return 'saved_model.pb'


def saved_model_that_is_a_pipe(base):
    os.mkfifo(version(base) / 'saved_model.pb')
    return 'saved_model.pb is no regular file'


def no_variables(base):
    saved_model(version(base), 'half_plus_three')
    shutil.rmtree(base / '1' / 'variables')
    return 'variables'


def no_variable_data(base):
    saved_model(version(base), 'half_plus_three')
    os.remove(base / '1' / 'variables' / 'variables.data-00000-of-00001')
    return 'variables'


def truncated_variables(base):
    saved_model(version(base), 'digits')
    cut(base / '1' / 'variables' / 'variables.data-00000-of-00001', 0.5)
    return 'variables'


def garbage_variable_index(base):
    saved_model(version(base), 'half_plus_three')
    write(base / '1' / 'variables' / 'variables.index', b'\x00\xff' * 200)
    return 'variables'


def other_tags(base):
    path = saved_model(version(base))
    write(path, path.read_bytes().replace(b'\x22\x05serve', b'\x22\x05swerv'))
    return 'tags'


def no_asset(base):
    shutil.copytree(f'{TEST_MODELS}/vocabulary/1', version(base), dirs_exist_ok=True)
    shutil.rmtree(base / '1' / 'assets')
    return 'words.txt'


def truncated_frozen_graph(base):
    shutil.copytree(f'{TEST_MODELS}/frozen/1', version(base), dirs_exist_ok=True)
    cut(base / '1' / 'model.pb', 0.6)
    return 'is not a frozen graph'


def several_frozen_graphs(base):
    folder = version(base)
    for name in ('a.pb', 'b.pb'):
        shutil.copy(f'{TEST_MODELS}/frozen/1/model.pb', folder / name)
    return 'several .pb files'


def frozen_graph_without_end(base):
    os.symlink('/dev/zero', version(base) / 'model.pb')
    return 'is no regular file'


def truncated_onnx(base):
    path = version(base) / 'model.onnx'
    shutil.copy(f'{SAMPLES}/digits_onnx/1/model.onnx', path)
    cut(path, 0.7)
    return 'model.onnx'


def garbage_onnx(base):
    write(version(base) / 'model.onnx', np.random.default_rng(7).bytes(100_000))
    return 'model.onnx'


def empty_onnx(base):
    write(version(base) / 'model.onnx', b'')
    return 'model.onnx'


def onnx_that_claims_a_huge_graph(base):
    write(version(base) / 'model.onnx', b'\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f')
    return 'model.onnx'


def onnx_that_is_a_folder(base):
    os.makedirs(version(base) / 'model.onnx')
    return 'model.onnx'


def onnx_that_is_a_pipe(base):
    os.mkfifo(version(base) / 'model.onnx')
    return 'model.onnx is no regular file'


def onnx_that_is_a_dangling_link(base):
    os.symlink('nowhere', version(base) / 'model.onnx')
    return 'model.onnx'


def several_onnx(base):
    folder = version(base)
    for name in ('a.onnx', 'b.onnx'):
        shutil.copy(f'{SAMPLES}/half_plus_two_onnx/1/model.onnx', folder / name)
    return '2 .onnx files'


def onnx_without_its_weights(base):
    import onnx
    from onnx import TensorProto, helper
    weights = helper.make_tensor('w', TensorProto.FLOAT, [2], [1, 2])
    weights.ClearField('float_data')
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key='location', value='weights.bin')
    graph = helper.make_graph([helper.make_node('Add', ['x', 'w'], ['y'])], 'g',
                              [helper.make_tensor_value_info('x', TensorProto.FLOAT, [2])],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, [2])], [weights])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid('', 17)])
    onnx.save(model, str(version(base) / 'model.onnx'))
    return 'weights.bin'


def onnx_of_the_future(base):
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node('Identity', ['x'], ['y'])], 'g',
                              [helper.make_tensor_value_info('x', TensorProto.FLOAT, [2])],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, [2])])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid('', 9999)])
    write(version(base) / 'model.onnx', model.SerializeToString())
    return 'opset'


def both_runtimes(base):
    write(saved_model(version(base)).parent / 'model.onnx', b'x')
    return 'several backends'


def unknown_builtin(base):
    write(version(base) / 'model.builtin', 'no_such_model\n')
    return 'there is no built-in model "builtin:no_such_model"; there are builtin:half_plus_two'


def garbage_builtin(base):
    write(version(base) / 'model.builtin', bytes(range(255, 0, -1)) * 1000)
    return 'there is no built-in model'


def builtin_that_is_a_folder(base):
    os.makedirs(version(base) / 'model.builtin')
    return 'model.builtin'


def builtin_that_is_a_pipe(base):
    os.mkfifo(version(base) / 'model.builtin')
    return 'model.builtin is no regular file'


def names_that_are_no_text(base):
    write(version(base) / os.fsdecode(b'caf\xe9.bin'), b'')
    return 'files: caf\ufffd.bin'


def empty_version(base):
    version(base)
    return 'no backend takes the folder'


BUILTIN = [
    unknown_builtin, garbage_builtin, builtin_that_is_a_folder, builtin_that_is_a_pipe, names_that_are_no_text,
    empty_version]
OF_RUNTIMES = [
    truncated_saved_model, empty_saved_model, saved_model_of_zeros, saved_model_that_is_a_folder,
    saved_model_that_is_a_pipe, no_variables, no_variable_data, truncated_variables, garbage_variable_index,
    other_tags, no_asset, truncated_frozen_graph, several_frozen_graphs, frozen_graph_without_end, truncated_onnx,
    garbage_onnx, empty_onnx, onnx_that_claims_a_huge_graph, onnx_that_is_a_folder, onnx_that_is_a_pipe,
    onnx_that_is_a_dangling_link, several_onnx, onnx_without_its_weights, onnx_of_the_future, both_runtimes]


def all_are_told(tmp_path, start, makers):
    models, texts = {'good': HALF}, {}
    for make in makers:
        base = tmp_path / 'models' / make.__name__
        os.makedirs(base)
        texts[make.__name__] = make(base)
        models[make.__name__] = str(base)
    server = start(models, flags=FLAGS, ready=False)
    problems = []
    with Client(server) as client:
        server.wait_for('good', 1)
        for name, text in texts.items():
            eventually(f'{name} has failed', lambda name=name: server.states(name).get(1) == 'END', 20)
            status = client.status(name).model_version_status[0].status
            if not status.error_code or text not in status.error_message or len(status.error_message) < 40:
                problems.append((name, text, status.error_message))
            code, message = error_of(client.predict, name, {'x': np.float32([1])})
            assert (code.name, message) == ('NOT_FOUND', f'Servable not found for request: Latest({name})')
            assert name in server.get('/readyz')[1]
            assert client.predict('good', {'x': np.float32([2])})['y'] == [3]
    assert not problems, '\n'.join(map(str, problems))


def test_bad_folders_of_builtin_models(tmp_path, start):
    all_are_told(tmp_path, start, BUILTIN)


@runtimes
def test_bad_folders_of_runtimes(tmp_path, start):
    all_are_told(tmp_path, start, OF_RUNTIMES)


def builtin_version(base, number, name='half_plus_two'):
    write(version(base, number) / 'model.builtin', name)


def test_names_of_version_folders(tmp_path, start):
    base = tmp_path / 'base'
    for number in ('00000123', '9223372036854775807', '7', '07'):
        builtin_version(base, number)
    for other in ('99999999999999999999', '-1', '+5', '1e3', '12.5', ' 8', '8 ', '0x10', 'latest', '٣', '9.tmp'):
        builtin_version(base, other, 'no_such_model')
    write(base / '55', 'a file')
    os.symlink('nowhere', base / '56')
    os.symlink('57', base / '57')
    os.symlink('7', base / '58')
    server = start({'m': f'base_path: "{base}" model_version_policy {{ all {{}} }}'}, flags=FLAGS)
    server.wait_for_only('m', [7, 58, 123, 9223372036854775807])
    with Client(server) as client:
        response = client.predict_raw('m', {'x': np.float32([2])})
        assert response.model_spec.version.value == 9223372036854775807
        response = client.predict_raw('m', {'x': np.float32([2])}, version=123)
        assert response.model_spec.version.value == 123


def test_base_paths(tmp_path, start):
    builtin_version(tmp_path / 'real', '1')
    os.symlink('real', tmp_path / 'link')
    os.symlink('circle', tmp_path / 'circle')
    write(tmp_path / 'file', 'x')
    models = {'good': HALF, 'link': str(tmp_path / 'link'), 'slashes': f'{tmp_path}//real///',
              'dots': f'{tmp_path}/real/../real/.', 'circle': str(tmp_path / 'circle'),
              'file': str(tmp_path / 'file'), 'missing': str(tmp_path / 'nowhere'),
              'long': str(tmp_path / ('x' * 5000))}
    server = start(models, flags=FLAGS, ready=False)
    for name in ('good', 'link', 'slashes', 'dots'):
        server.wait_for(name, 1)
    for name, text in (('circle', 'Too many levels of symbolic links'), ('file', 'Not a directory'),
                       ('missing', 'No such file or directory'), ('long', 'File name too long')):
        eventually(name, lambda text=text: text in server.log())
        assert name in server.get('/readyz')[1]
    # What was wrong is made good.
    os.remove(tmp_path / 'file')
    shutil.copytree(tmp_path / 'real', tmp_path / 'file')
    server.wait_for('file', 1)


def test_config_files_as_editors_leave_them(tmp_path, start):
    text = config_text({'a': HALF, 'b': HALF})
    forms = {
        'crlf': text.replace('\n', '\r\n'),
        'comments': '# of the shop\n' + text.replace('\n', '  # why\n', 1) + '# the end, without a new line',
        'tabs': text.replace('  ', '\t'),
        'mark': '\ufeff' + text,
    }
    for name, form in forms.items():
        file = tmp_path / f'{name}.config'
        write(file, form)
        server = start(flags=[f'--model_config_file={file}'])
        assert server.states('b') == {1: 'AVAILABLE'}, name


@pytest.mark.parametrize('text, message', [
    (f'config {{ name: "a" base_path: "{HALF}" }} config {{ name: "a" base_path: "{HALF}" }}',
     "two models have the name 'a'"),
    (f'config {{ name: "" base_path: "{HALF}" }}', 'model 1 of the list has no name'),
    ('config { name: "a" base_path: "builtin:nothing" }', 'there is no built-in model "builtin:nothing"'),
    (f'config {{ name: "a" base_path: "{HALF}" version_labels {{ key: "x" value: -1 }} }}', 'negative'),
    (f'config {{ name: "a" base_path: "{HALF}" version_labels {{ key: "x" value: 99999999999999999999 }} }}',
     'line 2'),
    (f'config {{ name: "a" base_path: "{HALF}"', 'line 4'),
    ('config { name: "a" base_path: "x" model_platform: "tensorflwo" }', "there is no backend 'tensorflwo'"),
    ('config { name: "a\\377" base_path: "x" }', 'not UTF-8'),
])
def test_config_files_that_are_wrong(tmp_path, text, message):
    file = tmp_path / 'models.config'
    write(file, 'model_config_list {\n' + text + '\n}\n')
    error = fails(f'--model_config_file={file}')
    assert message in error and str(file) in error


def test_a_label_of_a_version_that_is_not_there(start):
    fields = (f'base_path: "{HALF}" version_labels {{ key: "stable" value: 1 }} '
              'version_labels { key: "next" value: 9 }')
    server = start({'m': fields, 'good': HALF})
    with Client(server) as client:
        x = {'x': np.float32([2])}
        assert client.predict('m', x, label='stable')['y'] == [3]
        assert error_of(client.predict, 'm', x, label='next')[1] == 'Servable not found for request: Specific(m, 9)'
        assert error_of(client.predict, 'm', x, label='none')[1] == 'Unrecognized servable version label: none'
