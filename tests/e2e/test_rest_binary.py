# SPDX-License-Identifier: Apache-2.0
"""Bodies of :predict that are not JSON: numpy's files and protobuf, with numpy, ml_dtypes and public messages."""
import io
import json
import zipfile

import ml_dtypes
import numpy as np
import pytest
import requests
from tensorflow_serving.apis import predict_pb2

from clients import TYPES, content_proto, numpy_type, predict_request, values_of
from penstock_server import SLOWNESS

NPY, NPZ, PROTOBUF, JSON = ('application/x-npy', 'application/x-npz', 'application/x-protobuf', 'application/json')


class Binary:
    """Calls on one kept connection."""

    def __init__(self, server):
        self.base = f'http://127.0.0.1:{server.rest_port}/v1/models/'
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, model, body, content_type, accept=None, query=''):
        headers = {'content-type': content_type, **({'accept': accept} if accept else {})}
        return self.session.post(f'{self.base}{model}:predict{query}', data=body, headers=headers, timeout=30 * SLOWNESS)

    def answer(self, *arguments, **options):
        response = self.ask(*arguments, **options)
        assert response.status_code == 200, response.text
        return response

    def error(self, *arguments, status=400, **options):
        response = self.ask(*arguments, **options)
        assert response.status_code == status
        assert response.headers['content-type'] == JSON
        return response.json()['error']


@pytest.fixture(scope='module')
def rest(builtin_server):
    return Binary(builtin_server)


@pytest.fixture(scope='module')
def models(models_server):
    return Binary(models_server)


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def loaded(response):
    return np.load(io.BytesIO(response.content))


def numpy_arrays():
    numbers = [name for name in TYPES if name not in ('string', 'bfloat16')]
    for name in numbers:
        for shape in [(), (3,), (0,), (2, 3), (2, 0, 3)]:
            yield pytest.param(values_of(name, shape).astype(numpy_type(name)), id=f'{name}{list(shape)}')
    yield pytest.param(np.array([[b'a', b'long one'], [b'', b'a\x00b']]), id='bytes')


@pytest.mark.parametrize('array', numpy_arrays())
def test_an_npy_file_comes_back_equal(rest, array):
    response = rest.answer('identity', npy(array), NPY)
    assert response.headers['content-type'] == NPY
    back = loaded(response)
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_bfloat16_comes_back_equal(rest):
    array = np.array([1.5, -2.0], dtype=ml_dtypes.bfloat16)
    back = loaded(rest.answer('identity', npy(array), NPY)).view(ml_dtypes.bfloat16)
    assert back.tolist() == [1.5, -2.0]


@pytest.mark.parametrize('array', [
    np.arange(24, dtype='<i4').reshape(2, 3, 4, order='F'),
    np.asfortranarray(np.arange(6, dtype='>f8').reshape(2, 3)),
    np.array([1 + 2j, -3j], dtype='>c16'),
    np.array([258, -2], dtype='>i2'),
], ids=['fortran', 'fortran_big_endian', 'complex_big_endian', 'big_endian'])
def test_other_layouts_are_converted(rest, array):
    back = loaded(rest.answer('identity', npy(array), NPY))
    assert back.dtype.byteorder in '=|' and back.flags.c_contiguous
    assert np.array_equal(back, array)


