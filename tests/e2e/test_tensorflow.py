# SPDX-License-Identifier: Apache-2.0
"""What models of TensorFlow bring with them: declared shapes, odd signatures, tags, libraries of operations."""
import json
import os
import re
import shutil
import subprocess
import sysconfig

import pytest

from conftest import TEST_MODELS
from penstock_server import BINARY, SLOWNESS

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]  # the conformance tests run this with sanitizers
TEXT_LIBRARIES = os.path.join(sysconfig.get_path('purelib'), 'tensorflow_text/python/ops')
CASE_FOLD = f'{TEST_MODELS}/op_libraries/case_fold'


def predict(server, model, **body):
    return server.rest_predict(model, body)


def test_rows_without_the_declared_dimension(models_server):
    """The signature declares [-1,1]; the graph takes any shape."""
    code, answer = predict(models_server, 'declared_shapes', instances=[1.0, 2.0, 5.0])
    assert (code, answer) == (200, {'predictions': [2.5, 3.0, 4.5]})
    code, answer = predict(models_server, 'declared_shapes', inputs=[[1.0, 2.0, 5.0]])
    assert (code, answer) == (200, {'outputs': [[2.5, 3.0, 4.5]]})


def test_a_shape_that_tensorflow_refuses(models_server):
    code, answer = predict(models_server, 'declared_shapes', signature_name='product', instances=[1.0, 2.0, 5.0])
    assert code == 400
    assert answer['error'].endswith('; the signature declares x: [-1,1], the request has [3]')


def test_a_warm_up_of_such_a_shape(tmp_path, start):
    version = tmp_path / 'm' / '1'
    shutil.copytree(f'{TEST_MODELS}/declared_shapes/1', version)
    os.makedirs(version / 'warmup')
    (version / 'warmup' / 'rows.json').write_text('{"instances": [1.0, 2.0, 5.0]}')
    server = start({'m': str(version.parent)})
    assert predict(server, 'm', instances=[1.0]) == (200, {'predictions': [2.5]})


def test_signatures_that_cannot_be_served_are_left_out(models_server):
    assert predict(models_server, 'odd_signatures', instances=[1.5]) == (200, {'predictions': [3.0]})
    code, answer = predict(models_server, 'odd_signatures', signature_name='int4', instances=[1])
    assert code == 400 and '"int4" not found' in answer['error']
    assert "It is left out: the input 'x' has the type int4. The model has {" in answer['error']
    for name, reason in (('int4', "the input 'x' has the type int4"), ('none', "the input 'x' has the type number 999,"),
                         ('variant', "the output 'list' has the type variant")):
        assert f"the signature '{name}' cannot be served and is left out: {reason}" in models_server.log()


def test_sparse_and_ragged_inputs_are_sent_as_their_parts(models_server):
    sparse = {'s/indices': [[0, 1], [1, 2]], 's/values': [3.0, 4.0], 's/dense_shape': [2, 3]}
    assert predict(models_server, 'odd_signatures', signature_name='sparse', inputs=sparse) == (200, {'outputs': 7.0})
    ragged = {'r/flat_values': [5, 6, 7], 'r/row_splits_0': [0, 1, 3]}
    assert predict(models_server, 'odd_signatures', signature_name='ragged', inputs=ragged) == (
        200, {'outputs': [5, 6, 7]})
    code, answer = predict(models_server, 'odd_signatures', signature_name='sparse', inputs={'s': [1.0]})
    assert code == 400 and 's/dense_shape' in answer['error']


def test_a_model_without_signatures_says_so_in_each_refusal(start):
    """TensorFlow Serving serves it too: its metadata can be read, and each Predict is refused."""
    server = start({'tags': f'{TEST_MODELS}/tags'}, flags=['--saved_model_tags=bare'])
    note = ('The model has {}. Note: the SavedModel has no signatures, so every request to it fails: '
            'export it with signatures.')
    for name in ({}, {'signature_name': 'other'}):
        code, answer = predict(server, 'tags', instances=[1.0], **name)
        assert code == 400 and answer['error'].endswith(note)


def test_metadata_has_the_signatures_as_the_file_has_them(models_server):
    code, answer = models_server.get('/v1/models/odd_signatures/metadata')
    assert code == 200
    signatures = json.loads(answer)['metadata']['signature_def']['signature_def']
    assert set(signatures) == {'__saved_model_init_op', 'count', 'int4', 'missing', 'none', 'ragged', 'resource',
                               'serving_default', 'sparse', 'variant'}
    assert signatures['__saved_model_init_op']['outputs']['__saved_model_init_op']['name'] == 'init'
    assert signatures['sparse']['inputs']['s']['coo_sparse']['values_tensor_name'] == 'sparse/values:0'
    ragged = signatures['ragged']['inputs']['r']['composite_tensor']
    assert len(ragged['components']) == 2
    assert ragged['type_spec']['type_spec_class'] == 'RAGGED_TENSOR_SPEC'
    assert ragged['type_spec']['type_state']['tuple_value']['values'][1] == {'tensor_dtype_value': 'DT_INT64'}
    assert signatures['count']['outputs']['total']['dtype'] == 'DT_FLOAT_REF'


def test_a_graph_without_tags(start):
    server = start({'tags': f'{TEST_MODELS}/tags'}, flags=['--saved_model_tags='])
    assert predict(server, 'tags', instances=[1.0]) == (200, {'predictions': [5.0]})


def test_tensorflow_writes_no_lines_of_its_own(start):
    """Every line is JSON, from the first that TensorFlow writes while its library is opened."""
    server = start({'m': f'{TEST_MODELS}/prints'}, flags=['--log_format=json', '--log_level=debug'],
                   env={'TF_CPP_MIN_LOG_LEVEL': '0'})
    assert predict(server, 'm', instances=[1.5, 2.0]) == (200, {'predictions': [1.5, 2.0]})
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert any(line['level'] == 'debug' and re.match('tensorflow: model m: Reading SavedModel from', line['message'])
               for line in lines)
    # TensorFlow prints on a thread of its own.
    assert any(line['level'] == 'info' and re.fullmatch(r'tensorflow: (model m: )?x is \[1.5 2\]', line['message'])
               for line in lines)


def test_the_log_level_holds_for_tensorflow(start):
    server = start({'m': f'{TEST_MODELS}/prints'}, flags=['--log_level=error'], env={'TF_CPP_MIN_LOG_LEVEL': '0'})
    assert predict(server, 'm', instances=[1.5]) == (200, {'predictions': [1.5]})
    server.stop()
    assert server.log() == ''


def test_operations_of_tensorflow_text(start):
    server = start({'m': CASE_FOLD}, flags=[f'--tensorflow_op_libraries={TEXT_LIBRARIES}/_normalize_ops.so'])
    assert predict(server, 'm', instances=['Größe', 'ABC']) == (200, {'predictions': ['grösse', 'abc']})


def test_a_model_whose_operations_are_missing(tmp_path):
    def inspect(*flags):
        return subprocess.run([BINARY, 'inspect', *flags, CASE_FOLD], capture_output=True, text=True,
                              timeout=60 * SLOWNESS, check=False)
    assert "Op type not registered 'CaseFoldUTF8'" in inspect().stderr
    assert '--tensorflow_op_libraries' in inspect().stderr
    (tmp_path / 'bad.so').write_text('no code')
    bad = inspect(f'--tensorflow_op_libraries={tmp_path}')
    assert f'cannot load the operations of {tmp_path}/bad.so' in bad.stderr
    assert f'(--tensorflow_op_libraries={tmp_path})' in bad.stderr
