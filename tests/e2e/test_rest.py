# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Serving's REST API through the requests library: values, errors, status and metadata."""
import base64
import json
import math

import numpy as np
import pytest
import requests
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2
from tensorflow_serving.apis.model_pb2 import ModelSpec

from clients import TYPES, content_proto, numpy_type, values_of
from penstock_server import SLOWNESS

runtimes = pytest.mark.runtimes
JSON_TYPES = [name for name in TYPES if not name.startswith('complex')]
SHAPES = [(), (1,), (5,), (0,), (2, 3), (2, 0), (1, 1, 2, 1)]


class Rest:
    """Calls on one kept connection."""

    def __init__(self, server):
        self.base = f'http://127.0.0.1:{server.rest_port}'
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, method, path, body=None, **options):
        data = json.dumps(body) if isinstance(body, dict) else body
        return self.session.request(method, self.base + path, data=data, timeout=30 * SLOWNESS, **options)

    def predict(self, model, body, path=''):
        """(status, parsed answer)"""
        response = self.ask('POST', f'/v1/models/{model}{path}:predict', body)
        assert response.headers['content-type'] == 'application/json'
        return response.status_code, response.json()

    def outputs(self, model, inputs, **options):
        """What a whole-tensor request is answered with."""
        status, answer = self.predict(model, {'inputs': inputs, **options})
        assert status == 200, answer
        assert list(answer) == ['outputs']
        return answer['outputs']

    def predictions(self, model, instances, **options):
        """What rows are answered with."""
        status, answer = self.predict(model, {'instances': instances, **options})
        assert status == 200, answer
        assert list(answer) == ['predictions']
        return answer['predictions']

    def error(self, model, body, path=''):
        """(status, text) of a request that must fail."""
        status, answer = self.predict(model, body, path)
        assert list(answer) == ['error'], answer
        return status, answer['error']

    def get(self, path):
        response = self.ask('GET', path)
        assert response.headers['content-type'] == 'application/json'
        return response.status_code, response.text


@pytest.fixture(scope='module')
def rest(models_server):
    client = Rest(models_server)
    yield client
    client.session.close()


@pytest.fixture(scope='module')
def plain(builtin_server):
    client = Rest(builtin_server)
    yield client
    client.session.close()


def as_json(name, array):
    """The form in which a request carries an array; strings as base64, since they may be any bytes."""
    if name == 'string':
        flat = [{'b64': base64.b64encode(each).decode()} for each in array.ravel()]
        return np.array(flat, object).reshape(array.shape).tolist() if array.size else array.tolist()
    if numpy_type(name).kind in 'iub':
        return array.tolist()
    return array.astype(np.float64).tolist()


def as_array(name, value):
    """What an answer carries."""
    if name != 'string':
        return np.array(value, dtype=numpy_type(name))
    array = np.array(value, dtype=object)
    flat = [base64.b64decode(each['b64']) if isinstance(each, dict) else each.encode() for each in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)


def text_values(shape):
    texts = [b'', b'plain', 'Größe 北京 😀'.encode(), b'"\\/\b\f\n\r\t\x7f', b'x' * 300]
    return np.resize(np.array(texts, object), shape)


# ------------------------------------------------------------------------------------------ values

@pytest.mark.parametrize('x, y', [([1.0, 2.0, 5.0], [2.5, 3.0, 4.5]), ([[1], [2]], [[2.5], [3.0]]), ([[]], [[]]),
                                  ([[[1.5], [3]]], [[[2.75], [3.5]]])], ids=str)
def test_rows_of_one_input(plain, x, y):
    assert plain.predictions('half', x) == y
    assert plain.predictions('half', [{'x': row} for row in x]) == y


@pytest.mark.parametrize('x, y', [(1.0, 2.5), ([1.0, 5], [2.5, 4.5]), ([], []), ([[], []], [[], []]),
                                  ([[1], [2]], [[2.5], [3.0]])], ids=str)
def test_columns_of_one_input(plain, x, y):
    assert plain.outputs('half', x) == y
    assert plain.outputs('half', {'x': x}) == y
    assert plain.outputs('half', {'x': x, 'nobody asked': [{'for': None}]}) == y


def test_whole_floats_keep_their_point(plain):
    assert plain.ask('POST', '/v1/models/half:predict', '{"instances":[2]}').text.split() == ['{"predictions":[3.0]}']


