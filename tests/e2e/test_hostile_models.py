# SPDX-License-Identifier: Apache-2.0
"""Model folders and config files as operators leave them behind: half copied, damaged, empty, linked in circles. Each
bad one says what is wrong with it; the good ones beside it serve."""
import os
import shutil

import grpc
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


# What is done to the folder of a version; each gives a function that does it.

def sample(name, base=SAMPLES):
    return lambda folder: shutil.copytree(f'{base}/{name}/1', folder, dirs_exist_ok=True)


def copied(source, *names):
    return lambda folder: [shutil.copy(source, folder / name) for name in names]


def put(name, data):
    return lambda folder: write(folder / name, data)


def cut(name, share):
    return lambda folder: os.truncate(folder / name, int(os.path.getsize(folder / name) * share))


def replaced(name, old, new):
    return lambda folder: write(folder / name, (folder / name).read_bytes().replace(old, new))


def without(name):
    return lambda folder: (shutil.rmtree if (folder / name).is_dir() else os.remove)(folder / name)


def directory(name):
    return lambda folder: os.makedirs(folder / name)


def pipe(name):
    return lambda folder: os.mkfifo(folder / name)


def link(name, target):
    return lambda folder: os.symlink(target, folder / name)


def onnx_model(operator, inputs, opset=17, weights=()):
    """Saved as model.onnx: one operator on vectors of two."""
    def save(folder):
        import onnx
        from onnx import TensorProto, helper
        vector = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in 'xy'}
        tensors = [helper.make_tensor(name, TensorProto.FLOAT, [2], [1, 2]) for name in weights]
        for tensor in tensors:
            tensor.ClearField('float_data')
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key='location', value='weights.bin')
        node = helper.make_node(operator, inputs, ['y'])
        graph = helper.make_graph([node], 'g', [vector['x']], [vector['y']], tensors)
        onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid('', opset)]),
                  str(folder / 'model.onnx'))
    return save


HALF_PLUS_THREE = sample('half_plus_three')
VARIABLES = 'variables/variables.data-00000-of-00001'
FROZEN = f'{TEST_MODELS}/frozen/1/model.pb'

# Why a version is not complete, and so is none.
NO_FILES = 'it has no files, or only empty ones'
NO_SAVED_MODEL = 'it has variables and no saved_model.pb'

