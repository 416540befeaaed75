# SPDX-License-Identifier: Apache-2.0
"""`penstock inspect` on every model: what it prints is the truth, and nothing but it."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import REFUSED, SAMPLES, TEST_MODELS, folders
from penstock_server import BINARY, SLOWNESS

pytestmark = pytest.mark.release_only
runtimes = pytest.mark.runtimes
ALL = {**folders(SAMPLES), **folders(TEST_MODELS)}


def inspect(*arguments):
    """(exit code, standard output, standard error)"""
    done = subprocess.run([BINARY, 'inspect', *arguments], capture_output=True, text=True, timeout=60 * SLOWNESS,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def inspect_json(*arguments):
    code, out, err = inspect('--json', *arguments)
    assert (code, err) == (0, ''), err
    assert out.count('\n') == 1
    return json.loads(out)


@runtimes
@pytest.mark.parametrize('name', sorted(REFUSED))
def test_models_that_are_refused(name):
    code, out, err = inspect(ALL[name])
    assert (code, out) == (1, '')
    assert REFUSED[name] in err


@runtimes
def test_notes_name_what_is_left_out_and_the_classes():
    left_out, = inspect_json(f'{TEST_MODELS}/sequence_onnx')['notes']
    assert left_out.startswith('parts of the signature serving_default is left out: it is a sequence')
    assert 'the classes ham, eggs, spam' in inspect(f'{TEST_MODELS}/zipmap_onnx')[1]


@runtimes
@pytest.mark.parametrize('name', sorted(ALL.keys() - REFUSED))
def test_every_model(name):
    path = ALL[name]
    report = inspect_json(path)
    assert report['path'] == path
    assert report['backend'] == ('onnxruntime' if name.endswith(('_onnx', 'ort_format')) else
                                 'caffe2' if name.endswith('_caffe2') else 'tensorflow')
    assert report['versions'] == sorted(int(f) for f in os.listdir(path) if f.isdigit())
    assert report['described_path'] == f'{path}/{report["versions"][-1]}'
    assert 'serving_default' in report['signatures'] or name == 'dtypes'
    code, text, err = inspect(path)
    assert (code, err) == (0, '')
    for signature in report['signatures']:
        assert f'\nsignature {signature}' in text


@runtimes
def test_names_types_and_shapes():
    tensor = lambda dtype, shape, name, optional=False: {
        'dtype': dtype, 'shape': shape, 'backend_name': name, 'optional': optional}
    assert inspect_json(f'{SAMPLES}/half_plus_two/1')['signatures']['serving_default']['inputs'].keys() == {'x'}
    assert inspect_json(f'{TEST_MODELS}/shapes')['signatures'] == {
        'serving_default': {'method_name': 'tensorflow/serving/predict',
                            'inputs': {'anything': tensor('float32', None, 'anything:0')},
                            'outputs': {'shape': tensor('int64', [-1], 'Shape:0')}},
        'transpose': {'method_name': 'tensorflow/serving/predict',
                      'inputs': {'matrix': tensor('int32', [2, -1], 'matrix:0')},
                      'outputs': {'transposed': tensor('int32', [-1, 2], 'transpose:0')}}}
    inputs = inspect_json(f'{TEST_MODELS}/defaults')['signatures']['serving_default']['inputs']
    assert inputs['factor'] == {**tensor('float32', [], 'serving_default_factor:0', optional=True),
                                'default': {'shape': [], 'values': [0.5]}}
    assert not inputs['x']['optional']


@runtimes
def test_what_tensors_mean():
    signature = inspect_json(f'{TEST_MODELS}/classifier_onnx')['signatures']['serving_default']
    assert signature['inputs']['x']['dimension_names'] == ['rows', '']
    assert signature['inputs']['x']['batch_axis'] == 0
    assert signature['outputs']['probabilities']['class_labels'] == ['10', '20']
    assert '[rows,2]' in inspect(f'{TEST_MODELS}/classifier_onnx')[1]
    sparse = inspect_json(f'{TEST_MODELS}/odd_signatures')['signatures']['sparse']['inputs']
    assert sparse['s/indices']['part'] == {'of': 's', 'role': 'sparse_indices', 'level': 0}
    assert '(may be left out; default 0.5)' in inspect(f'{TEST_MODELS}/defaults_onnx')[1]


@runtimes
@pytest.mark.parametrize('name,traits', [
    ('counter', ['has_state']), ('noise', ['not_deterministic']), ('noise_onnx', ['not_deterministic']),
    ('prints', ['side_effects']), ('vocabulary', []), ('many_outputs_onnx', [])])
def test_traits_of_a_run(name, traits):
    assert inspect_json(f'{TEST_MODELS}/{name}')['traits'] == traits
    assert ('  traits    ' in inspect(f'{TEST_MODELS}/{name}')[1]) == bool(traits)


@runtimes
def test_an_input_without_a_rank_is_a_note():
    note, = inspect_json(f'{TEST_MODELS}/any_rank_onnx')['notes']
    assert note.startswith("input 'x' declares no rank: ONNX Runtime may end the process")


@runtimes
@pytest.mark.parametrize('file,backend', [('saved_model.pb', 'tensorflow'), ('model.onnx', 'onnxruntime')])
def test_a_file_that_is_broken(tmp_path, file, backend):
    (tmp_path / '1').mkdir()
    (tmp_path / '1' / file).write_bytes(b'\xff not a model')
    code, out, err = inspect(str(tmp_path))
    assert (code, out) == (1, '')
    assert err.startswith('penstock inspect: ') and err.count('\n') == 1
    assert f'{tmp_path}/1' in err and backend in err


@runtimes
def test_a_model_outside_a_version_folder(tmp_path):
    """It is described, without versions."""
    folder = shutil.copytree(f'{SAMPLES}/half_plus_two_onnx/1', tmp_path / 'model')
    assert inspect_json(str(folder))['versions'] == []


@runtimes
def test_a_runtime_that_is_not_there():
    code, out, err = inspect('--onnxruntime_library=/nowhere', f'{SAMPLES}/half_plus_two_onnx')
    assert (code, out) == (1, '')
    assert err.startswith('penstock inspect: cannot start the backend onnxruntime: ') and '/nowhere' in err


def test_folders_without_a_model(tmp_path):
    code, out, err = inspect(str(tmp_path / 'none'))
    assert (code, out) == (1, '')
    assert f'{tmp_path}/none: No such file or directory' in err
    code, _, err = inspect(str(tmp_path))
    assert code == 1
    assert f'{tmp_path} has no versions' in err
    (tmp_path / '1').mkdir()
    code, _, err = inspect(str(tmp_path))
    assert code == 1
    assert f'{tmp_path} has no complete version: version 1 is not complete: it has no files' in err


@runtimes
def test_a_split_saved_model(tmp_path):
    (tmp_path / '1').mkdir()
    (tmp_path / '1' / 'saved_model.cpb').write_bytes(b'split')
    code, _, err = inspect(str(tmp_path))
    assert code == 1
    assert 'saved_model.cpb, the split form of a SavedModel, is not served: save the model as saved_model.pb' in err


def test_builtin_models(tmp_path):
    assert inspect_json('builtin:half_plus_two')['signatures']['serving_default']['inputs']['x']['shape'] is None
    for version, name in (('3', 'identity'), ('20', 'half_plus_two')):
        (tmp_path / version).mkdir()
        (tmp_path / version / 'model.builtin').write_text(name)
    assert inspect_json(str(tmp_path))['versions'] == [3, 20]
    assert inspect_json(str(tmp_path / '3'))['any_signature']