def test_keys_in_any_order_and_unknown_ones(plain):
    body = '\n {"a": [{"instances": 3}], "instances": [1],\t"signature_name": "serving_default", "b": null} rest'
    assert plain.predict('half', body) == (200, {'predictions': [2.5]})


@pytest.mark.parametrize('name', JSON_TYPES)
@runtimes
def test_every_type_equals_grpc(rest, models, name):
    for shape in SHAPES:
        array = text_values(shape) if name == 'string' else values_of(name, shape)
        expected = models.predict('dtypes', {'x': content_proto(name, array)}, signature=name)['y']
        x = as_json(name, array)
        got = as_array(name, rest.outputs('dtypes', x, signature_name=name))
        np.testing.assert_array_equal(got.reshape(shape) if 0 in shape else got, expected)
        if shape and shape[0] > 0:
            got = as_array(name, rest.predictions('dtypes', [{'x': row} for row in x], signature_name=name))
            np.testing.assert_array_equal(got.reshape(shape) if 0 in shape else got, expected)


@runtimes
def test_all_types_at_once_equal_grpc(rest, models):
    arrays = {name: text_values((2, 3)) if name == 'string' else values_of(name, (2, 3)) for name in JSON_TYPES}
    expected = models.predict('dtypes_onnx', {name: content_proto(name, each) for name, each in arrays.items()})
    columns = rest.outputs('dtypes_onnx', {name: as_json(name, each) for name, each in arrays.items()})
    rows = rest.predictions('dtypes_onnx', [
        {name: as_json(name, each)[row] for name, each in arrays.items()} for row in range(2)])
    assert sorted(columns) == sorted(rows[0]) == sorted(expected)
    for name in JSON_TYPES:
        np.testing.assert_array_equal(as_array(name, columns['out_' + name]), expected['out_' + name])
        np.testing.assert_array_equal(as_array(name, [row['out_' + name] for row in rows]), expected['out_' + name])


@runtimes
@pytest.mark.parametrize('name, bits', [('float32', np.uint32), ('float64', np.uint64), ('float16', np.uint16),
                                        ('bfloat16', np.uint16)])
def test_any_float_survives_the_round_trip(rest, name, bits):
    random = np.random.default_rng(11).integers(0, np.iinfo(bits).max, 2000, bits, endpoint=True)
    array = random.view(numpy_type(name))
    with np.errstate(invalid='ignore'):
        array = array[np.isfinite(array.astype(np.float64))]
    got = as_array(name, rest.outputs('dtypes', as_json(name, array), signature_name=name))
    np.testing.assert_array_equal(got.view(bits), array.view(bits))


@runtimes
@pytest.mark.parametrize('name', ['float32', 'float64', 'float16', 'bfloat16'])
def test_infinities_and_nan(rest, name):
    got = rest.outputs('dtypes', [math.nan, math.inf, -math.inf, 1e400, -1e400], signature_name=name)
    assert math.isnan(got[0]) and got[1:] == [math.inf, -math.inf, math.inf, -math.inf]
    text = rest.ask('POST', '/v1/models/dtypes:predict',
                    '{"signature_name":"%s","instances":[NaN,Infinity,-Infinity,1e400,1e-400]}' % name).text
    assert text.split() == ['{"predictions":[NaN,Infinity,-Infinity,Infinity,0.0]}']


@runtimes
def test_floats_are_rounded_to_the_nearest(rest):
    numbers = ['0.1', '16777217', '123456789.123456789', '1e39', '1e-46', '7.038531e-26', '-0.0',
               '1.00000017881393432617187499']
    text = '{"inputs":[' + ','.join(numbers) + '],"signature_name":"float32"}'
    status, answer = rest.predict('dtypes', text)
    assert status == 200
    expected = np.array([0.1, 16777216, 123456792, math.inf, 0, 7.038531e-26, -0.0, 1.0000001], np.float32)
    np.testing.assert_array_equal(np.array(answer['outputs'], np.float32).view(np.uint32), expected.view(np.uint32))


@runtimes
def test_several_outputs(rest, models):
    x = np.array([1, 2, -5], np.float32)
    expected = models.predict('many_outputs', {'x': x})
    columns = rest.outputs('many_outputs', x.tolist())
    assert sorted(columns) == sorted(expected)
    for name, array in expected.items():
        assert columns[name] == [each.decode() if isinstance(each, bytes) else each for each in array.tolist()] \
            if array.shape else columns[name] == array
    # One of the outputs is a scalar, which has no rows.
    status, text = rest.error('many_outputs', {'instances': x.tolist()})
    assert status == 400 and 'total' in text and 'no shape information' in text


