# SPDX-License-Identifier: Apache-2.0
""":classify and :regress with `requests`, compared with what gRPC answers for the same Examples."""
import json

import numpy as np
import pytest
import requests

from test_examples_grpc import classify, example, random_features, regress, run_onnx

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]


@pytest.fixture(scope='module')
def post(models_server):
    session = requests.Session()

    def call(path, body):
        """(status, parsed answer)"""
        answer = session.post(f'http://127.0.0.1:{models_server.rest_port}/v1/models/{path}',
                              data=body if isinstance(body, str) else json.dumps(body), timeout=60)
        return answer.status_code, answer.json()
    with session:
        yield call


ROWS = [{'x': [1.0, 2.0], 'bonus': 3.0, 'name': 'Größe'}, {'x': [-1.0, 0.25]},
        {'x': [0.0, 0.0], 'name': {'b64': 'bg=='}, 'unused': [True, 2]}]
SENT = [example(x=[1.0, 2.0], bonus=3.0, name='Größe'), example(x=[-1.0, 0.25]), example(x=[0.0, 0.0], name='n')]


@pytest.mark.parametrize('model, signature', [('examples_tf1', None), ('examples_tf1', 'only_scores'),
                                              ('examples_tf1', 'only_classes'), ('examples_tf2', None)])
def test_classify_answers_as_grpc(models, post, model, signature):
    body = {'examples': ROWS, **({'signature_name': signature} if signature else {})}
    status, answer = post(f'{model}:classify', body)
    assert status == 200 and list(answer) == ['results']
    expected = classify(models, model, SENT, signature or '')[1]
    assert [[label for label, _ in row] for row in answer['results']] == [[label for label, _ in row] for row in expected]
    np.testing.assert_array_equal(np.float32([[score for _, score in row] for row in answer['results']]),
                                  [[score for _, score in row] for row in expected])


def test_regress_with_a_context(models, post):
    body = {'examples': [{}, {'x': [1.0, 2.0]}], 'context': {'x': [5.0, 6.0], 'bonus': 1.0},
            'signature_name': 'value'}
    assert post('examples_tf1/versions/1:regress', body) == (200, {'results': [12.0, 4.0]})
    assert regress(models, 'examples_tf1', [example(), example(x=[1.0, 2.0])], 'value',
                   context=example(x=[5.0, 6.0], bonus=1.0)) == [12.0, 4.0]


def test_an_onnx_model(post):
    rows = random_features(200, seed=2)
    expected = run_onnx(rows)
    sent = [{**row, 'is_new': bool(row['is_new']), 'pixels': [float(each) for each in row['pixels']]} for row in rows]
    status, answer = post('features_onnx:classify', {'examples': sent})
    assert status == 200
    np.testing.assert_array_equal(np.float32([[score for _, score in row] for row in answer['results']]),
                                  expected['scores'])
    status, answer = post('features_onnx:regress', {'examples': sent})
    np.testing.assert_array_equal(np.float32(answer['results']), expected['value'][:, 0])


def test_whole_numbers_are_taken_for_floats(post):
    assert post('half:regress', {'examples': [{'x': 2}, {'x': 5}]}) == (200, {'results': [3.0, 4.5]})


def test_errors(post):
    for path, body, status, text in (
            ('examples_tf1:classify', '', 400, 'JSON Parse error: The document is empty'),
            ('examples_tf1:classify', {}, 400, "key 'examples' is expected and was not found"),
            ('examples_tf1:classify', {'examples': []}, 400, "'examples' value is an empty array"),
            ('examples_tf1:regress', {'examples': [{'x': [1, 2.5]}]}, 400,
             'Unexpected element type in feature: x expecting type: int64'),
            ('examples_tf1:classify', {'examples': [{'x': None}]}, 400,
             'Feature: x has element with unexpected JSON type: Null'),
            ('examples_tf1:classify', {'examples': [{'bonus': 1.0}]}, 400, 'Feature: x (data type: float) is required'),
            ('examples_tf1:regress', {'examples': [{'x': [1.0, 2.0]}]}, 400,
             'Expected regression signature method_name to be tensorflow/serving/regress. Was: '
             'tensorflow/serving/classify'),
            ('features_onnx:classify', {'examples': [{'age': 1.5}]}, 400,
             'example 0: the feature "age" has 1 value(s) of float, but the input "age" takes 1 value(s) of int64'),
            ('no_model:classify', {'examples': [{}]}, 404, 'Servable not found for request: Latest(no_model)')):
        got, answer = post(path, body)
        assert got == status and text in answer['error'], (path, body, answer)
