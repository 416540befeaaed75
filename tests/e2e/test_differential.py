# SPDX-License-Identifier: Apache-2.0
"""The same random requests through Python's TensorFlow and through the server, in every form that a request may have:
the tensors are equal, bit by bit, or both refuse the request.

A run sends few requests. For a long one, with other requests:

    PENSTOCK_RANDOM_REQUESTS=500 PENSTOCK_RANDOM_SEED=7 python -m pytest tests/e2e/test_differential.py
"""
import http.client
import io
import json
import os
import zlib

import grpc
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from clients import content_proto, predict_request, value_proto
from conftest import SAMPLES, TEST_MODELS, folders
from penstock_server import SLOWNESS
from random_requests import RandomInputs, Reference
from test_rest import as_array, as_json

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]

# Requests for each model; each goes through all forms.
REQUESTS = int(os.environ.get('PENSTOCK_RANDOM_REQUESTS', 40))
SEED = int(os.environ.get('PENSTOCK_RANDOM_SEED', 0))

# What random inputs of a model must be like: see RandomInputs.
OPTIONS = {'dtypes': {'values': 'any'}, 'shapes': {'values': 'any'},
           'digits': {'values': 'narrow'}, 'convolution': {'values': 'narrow'}, 'many_outputs': {'values': 'narrow'},
           'half_plus_two': {'examples': 1}, 'examples_tf1': {'examples': 2},
           'examples_tf2': {'examples': 2}}
LEFT_OUT = {'counter': 'has state', 'mutable_table': 'has state', 'noise': 'answers random numbers',
            'seeded_noise': 'answers random numbers', 'odd_signatures': 'its tensors are sent in parts',
            'loop': 'after many short runs a deadline cannot stop a long one, which other tests need'}


def saved_models():
    """(name, version, folder) of every SavedModel."""
    for name, base in {**folders(SAMPLES), **folders(TEST_MODELS)}.items():
        for version in sorted(each for each in os.listdir(base) if each.isdigit()):
            folder = os.path.join(base, version)
            if name not in LEFT_OUT and os.path.exists(os.path.join(folder, 'saved_model.pb')):
                yield name, int(version), folder


# ------------------------------------------------------------------------------------------ forms

class CannotCarry(Exception):
    """The form has no way to write this request or this answer."""


class Refused(Exception):
    """The server answered with an error."""


class Forms:
    """Each public method sends the inputs in one form, and returns {output: array}. `expected` has the outputs of
    TensorFlow, from which JSON's answers get their types; it is empty if TensorFlow refuses the request."""

    def __init__(self, server, client):
        self.client = client
        self.connection = http.client.HTTPConnection('127.0.0.1', server.rest_port, timeout=30 * SLOWNESS)

    def select(self, model, version, signature):
        self.model, self.version, self.signature = model, version, signature

    def grpc_values(self, inputs, expected):
        return self._grpc(inputs, value_proto)

    def grpc_content(self, inputs, expected):
        return self._grpc(inputs, content_proto)

    def rest_values(self, inputs, expected):
        return self._protobuf(inputs, value_proto)

    def rest_content(self, inputs, expected):
        return self._protobuf(inputs, content_proto)

    def rest_rows(self, inputs, expected):
        sizes = {array.shape[:1] for array in inputs.values()}
        if len(sizes) != 1 or not sizes.isdisjoint([(), (0,)]):
            raise CannotCarry
        columns = self._columns(inputs, expected)
        counts = {array.shape[:1] for array in (expected or inputs).values()}
        if len(counts) != 1 or () in counts:
            raise CannotCarry
        rows = [{name: column[i] for name, column in columns.items()} for i in range(sizes.pop()[0])]
        answer = self._json({'instances': rows})['predictions']
        if len(expected) == 1:
            return self._arrays({name: answer for name in expected}, expected)
        return self._arrays({name: [row[name] for row in answer] for name in expected}, expected)

    def rest_columns(self, inputs, expected):
        answer = self._json({'inputs': self._columns(inputs, expected)})['outputs']
        return self._arrays(answer if len(expected) > 1 else {name: answer for name in expected}, expected)

    def npy(self, inputs, expected):
        if len(inputs) != 1 or len(expected or inputs) != 1:
            raise CannotCarry
        file = io.BytesIO()
        np.save(file, for_numpy(*inputs.values()))
        answer = np.load(io.BytesIO(self._post(file.getvalue(), 'application/x-npy')))
        return {name: from_numpy(answer, array) for name, array in expected.items()}

    def npz(self, inputs, expected):
        file = io.BytesIO()
        np.savez(file, **{name: for_numpy(array) for name, array in inputs.items()})
        answer = np.load(io.BytesIO(self._post(file.getvalue(), 'application/x-npz')))
        return {name: from_numpy(answer[name], array) for name, array in expected.items()}

    def _request(self, inputs, to_proto):
        protos = {name: to_proto(type_of(array), array) for name, array in inputs.items()}
        return predict_request(self.model, protos, signature=self.signature, version=self.version)

    def _grpc(self, inputs, to_proto):
        try:
            response = self.client.stub.Predict(self._request(inputs, to_proto), timeout=30 * SLOWNESS)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
            raise Refused(error.details()) from error
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def _post(self, body, content_type):
        query = '' if content_type.endswith(('json', 'protobuf')) else f'?signature_name={self.signature}'
        self.connection.request('POST', f'/v1/models/{self.model}/versions/{self.version}:predict{query}', body,
                                {'content-type': content_type})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            assert response.status == 400, answer
            raise Refused(json.loads(answer)['error'])
        return answer

    def _protobuf(self, inputs, to_proto):
        body = self._request(inputs, to_proto).SerializeToString()
        response = predict_pb2.PredictResponse.FromString(self._post(body, 'application/x-protobuf'))
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def _columns(self, inputs, expected):
        """The inputs as lists of JSON."""
        if not all(is_json(array) for array in inputs.values()):
            raise CannotCarry
        if not all(type_of(array) != 'string' or all(is_text(each) for each in array.ravel())
                   for array in expected.values()):
            raise CannotCarry
        with np.errstate(invalid='ignore'):
            return {name: as_json(type_of(array), array) for name, array in inputs.items()}

    def _json(self, body):
        return json.loads(self._post(json.dumps({**body, 'signature_name': self.signature}), 'application/json'))

    def _arrays(self, answer, expected):
        arrays = {name: as_array(type_of(array), answer[name]) for name, array in expected.items()}
        for name, array in expected.items():
            if not array.size:  # the lists of JSON end at the first size that is 0
                assert arrays[name].size == 0 and arrays[name].shape == array.shape[:arrays[name].ndim]
                arrays[name] = array
        return arrays


