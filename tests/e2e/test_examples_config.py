# SPDX-License-Identifier: Apache-2.0
"""The settings `classify` and `regress` of a model, for models that take tensors."""
import os
import shutil

import numpy as np
import pytest

from clients import Client
from conftest import TEST_MODELS
from test_examples_grpc import (EXAMPLES, classify, classify_error, example, random_features, regress, run_onnx)

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]


def with_options(base_path, options):
    return f'base_path: "{base_path}" penstock {{ {options} }}'


@pytest.fixture(scope='module')
def client(tmp_path_factory):
    from penstock_server import Server
    folder = tmp_path_factory.mktemp('labelled')
    shutil.copytree(os.path.join(TEST_MODELS, 'features_onnx/1'), folder / 'model/1')
    (folder / 'model/1/labels.txt').write_text('low\nmiddle\nhigh\n', encoding='utf-8')
    models = {
        'features': with_options(folder / 'model', '''
            classify { scores: "logits" labels_file: "labels.txt"
                       feature { input: "age" name: "years" default_value: "3" }
                       feature { input: "pixels" default_value: "0.5" }
                       feature { input: "word" default_value: "none" } }
            regress { values: "value" }'''),
        'half': with_options('builtin:half_plus_two', '''
            classify { label: "a" label: "b" feature { input: "x" name: "number" } }'''),
        'text': with_options(f'{TEST_MODELS}/examples_tf2', '''
            classify { signature: "unnamed" examples: "text" scores: "out" label: "l" label: "r" label: "n" }'''),
    }
    with Server(folder / 'server', models) as server, Client(server) as connected:
        yield connected


def test_names_labels_and_scores(client):
    rows = random_features(50, seed=3)
    expected = run_onnx(rows)
    sent = [example(years=row['age'], **{name: row[name] for name in ('is_new', 'pixels', 'word')}) for row in rows]
    _, got = classify(client, 'features', sent)
    assert all([label for label, _ in row] == ['low', 'middle', 'high'] for row in got)
    np.testing.assert_array_equal(np.float32([[score for _, score in row] for row in got]), expected['logits'])
    np.testing.assert_array_equal(regress(client, 'features', [example(**row) for row in rows]), expected['value'][:, 0])


def test_defaults_for_missing_features(client):
    rows = [{'age': 3, 'is_new': 1, 'pixels': np.full(4, 0.5, np.float32), 'word': 'none'},
            {'age': 4, 'is_new': 0, 'pixels': np.full(4, 0.5, np.float32), 'word': 'none'}]
    _, got = classify(client, 'features', [example(is_new=1), example(is_new=0, years=4)])
    np.testing.assert_array_equal(np.float32([[score for _, score in row] for row in got]), run_onnx(rows)['logits'])
    assert 'example 0 has no feature "is_new"' in classify_error(client, 'features', [example(years=1)])[1]


def test_a_built_in_model(client):
    assert classify(client, 'half', [example(number=[2.0, 4.0])])[1] == [[('a', 3.0), ('b', 4.0)]]
    assert 'match in dim_size(1). Got 2 vs. 1' in classify_error(client, 'half', [example(number=1.0)])[1]


def test_serialized_examples_for_a_signature_of_another_method(client, models):
    expected = [[score for _, score in row] for row in classify(models, 'examples_tf2', EXAMPLES)[1]]
    _, got = classify(client, 'text', EXAMPLES, 'unnamed')
    assert [[label for label, _ in row] for row in got] == [['l', 'r', 'n']] * 3
    assert [[score for _, score in row] for row in got] == expected


def test_settings_that_do_not_fit_fail_the_load(start):
    server = start({'half': with_options('builtin:half_plus_two', 'classify { scores: "z" }')}, ready=False)
    server.wait_for('half', 1, 'START')
    text = server.get('/v1/models/half')[1]
    assert "penstock { classify { ... } } does not fit the model: the signature 'serving_default' has no output 'z'" in text