def test_texts_become_utf8_strings(rest):
    texts = np.array([['ä€😀', ''], ['b', 'long']])
    for order in ('<', '>'):
        back = loaded(rest.answer('identity', npy(texts.astype(texts.dtype.newbyteorder(order))), NPY))
        assert [text.decode() for text in back.ravel()] == texts.ravel().tolist()


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed], ids=['stored', 'deflated'])
def test_an_npz_file_comes_back_equal(rest, save):
    arrays = {'x': np.arange(100_000, dtype='<f4').reshape(100, 1000), 'ids': np.array([b'a', b'bc']), 'é': np.zeros((0, 2))}
    response = rest.answer('identity', npz(save, **arrays), NPZ)
    assert response.headers['content-type'] == NPZ
    assert zipfile.ZipFile(io.BytesIO(response.content)).testzip() is None
    back = loaded(response)
    assert sorted(back.files) == sorted(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and np.array_equal(back[name], array)


def test_the_accept_header_chooses_the_format_of_the_answer(rest):
    body = npy(np.array([1.0, 2.0], dtype='f4'))
    answer = rest.answer('half', body, NPY, accept=JSON)
    assert answer.headers['content-type'] == JSON
    assert answer.json() == {'outputs': [2.5, 3.0]}
    rows = json.dumps({'instances': [1.0, 2.0]})
    assert loaded(rest.answer('half', rows, JSON, accept=f'{NPY}, {JSON};q=0.5')).tolist() == [2.5, 3.0]
    assert loaded(rest.answer('half', rows, JSON, accept=NPZ))['y'].tolist() == [2.5, 3.0]
    assert rest.answer('half', rows, JSON, accept='text/html').json() == {'predictions': [2.5, 3.0]}


def test_protobuf_bodies(rest):
    request = predict_request('', {'x': content_proto('float32', np.array([1.0, 5.0], dtype='f4'))})
    request.ClearField('model_spec')
    response = rest.answer('half/versions/1', request.SerializeToString(), PROTOBUF)
    assert response.headers['content-type'] == PROTOBUF
    answer = predict_pb2.PredictResponse.FromString(response.content)
    assert list(answer.outputs['y'].float_val) == [2.5, 4.5]
    assert answer.model_spec.name == 'half' and answer.model_spec.version.value == 1
    request.model_spec.name = 'half'
    rest.answer('half', request.SerializeToString(), PROTOBUF)
    request.model_spec.name = 'identity'
    assert 'names another model' in rest.error('half', request.SerializeToString(), PROTOBUF)
    request.model_spec.name = 'half'
    request.model_spec.version.value = 2
    assert 'names another model, version' in rest.error('half', request.SerializeToString(), PROTOBUF)
    assert 'at byte' in rest.error('half', b'\x0a\xff', PROTOBUF)


def test_headers_name_the_model_and_the_version(rest):
    for body, kind in ((json.dumps({'instances': [1.0]}), JSON), (npy(np.ones(1, dtype='f4')), NPY)):
        response = rest.answer('half', body, kind)
        assert (response.headers['x-penstock-model'], response.headers['x-penstock-version']) == ('half', '1')


@pytest.mark.runtimes
def test_models_with_several_inputs_or_outputs(models):
    body = npy(np.array([3.0], dtype='f4'))
    assert 'the answer has 5 outputs (as_int64, half, positive, text, total)' in models.error('many_outputs', body, NPY)
    only = models.answer('many_outputs', body, NPY, query='?output_filter=ha%6Cf&signature_name=serving_default')
    assert loaded(only).tolist() == [1.5]
    answer = loaded(models.answer('many_outputs', body, NPY, accept=NPZ, query='?output_filter=text&output_filter=total'))
    assert sorted(answer.files) == ['text', 'total'] and answer['total'] == 3.0
    # The other inputs have defaults.
    assert loaded(models.answer('defaults', body, NPY)).tolist() == [3.5]
    scalars = {'x': np.float32(2), 'y': np.float32(3)}
    assert 'the signature has 2 inputs' in models.error('scalars', npy(scalars['x']), NPY)
    assert 'arr_0' in models.error('scalars', npz(arr_0=scalars['x']), NPZ)
    assert 'Serving signature key "none" not found' in models.error('half', body, NPY, query='?signature_name=none')


def test_errors_say_what_is_wrong(rest):
    assert 'must begin with the bytes' in rest.error('half', b'{"instances": [1]}', NPY)
    assert 'never read' in rest.error('half', npy(np.array([{}], dtype=object), allow_pickle=True), NPY)
    assert 'records of several fields' in rest.error('half', npy(np.zeros(1, dtype=[('a', 'i4')])), NPY)
    assert "'<M8[s]'" in rest.error('half', npy(np.zeros(1, dtype='M8[s]')), NPY)
    assert 'upload may have been cut off' in rest.error('half', npz(x=np.zeros(9))[:-30], NPZ)
    assert "the array 'x'" in rest.error('half', npz(x=np.zeros(1, dtype='M8[s]')), NPZ)
    assert 'to be float but double is provided' in rest.error('half', npy(np.zeros(1)), NPY)
    assert "the query has the key 'output'" in rest.error('half', npy(np.zeros(1, dtype='f4')), NPY, query='?output=y')
    assert 'alias not found in signature: z' in rest.error('half', npy(np.zeros(1, dtype='f4')), NPY, query='?output_filter=z')


# A file of 100 MB of zeros deflates to 100 kB, and a client may claim any size.
def test_inflated_arrays_are_limited(start):
    server = start({'same': 'builtin:identity'}, flags=['--decoded_tensor_bytes_max=1000000'])
    rest = Binary(server)
    body = npz(np.savez_compressed, x=np.zeros(2_000_000, dtype='u1'))
    assert 'the limit is' in rest.error('same', body, NPZ, status=429)
    rest.answer('same', npz(np.savez_compressed, x=np.zeros(900_000, dtype='u1')), NPZ)