FORMS = [name for name in vars(Forms) if not name.startswith('_') and name != 'select']


def type_of(array):
    return 'string' if array.dtype == object else array.dtype.name


def is_text(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_json(array):
    """JSON has no complex numbers, and lists of nothing have no further sizes."""
    return array.dtype.kind != 'c' and 0 not in array.shape[:-1]


def for_numpy(array):
    """numpy's own strings end at the last byte that is not 0."""
    if array.dtype != object:
        return array
    if any(each.endswith(b'\0') for each in array.ravel()):
        raise CannotCarry
    return array.astype('S') if array.size else np.empty(array.shape, 'S1')


def from_numpy(array, expected):
    if expected.dtype == object:
        if any(each.endswith(b'\0') for each in expected.ravel()):
            raise CannotCarry
        return array.astype(object)
    return array.view(ml_dtypes.bfloat16) if expected.dtype == ml_dtypes.bfloat16 else array


# ------------------------------------------------------------------------------------------ the test

def bits(array):
    """Bytes that are equal if the arrays are. All NaN are equal, as JSON has only one."""
    if array.dtype == object:
        return array.tolist()
    if array.dtype.kind not in 'iub':
        with np.errstate(invalid='ignore'):  # NaN that signal
            array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.tobytes()


def check(what, got, expected):
    assert expected is not None, ('TensorFlow refuses this request', what)
    assert sorted(got) == sorted(expected), what
    for name, array in expected.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape, (what, name)
        assert bits(got[name]) == bits(array), (what, name, got[name], array)


@pytest.fixture(scope='module')
def forms(models_server, models):
    forms = Forms(models_server, models)
    yield forms
    forms.connection.close()


@pytest.mark.parametrize('model, version, folder', [pytest.param(*each, id=f'{each[0]}/{each[1]}')
                                                    for each in saved_models()])
@pytest.mark.timeout(120 * SLOWNESS + REQUESTS)
def test_tensors_equal_those_of_tensorflow(forms, model, version, folder):
    reference = Reference(folder)
    make = RandomInputs([SEED, zlib.crc32(model.encode())], reference, **OPTIONS.get(model, {}))
    carried = dict.fromkeys(FORMS, 0)
    signatures = sorted(reference.signatures)
    for number in range(REQUESTS):
        signature = signatures[number % len(signatures)]
        forms.select(model, version, signature)
        inputs = make.make(signature)
        expected = reference.run(signature, inputs)
        for form in FORMS:
            what = (form, number, signature, inputs)
            try:
                check(what, getattr(forms, form)(inputs, expected or {}), expected)
            except CannotCarry:
                continue
            except Refused as refusal:
                assert expected is None, (*what, refusal)
            carried[form] += 1
    reference.close()
    print(carried)
    assert all(carried[form] == REQUESTS for form in ('grpc_values', 'grpc_content', 'rest_values', 'rest_content'))
    assert carried['rest_columns'] > REQUESTS / 3


def test_every_saved_model_is_compared_or_has_a_reason():
    compared = {name for name, _, _ in saved_models()}
    assert len(compared) > 15 and not compared & LEFT_OUT.keys()
    assert OPTIONS.keys() <= compared