# The model's name -> a text that its error must hold, and how its version comes about.
BUILTIN = {
    'unknown_builtin': ('there is no built-in model "builtin:no_such_model"; there are builtin:delay',
                        put('model.builtin', 'no_such_model\n')),
    'garbage_builtin': ('there is no built-in model', put('model.builtin', bytes(range(255, 0, -1)) * 1000)),
    'builtin_that_is_a_folder': (NO_FILES, directory('model.builtin')),
    'builtin_that_is_a_pipe': ('model.builtin is no regular file', pipe('model.builtin')),
    'names_that_are_no_text': ('files: caf\ufffd.bin', put(os.fsdecode(b'caf\xe9.bin'), b'x')),
    'empty_version': (NO_FILES,),
}
OF_RUNTIMES = {
    'truncated_saved_model': ('saved_model.pb', sample('half_plus_two'), cut('saved_model.pb', 0.5)),
    'empty_saved_model': (NO_FILES, put('saved_model.pb', b'')),
    'saved_model_of_zeros': ('saved_model.pb', put('saved_model.pb', bytes(100_000))),
    'saved_model_that_is_a_folder': (NO_FILES, directory('saved_model.pb')),
    'saved_model_that_is_a_pipe': ('saved_model.pb is no regular file', pipe('saved_model.pb')),
    'pipe_among_the_variables': ('variables/more is no regular file but a pipe', HALF_PLUS_THREE, pipe('variables/more')),
    'only_variables': (NO_SAVED_MODEL, HALF_PLUS_THREE, without('saved_model.pb')),
    'no_variables': ('variables', HALF_PLUS_THREE, without('variables')),
    'no_variable_data': ('variables', HALF_PLUS_THREE, without(VARIABLES)),
    'truncated_variables': ('variables', sample('digits'), cut(VARIABLES, 0.5)),
    'garbage_variable_index': ('variables', HALF_PLUS_THREE, put('variables/variables.index', b'\x00\xff' * 200)),
    'other_tags': ('tags', sample('half_plus_two'), replaced('saved_model.pb', b'\x22\x05serve', b'\x22\x05swerv')),
    'no_asset': ('words.txt', sample('vocabulary', TEST_MODELS), without('assets')),
    'truncated_frozen_graph': ('is not a frozen graph', sample('frozen', TEST_MODELS), cut('model.pb', 0.6)),
    'several_frozen_graphs': ('several .pb files', copied(FROZEN, 'a.pb', 'b.pb')),
    'frozen_graph_without_end': ('is no regular file', link('model.pb', '/dev/zero')),
    'truncated_onnx': ('model.onnx', sample('digits_onnx'), cut('model.onnx', 0.7)),
    'garbage_onnx': ('model.onnx', put('model.onnx', np.random.default_rng(7).bytes(100_000))),
    'empty_onnx': (NO_FILES, put('model.onnx', b'')),
    'onnx_that_claims_a_huge_graph': ('model.onnx', put('model.onnx', b'\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f')),
    'onnx_that_is_a_folder': (NO_FILES, directory('model.onnx')),
    'onnx_that_is_a_pipe': ('model.onnx is no regular file', pipe('model.onnx')),
    'onnx_that_is_a_dangling_link': ('model.onnx', link('model.onnx', 'nowhere')),
    'several_onnx': ('2 .onnx and .ort files', copied(f'{SAMPLES}/half_plus_two_onnx/1/model.onnx', 'a.onnx', 'b.onnx')),
    'onnx_without_its_weights': ('weights.bin', onnx_model('Add', ['x', 'w'], weights=['w'])),
    'onnx_of_the_future': ('opset', onnx_model('Identity', ['x'], opset=9999)),
    'both_runtimes': ('several backends', sample('half_plus_two'), put('model.onnx', b'x')),
}


def all_are_told(tmp_path, start, bad):
    models = {'good': HALF}
    for name, (_, *steps) in bad.items():
        base = tmp_path / 'models' / name
        folder = version(base)
        for step in steps:
            step(folder)
        models[name] = str(base)
    server = start(models, flags=FLAGS, ready=False)
    problems = []
    with Client(server) as client:
        server.wait_for('good', 1)
        for name, (text, *_) in bad.items():
            if text in (NO_FILES, NO_SAVED_MODEL):
                eventually(name, lambda name=name, text=text: text in server.get(f'/readyz/models/{name}')[1], 20)
            else:
                eventually(f'{name} has failed', lambda name=name: server.has_failed(name, 1), 20)
                status = client.status(name).model_version_status[0].status
                if not status.error_code or text not in status.error_message or len(status.error_message) < 40:
                    problems.append((name, text, status.error_message))
            code, message = error_of(client.predict, name, {'x': np.float32([1])})
            assert code.name == 'UNAVAILABLE' and message.startswith(f'model {name} cannot be loaded: ')
            assert text in message, (name, text, message)
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
     "Illegal to list model a multiple times in config list"),
    (f'config {{ name: "" base_path: "{HALF}" }}', 'model 1 of the list has no name'),
    ('config { name: "a" base_path: "builtin:nothing" }', 'there is no built-in model "builtin:nothing"'),
    (f'config {{ name: "a" base_path: "{HALF}" version_labels {{ key: "x" value: -1 }} }}', 'negative'),
    (f'config {{ name: "a" base_path: "{HALF}" version_labels {{ key: "x" value: 99999999999999999999 }} }}',
     '2:88: Integer out of range'),
    (f'config {{ name: "a" base_path: "{HALF}"', '4:1: Expected identifier'),
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
        assert error_of(client.predict, 'm', x, label='next') == (
            grpc.StatusCode.UNAVAILABLE, 'label "next" of model m waits for version 9: the model has version 1')
        assert error_of(client.predict, 'm', x, label='none')[1] == (
            'Unrecognized servable version label: none: the model has labels "next", "stable"')