@runtimes
@pytest.mark.parametrize('model', ['scalars', 'scalars_onnx'])
def test_scalars(rest, model):
    assert rest.outputs(model, {'a': 3, 'b': 0.5}) == {'sum': 3.5, 'product': 1.5}


@runtimes
def test_tensorflow_decides_whether_a_scalar_may_have_rows(rest):
    assert rest.predictions('scalars', [{'a': 3, 'b': 0.5}]) == [{'product': 1.5, 'sum': 3.5}]
    assert rest.outputs('half_plus_two', 1.0) == 2.5


@runtimes
def test_the_answer_may_have_other_rows(rest):
    assert rest.predictions('shapes', [[1, 2, 3]]) == [1, 3]
    assert rest.outputs('shapes', [[], []]) == [2, 0]
    assert rest.outputs('shapes', 5) == []
    assert rest.outputs('shapes', [[1, 2, 3], [4, 5, 6]], signature_name='transpose') == [[1, 4], [2, 5], [3, 6]]
    # No rows in the answer at all.
    assert rest.predictions('shapes', [[], []], signature_name='transpose') == []


@runtimes
def test_inputs_that_may_be_left_out(rest):
    assert rest.predictions('defaults', [1, 2]) == [2.5, 3.0]
    assert rest.outputs('defaults', {'x': [1, 2], 'term': 1}) == [1.5, 2.0]


@runtimes
@pytest.mark.parametrize('model', ['lower_case', 'lower_case_onnx'])
def test_strings(rest, model):
    encoded = {'b64': base64.b64encode('GRÖSSE'.encode()).decode()}
    for rows in (['Größe', encoded], [{'text': 'Größe'}, {'text': encoded}]):
        got = [row['lower'] if isinstance(row, dict) else row for row in rest.predictions(model, rows)]
        assert got == ['größe', 'grösse']
    assert rest.predict(model, '{"inputs": ["\\u0041\\ud83d\\ude00\\n"]}')[1]['outputs'] in (
        ['a😀\n'], {'lower': ['a😀\n'], 'bytes': [6]})


def test_bytes(plain):
    data = {'b64': base64.b64encode(bytes(range(256))).decode()}
    assert plain.outputs('identity', {'any_bytes': data, 'n': 3}) == {'any_bytes': data, 'n': 3}
    assert plain.predictions('identity', [{'any_bytes': data}, {'any_bytes': 'text'}]) == [data, {'b64': 'dGV4dA=='}]
    # An output of another name can carry text only.
    assert plain.predictions('identity', [{'b64': 'dGV4dA=='}]) == ['text']
    status, text = plain.error('identity', {'instances': [data]})
    assert status == 400 and 'UTF-8' in text and '_bytes' in text


