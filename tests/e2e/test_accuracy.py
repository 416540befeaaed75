# SPDX-License-Identifier: Apache-2.0
"""The digits models keep, through the server, the accuracy that their README states, and answer as the runtimes do."""
import os
import re
import sys

import numpy as np
import pytest

from conftest import SAMPLES

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]
VERSIONS = (1, 2)
ROWS = 50  # of a request


@pytest.fixture(scope='module')
def held_out():
    sys.path.insert(0, os.path.join(SAMPLES, 'digits'))
    try:
        import data
    finally:
        sys.path.pop(0)
    _, _, images, labels = data.load()
    assert len(labels) == 450
    return images, labels


@pytest.fixture(scope='module')
def stated():
    """{version: right of 450}, from the README's table."""
    with open(os.path.join(SAMPLES, 'digits', 'README.md'), encoding='utf-8') as file:
        rows = re.findall(r'^\| (\d+) \| \d+ \| \d+ \| (\d+) \| ([0-9.]+) % \|$', file.read(), re.MULTILINE)
    stated = {int(version): int(right) for version, right, _ in rows}
    assert sorted(stated) == list(VERSIONS)
    for version, right, percent in rows:
        assert float(percent) >= 97 and abs(450 * float(percent) / 100 - int(right)) < 0.05
    return stated


@pytest.fixture(scope='module')
def direct(held_out):
    """{(model, version): (probabilities, labels)} by TensorFlow and ONNX Runtime in this process."""
    import onnxruntime
    import tensorflow as tf
    images, answers = held_out[0], {}
    for version in VERSIONS:
        loaded = tf.saved_model.load(os.path.join(SAMPLES, 'digits', str(version)))
        outputs = loaded.signatures['serving_default'](images=tf.constant(images))
        answers['digits', version] = outputs['probabilities'].numpy(), outputs['label'].numpy()
        session = onnxruntime.InferenceSession(os.path.join(SAMPLES, 'digits_onnx', str(version), 'model.onnx'))
        answers['digits_onnx', version] = tuple(session.run(['probabilities', 'label'], {'images': images}))
    return answers


def check(outputs, labels, stated_right, direct_outputs):
    probabilities, label = outputs
    assert int(np.sum(label == labels)) == stated_right
    np.testing.assert_array_equal(label, direct_outputs[1])
    # The batch size decides how the runtimes add up, hence not bit by bit.
    np.testing.assert_allclose(probabilities, direct_outputs[0], rtol=0, atol=2e-6)


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_accuracy_over_grpc(models, held_out, stated, direct, model, version):
    images, labels = held_out
    parts = [models.predict(model, {'images': images[i:i + ROWS]}, version=version)
             for i in range(0, len(images), ROWS)]
    outputs = [np.concatenate([part[name] for part in parts]) for name in ('probabilities', 'label')]
    check(outputs, labels, stated[version], direct[model, version])


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_accuracy_over_rest(models_server, held_out, stated, direct, model, version):
    images, labels = held_out
    probabilities, label = [], []
    for i in range(0, len(images), ROWS):
        status, answer = models_server.rest_predict(model, {'instances': images[i:i + ROWS].tolist()},
                                                    f'/versions/{version}')
        assert status == 200, answer
        probabilities += [row['probabilities'] for row in answer['predictions']]
        label += [row['label'] for row in answer['predictions']]
    check((np.array(probabilities, np.float32), np.array(label)), labels, stated[version], direct[model, version])


@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_all_images_in_one_request(models, held_out, direct, model):
    images = held_out[0]
    for version in VERSIONS:
        whole = models.predict(model, {'images': images}, version=version)
        np.testing.assert_allclose(whole['probabilities'], direct[model, version][0], rtol=0, atol=1e-6)
        again = models.predict(model, {'images': images}, version=version)
        np.testing.assert_array_equal(whole['probabilities'], again['probabilities'])