def test_a_model_of_any_inputs_takes_types_from_the_values(plain):
    inputs = {'ints': [1, -2], 'floats': [1, 2.5], 'flags': [[True], [False]], 'texts': ['a', ''], 'one': 7}
    assert plain.outputs('identity', inputs) == inputs
    rows = [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    assert plain.predictions('identity', rows) == rows


# ------------------------------------------------------------------------------------------ versions, labels, names

@runtimes
@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_versions_and_labels(rest, models, model):
    images = np.random.default_rng(3).random((2, 8, 8), np.float32)
    for path, choice in (('', {'version': 2}), ('/versions/1', {'version': 1}), ('/versions/2', {'version': 2}),
                         ('/labels/stable', {'version': 1}), ('/labels/canary', {'version': 2})):
        expected = models.predict(model, {'images': images}, **choice)
        status, answer = rest.predict(model, {'instances': images.tolist()}, path)
        assert status == 200, answer
        for name, array in expected.items():
            got = np.array([row[name] for row in answer['predictions']], array.dtype)
            np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize('path, status, text', [
    ('/versions/2', 404, 'Servable not found for request: Specific(half, 2)'),
    ('/versions/007', 404, 'Servable not found for request: Specific(half, 7)'),
    ('/versions/9223372036854775807', 404, 'Specific(half, 9223372036854775807)'),
    ('/versions/9223372036854775808', 400, '2^63 - 1'), ('/versions/' + '9' * 1000, 400, '2^63 - 1'),
    ('/versions/-1', 400, 'version must be a number'), ('/versions/one', 400, 'version must be a number'),
    ('/labels/stable', 400, 'Unrecognized servable version label: stable')])
def test_unknown_versions_and_labels(plain, path, status, text):
    got = plain.error('half', {'instances': [1]}, path)
    assert got[0] == status and text in got[1]


def test_names_are_percent_decoded(start):
    names = ['with space', 'Größe', 'a:b', 'per%cent', 'plus+sign']
    rest = Rest(start({name: 'builtin:half_plus_two' for name in names}))
    for name in names:
        path = f'/v1/models/{requests.utils.quote(name, safe="")}'
        response = rest.ask('POST', path + ':predict', {'instances': [1]})
        assert (response.status_code, response.text.split()) == (200, ['{"predictions":[2.5]}'])
        assert rest.get(path)[0] == rest.get(path + '/metadata')[0] == 200
    listed = json.loads(rest.get('/v1/models')[1])['models']
    assert [each['name'] for each in listed] == sorted(names)
    rest.session.close()


def test_a_byte_order_mark_before_a_body_is_skipped(plain):
    response = plain.ask('POST', '/v1/models/half:predict', b'\xef\xbb\xbf{"instances":[1]}')
    assert response.json() == {'predictions': [2.5]}


def test_the_colon_before_a_verb_may_be_encoded(plain):
    for path in ('/v1/models/half%3Apredict', '/v1/models/half/versions/1%3apredict'):
        assert plain.ask('POST', path, {'instances': [1]}).json() == {'predictions': [2.5]}


def test_post_without_a_verb_says_which_is_meant(plain):
    response = plain.ask('POST', '/v1/models/half', {'instances': [1]})
    assert (response.status_code, response.headers['allow']) == (405, 'GET, HEAD')
    assert response.json()['error'].endswith('to run the model, POST /v1/models/half:predict')


def test_errors_have_one_layout(plain):
    # That of TensorFlow Serving: from a front end, from a page for operators, and from HTTP itself.
    for method, path, body in (('POST', '/v1/models/half:predict', '{'), ('GET', '/v1/models/nobody', None),
                               ('POST', '/v1/models/half', '{}'), ('GET', '/readyz/models/nobody', None),
                               ('GET', '/nothing', None), ('POST', '/healthz', '{}')):
        response = plain.ask(method, path, body)
        assert response.status_code >= 400
        assert response.text == json.dumps(response.json(), indent=4, ensure_ascii=False), path
        assert list(response.json()) == ['error']


def test_paths_match_in_any_case_and_queries_are_ignored(plain):
    for path in ('/V1/Models/half:predict', '/v1/MODELS/half/Versions/1:predict', '/v1/models/half:predict?key=a:b/c',
                 '/v1/models/half:predict?'):
        assert plain.ask('POST', path, {'instances': [1]}).json() == {'predictions': [2.5]}
    assert plain.get('/v1/models/half?pretty=1')[0] == plain.get('/v1/models/half/metadata?x')[0] == 200


# ------------------------------------------------------------------------------------------ errors

@pytest.mark.parametrize('body, text', [
    ('', 'JSON Parse error: The document is empty'), (' ', 'JSON Parse error: The document is empty'),
    ('[1]', 'JSON Value: [1] Is not object'), ('{', 'JSON Parse error'), ('{"instances":[1}', 'JSON Parse error'),
    ('{}', "Missing 'inputs' or 'instances' key"),
    ({'instances': [1], 'inputs': [1]},
     "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"),
    ({'instances': []}, "No values in 'instances' array"),
    ({'instances': 1}, "Excepting 'instances' to be an list/array"),
    ({'instances': {'x': 1}}, "Excepting 'instances' to be an list/array"),
    ({'instances': [1, 'a']}, "Failed to process element: 1 of 'instances' list"),
    ({'instances': [1, 'a']}, 'JSON Value: "a" Type: String is not of expected type: float'),
    ({'instances': [1, None]}, 'Type: Null is not of expected type: float'),
    ({'instances': [True]}, 'Type: True is not of expected type: float'),
    ({'instances': [1, [2]]}, 'Expecting shape [] but got: [1]'),
    ({'instances': [[1, 2], [3]]}, 'Expecting tensor size: 2 but got: 1'),
    ({'inputs': [[1, 2], [3]]}, 'unexpected size: 1 at level: 1'),
    ({'inputs': [[1], 2]}, 'found at incorrect level: 1 in the JSON DOM. Expected at level: 2'),
    ({'instances': [{'x': 1}, 2]}, 'Expecting object but got list at item 1 of input list'),
    ({'instances': [2, {'x': 1}]}, 'Expecting value/list but got object at item 1 of input list'),
    ({'instances': [{'x': 1}, {'x': [1]}]}, 'element: 1 key: x'),
    ({'instances': [{'x': 1}, {'y': 1}]}, 'does not have named input: y'),
    ({'instances': [{'x': 1, 'y': 1}]}, 'does not have named input: y'),
    ({'instances': [{}]}, 'JSON object: {} keys must be equal to: x'), ('{"instances":[{"x":1,"x":2}]}', 'twice'),
    ('{"inputs":{"x":1,"x":2}}', 'twice'), ('{"instances":[1],"instances":[2]}', ''),
    ({'inputs': {'y': 1}}, 'Missing named input: x'), ({'inputs': {}}, 'Missing named input: x'),
    ({'instances': [{'b64': 'AAAA'}]}, 'expected type: float'),
    ({'inputs': [1, [2]]}, 'Encountered list at unexpected level: 1 expected < 1'),
    ({'instances': [1], 'signature_name': 5}, "not formatted correctly. 'signature_name' key must be a string value"),
    ({'instances': [1], 'signature_name': 'none'}, 'Serving signature name: "none" not found in signature def')],
    ids=str)
def test_errors_of_a_body(plain, body, text):
    status, got = plain.error('half', body)
    assert status == 400 and text in got
    assert plain.predictions('half', [1]) == [2.5]


@runtimes
@pytest.mark.parametrize('signature, value, text', [
    ('int8', '128', 'its range is -128 to 127'), ('uint8', '-1', 'range is 0 to 255'), ('int16', '32768', 'int16'),
    ('int32', '2147483648', 'int32'), ('uint32', '4294967296', 'uint32'), ('int64', '9223372036854775808', 'int64'),
    ('uint64', '18446744073709551616', 'uint64'),
    ('int32', '1.0', 'of expected type: int32 (a whole number is written without point and exponent: 1, not 1.0 or 1e0)'),
    ('int64', '1e2', 'int64'), ('int32', '"1"', 'Type: String'), ('bool', '1', 'expected type: bool'),
    ('bool', '"true"', 'Type: String is not of expected type: bool'), ('string', '1', 'expected type: string'),
    ('string', '{"b64":"AAA%"}', 'base64'), ('string', '{"b64":3}', ''), ('string', '{"b65":"AAAA"}', ''),
    ('float32', '"NaN"', 'Type: String'), ('int32', 'NaN', 'int32')])
def test_values_that_do_not_fit_the_type(rest, signature, value, text):
    for body in ('{"instances":[%s],"signature_name":"%s"}', '{"inputs":{"x":[%s]},"signature_name":"%s"}'):
        status, got = rest.error('dtypes', body % (value, signature))
        assert status == 400 and text in got


@runtimes
@pytest.mark.parametrize('name', ['complex64', 'complex128'])
def test_complex_elements_are_pairs(rest, name):
    pairs = [[1.5, -2], [0, 0.25]]
    for body in ({'inputs': pairs}, {'instances': pairs}):
        status, answer = rest.predict('dtypes', {**body, 'signature_name': name})
        assert status == 200 and [*answer.values()] == [pairs]
    status, text = rest.error('dtypes', {'inputs': [1], 'signature_name': name})
    assert status == 400 and name in text and '[real, imaginary]' in text


@runtimes
@pytest.mark.parametrize('model, body, texts', [
    ('half_plus_two_onnx', {'instances': [[1, 2]]}, ['"x"', 'shape [1,2]']),
    ('scalars', {'inputs': [1, 2, 3], 'signature_name': 'rotate'}, ['vector: [2]', 'the request has [3]']),
    ('scalars', {'inputs': {'a': 1}}, ['Missing named input: b']),
    ('scalars', {'inputs': 1}, ['plain value/list, but expecting an object', '2 inputs']),
    ('scalars', {'instances': [{'a': 1}]}, ["no input 'b'"]),
    ('not_negative', {'instances': [-1]}, ['x must not be negative']),
    ('pick_onnx', {'instances': [10]}, ['idx=10'])])
def test_errors_of_a_model(rest, model, body, texts):
    status, got = rest.error(model, body)
    assert status == 400
    for text in texts:
        assert text in got


@pytest.mark.parametrize('method, path, status, allow', [
    ('POST', '/v1/models/nobody:predict', 404, None), ('GET', '/v1/models/nobody', 404, None),
    ('GET', '/v1/models/nobody/metadata', 404, None), ('GET', '/v1/models/half/versions/5', 404, None),
    ('GET', '/v1/models/half/versions/5/metadata', 404, None), ('GET', '/v1/models/half/labels/no', 400, None),
    ('GET', '/v1/models/nobody/labels/no', 404, None),
    ('GET', '/v1/models/half/labels/no/metadata', 400, None),
    ('GET', '/v1/models/half:predict', 405, 'POST'), ('PUT', '/v1/models/half:predict', 405, 'POST'),
    ('DELETE', '/v1/models/half', 405, 'GET, HEAD'), ('PATCH', '/v1/models/half/metadata', 405, 'GET, HEAD'),
    ('POST', '/v1/models', 405, 'GET, HEAD'), ('POST', '/v1/models/half', 405, 'GET, HEAD'),
    ('POST', '/v1/models/half:PREDICT', 404, None), ('POST', '/v1/models/half:unknown', 404, None),
    ('POST', '/v1/models/:predict', 404, None), ('POST', '/v1/models/half/versions/:predict', 404, None),
    ('POST', '/v1/models/half/versions/1/labels/a:predict', 404, None), ('GET', '/v1/models/half/', 404, None),
    ('GET', '/v1/nothing', 404, None), ('GET', '/v2', 404, None), ('GET', '/v1', 404, None),
    ('POST', '/v1/models/half:classify', 400, None), ('POST', '/v1/models/half:regress', 400, None)])
def test_errors_of_a_path(plain, method, path, status, allow):
    response = plain.ask(method, path, '{"instances":[1]}' if method == 'POST' else None)
    assert response.status_code == status, response.text
    assert response.headers['content-type'] == 'application/json'
    assert list(response.json()) == ['error'] and response.json()['error']
    assert response.headers.get('allow') == allow


def test_texts_in_errors_are_escaped_and_cut(plain):
    status, text = plain.error('half', {'instances': ['"\\\n\x7f' + 'ö' * 5000]})
    assert status == 400 and '\\"' in text and len(text.encode()) <= 1024 + len('...TRUNCATED')


# ------------------------------------------------------------------------------------------ status and metadata

@runtimes
@pytest.mark.parametrize('model', ['digits', 'half_plus_two', 'half_plus_two_onnx', 'identity'])
def test_status_equals_grpc(rest, models, model):
    status, text = rest.get(f'/v1/models/{model}')
    assert status == 200
    assert json_format.Parse(text, get_model_status_pb2.GetModelStatusResponse()) == models.status(model)


@runtimes
def test_status_of_a_version_or_label(rest, models):
    for path, version in (('versions/1', 1), ('versions/2', 2), ('labels/stable', 1), ('labels/canary', 2)):
        status, text = rest.get(f'/v1/models/digits/{path}')
        assert status == 200
        got = json_format.Parse(text, get_model_status_pb2.GetModelStatusResponse())
        assert got == models.status('digits', version=version)


def test_status_is_written_as_clients_expect(plain):
    assert json.loads(plain.get('/v1/models/half')[1]) == {'model_version_status': [
        {'version': '1', 'state': 'AVAILABLE', 'status': {'error_code': 'OK', 'error_message': ''}}]}


@runtimes
@pytest.mark.parametrize('model, path, version', [
    ('digits', '', 2), ('digits', '/versions/1', 1), ('digits', '/labels/stable', 1), ('dtypes', '', 1),
    ('shapes', '', 1), ('digits_onnx', '', 2), ('identity', '', 1)])
def test_metadata_equals_grpc(rest, models, model, path, version):
    status, text = rest.get(f'/v1/models/{model}{path}/metadata')
    assert status == 200
    answer = json.loads(text)
    assert sorted(answer) == ['metadata', 'model_spec'] and list(answer['metadata']) == ['signature_def']
    expected = models.metadata(model, version=version)
    assert json_format.ParseDict(answer['model_spec'], ModelSpec()) == expected.model_spec
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert expected.metadata['signature_def'].Unpack(signatures)
    got = json_format.ParseDict(answer['metadata']['signature_def'], get_model_metadata_pb2.SignatureDefMap())
    assert got == signatures


def test_the_list_of_models(plain):
    for path in ('/v1/models', '/v1/models/', '/v1/models?x'):
        status, text = plain.get(path)
        assert (status, json.loads(text)) == (200, {'models': [
            {'name': name, 'versions': [{'version': '1', 'state': 'AVAILABLE'}]} for name in ('half', 'identity')]})
