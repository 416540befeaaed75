# SPDX-License-Identifier: Apache-2.0
"""Predict through the public client: every sample and test model, every element type, in both forms of a tensor."""
import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from clients import (TYPES, VALUE_FIELDS, content_proto, enum_of, error_of, numpy_type, predict_request, type_name,
                     value_proto, values_of)

runtimes = pytest.mark.runtimes
ONNX_TYPES = [name for name in TYPES if not name.startswith('complex')]
SHAPES = [(), (1,), (5,), (0,), (2, 3), (3, 0, 2), (1, 1, 2, 1)]


def same(got, expected):
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


# ------------------------------------------------------------------------------------------ values

@runtimes
@pytest.mark.parametrize('model, term', [('half_plus_two', 2), ('half_plus_three', 3), ('half_plus_two_onnx', 2),
                                         ('half_plus_three_onnx', 3)])
def test_half_plus(models, model, term):
    x = np.array([1, 2, 5, -7.25, 0], np.float32)
    response = models.predict_raw(model, {'x': x})
    same(tf.make_ndarray(response.outputs['y']), x / 2 + term)
    assert response.model_spec.name == model
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == 'serving_default'


def test_half_plus_two_built_in(builtin):
    response = builtin.predict_raw('half', {'x': np.array([[1, 2], [5, -4]], np.float32)})
    same(tf.make_ndarray(response.outputs['y']), np.array([[2.5, 3], [4.5, 0]], np.float32))
    assert (response.model_spec.name, response.model_spec.version.value) == ('half', 1)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('form', [content_proto, value_proto])
@pytest.mark.parametrize('name', TYPES)
def test_every_type_built_in(builtin, name, form, shape):
    array = values_of(name, shape)
    outputs = builtin.predict('identity', {'any name': form(name, array)})
    assert list(outputs) == ['any name']
    same(outputs['any name'], array)


@runtimes
@pytest.mark.parametrize('form', [content_proto, value_proto])
@pytest.mark.parametrize('name', TYPES)
def test_every_type_tensorflow(models, name, form):
    for shape in SHAPES:
        array = values_of(name, shape)
        same(models.predict('dtypes', {'x': form(name, array)}, signature=name)['y'], array)


@runtimes
@pytest.mark.parametrize('form', [content_proto, value_proto])
def test_all_types_at_once_tensorflow(models, form):
    arrays = {name: values_of(name, (2, 2)) for name in TYPES}
    outputs = models.predict('dtypes', {name: form(name, array) for name, array in arrays.items()}, signature='all')
    assert sorted(outputs) == sorted('out_' + name for name in TYPES)
    for name, array in arrays.items():
        same(outputs['out_' + name], array)


@runtimes
@pytest.mark.parametrize('form', [content_proto, value_proto])
@pytest.mark.parametrize('shape', [(2, 3), (1, 1), (0, 4), (3, 0)], ids=str)
def test_all_types_at_once_onnx(models, form, shape):
    # ONNX Runtime's strings are text: no byte zero, nothing but UTF-8.
    arrays = {name: values_of(name, shape) for name in ONNX_TYPES}
    arrays['string'] = np.resize(np.array([b'', 'Größe'.encode(), b'x' * 300], object), shape)
    outputs = models.predict('dtypes_onnx', {name: form(name, array) for name, array in arrays.items()})
    assert sorted(outputs) == sorted('out_' + name for name in ONNX_TYPES)
    for name, array in arrays.items():
        same(outputs['out_' + name], array)


@pytest.mark.parametrize('name', TYPES)
def test_the_last_value_repeats(builtin, name):
    array = values_of(name, (3,))
    proto = value_proto(name, array)
    proto.tensor_shape.dim[0].size = 7
    expected = np.concatenate([array, np.repeat(array[-1:], 4)])
    same(builtin.predict('identity', {'x': proto})['x'], expected)


@pytest.mark.parametrize('name', TYPES)
def test_no_value_at_all_means_zeros(builtin, name):
    proto = tensor_pb2.TensorProto(dtype=enum_of(name))
    proto.tensor_shape.dim.add(size=3)
    expected = np.array([b''] * 3, object) if name == 'string' else np.zeros(3, numpy_type(name))
    same(builtin.predict('identity', {'x': proto})['x'], expected)


def test_more_values_than_elements_are_ignored(builtin):
    proto = value_proto('int32', np.arange(5, dtype=np.int32))
    proto.tensor_shape.dim[0].size = 2
    same(builtin.predict('identity', {'x': proto})['x'], np.array([0, 1], np.int32))


def test_too_wide_values_wrap(builtin):
    proto = value_proto('int32', np.array([300, -1, 128], np.int32))
    proto.dtype = enum_of('int8')
    same(builtin.predict('identity', {'x': proto})['x'], np.array([44, -1, -128], np.int8))


def test_content_wins_over_values(builtin):
    proto = content_proto('float32', np.array([1, 2], np.float32))
    proto.float_val.extend([8, 9])
    same(builtin.predict('identity', {'x': proto})['x'], np.array([1, 2], np.float32))


def test_not_numbers(builtin):
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)
    got = builtin.predict('identity', {'x': content_proto('float32', array)})['x']
    assert got.tobytes() == array.tobytes()


def test_answers_carry_values_not_content(builtin):
    # Clients that read float_val directly work with TensorFlow Serving, whose default this is.
    response = builtin.predict_raw('half', {'x': content_proto('float32', np.array([1, 3], np.float32))})
    assert list(response.outputs['y'].float_val) == [2.5, 3.5]
    assert not response.outputs['y'].tensor_content


def test_answers_as_content_if_asked_for(start):
    from clients import Client
    server = start({'identity': 'builtin:identity'}, flags=['--enable_serialization_as_tensor_content'])
    with Client(server) as client:
        for name in TYPES:
            array = values_of(name, (2, 3))
            output = client.predict_raw('identity', {'x': value_proto(name, array)}).outputs['x']
            assert output.tensor_content or name == 'string'
            if name != 'string':  # make_ndarray reads strings from string_val only
                assert not getattr(output, VALUE_FIELDS[name])
                same(tf.make_ndarray(output), array)
            else:
                assert output.tensor_content == content_proto(name, array).tensor_content or (
                    list(output.string_val) == array.ravel().tolist())


@pytest.mark.parametrize('megabytes', [1, 19, 64])
def test_large_tensors(builtin, megabytes):
    array = np.arange(megabytes * 1024 * 1024 // 4, dtype=np.float32).reshape(16, -1)
    same(builtin.predict('identity', {'x': content_proto('float32', array)})['x'], array)


def test_long_strings(builtin):
    array = np.array([b'\x80' * 3_000_000, b'', b'a' * 1_000_000], object)
    for form in (content_proto, value_proto):
        same(builtin.predict('identity', {'x': form('string', array)})['x'], array)


@pytest.mark.parametrize('algorithm', [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_calls(builtin, algorithm):
    request = predict_request('identity', {'x': np.arange(10_000, dtype=np.float32)})
    response = builtin.stub.Predict(request, timeout=60, compression=algorithm)
    same(tf.make_ndarray(response.outputs['x']), np.arange(10_000, dtype=np.float32))


# ------------------------------------------------------------------------------------------ models

@runtimes
@pytest.mark.parametrize('model', ['lower_case', 'lower_case_onnx'])
def test_strings(models, model):
    outputs = models.predict(model, {'text': np.array(['HALLO', 'Größe ÄÖÜ', ''], object)})
    assert outputs['lower'].tolist() == [b'hallo', 'größe äöü'.encode(), b'']
    if model == 'lower_case':
        same(outputs['bytes'], np.array([5, 14, 0], np.int32))


@runtimes
@pytest.mark.parametrize('model', ['many_outputs', 'many_outputs_onnx'])
def test_many_outputs(models, model):
    x = np.array([1, -2, 5], np.float32)
    outputs = models.predict(model, {'x': x})
    assert sorted(outputs) == ['as_int64', 'half', 'positive', 'text', 'total']
    same(outputs['as_int64'], np.array([1, -2, 5]))
    same(outputs['positive'], np.array([True, False, True]))
    same(outputs['half'], x / 2)
    assert outputs['text'].tolist() == [b'1', b'-2', b'5']
    assert outputs['total'].shape == () and outputs['total'] == 4


@runtimes
@pytest.mark.parametrize('model', ['many_outputs', 'many_outputs_onnx'])
def test_output_filter(models, model):
    outputs = models.predict(model, {'x': np.array([3], np.float32)}, outputs=['text', 'half'])
    assert sorted(outputs) == ['half', 'text']
    same(outputs['half'], np.array([1.5], np.float32))


@runtimes
@pytest.mark.parametrize('model', ['vocabulary', 'vocabulary_onnx'])
def test_vocabulary_with_assets(models, model):
    words = np.array(['banane', 'apple', '北京', 'unknown', 'with space'], object)
    same(models.predict(model, {'words': words})['ids'], np.array([1, 0, 4, -1, 5]))


@runtimes
@pytest.mark.parametrize('model, good, bad, text', [
    ('not_negative', {'x': np.array([4, 9], np.float32)}, {'x': np.array([4, -9], np.float32)},
     'x must not be negative'),
    ('pick_onnx', {'index': np.array([2, 3])}, {'index': np.array([2, 30])}, 'out of data bounds')])
def test_a_model_that_fails_on_some_input(models, model, good, bad, text):
    for _ in range(3):
        code, message = error_of(models.predict, model, bad)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert text in message
        (output,) = models.predict(model, good).values()
        assert len(output) == 2


@runtimes
def test_results_next_to_zero_do_not_depend_on_the_thread(models):
    """TensorFlow's own threads take subnormal numbers for zero; a short run stays on a thread of the server."""
    answers = {float(models.predict('scalars', {'a': np.float32(1e-30), 'b': np.float32(1e-10)})['product'])
               for _ in range(200)}
    assert answers == {0.0}


@runtimes
@pytest.mark.parametrize('model', ['scalars', 'scalars_onnx'])
def test_scalars(models, model):
    outputs = models.predict(model, {'a': np.float32(3), 'b': np.float32(4)})
    assert outputs['sum'].shape == outputs['product'].shape == ()
    assert (outputs['sum'], outputs['product']) == (7, 12)


@runtimes
def test_fixed_sizes(models):
    same(models.predict('scalars', {'vector': np.array([1, 2], np.float32)}, signature='rotate')['rotated'],
         np.array([-2, 1], np.float32))


@runtimes
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_unknown_rank(models, shape):
    same(models.predict('shapes', {'anything': np.zeros(shape, np.float32)})['shape'], np.array(shape, np.int64))


@runtimes
def test_partly_fixed_shape(models):
    matrix = np.arange(6, dtype=np.int32).reshape(2, 3)
    same(models.predict('shapes', {'matrix': matrix}, signature='transpose')['transposed'], matrix.T)


@runtimes
def test_inputs_with_defaults_may_be_left_out(models):
    x, two = np.array([1, 2], np.float32), np.float32(2)
    same(models.predict('defaults', {'x': x})['y'], x * 0.5 + 2)
    same(models.predict('defaults', {'x': x, 'factor': two})['y'], x * 2 + 2)
    same(models.predict('defaults', {'x': x, 'term': np.float32(0), 'factor': two})['y'], x * 2)
    code, text = error_of(models.predict, 'defaults', {'factor': two})
    assert code == grpc.StatusCode.INVALID_ARGUMENT and 'x' in text


@runtimes
def test_state_is_kept_between_calls(models):
    start = models.predict('counter', {'by': np.int64(0)})['total']
    for i in range(1, 6):
        assert models.predict('counter', {'by': np.int64(10)})['total'] == start + 10 * i


@runtimes
def test_frozen_graph(models):
    same(models.predict('frozen', {'x': np.array([1, 2, 5], np.float32)})['y'], np.array([2.5, 3, 4.5], np.float32))


@runtimes
@pytest.mark.parametrize('model', ['loop', 'loop_onnx'])
def test_loops(models, model):
    expected = 1
    for _ in range(100):
        expected = (expected * 1103515245 + 12345) % 2147483648
    outputs = models.predict(model, {'steps': np.int64(100)})
    assert (outputs['count'], outputs['state']) == (100, expected)


# ------------------------------------------------------------------------------------------ versions and labels

@runtimes
@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_versions_and_labels(models, model):
    images = np.random.default_rng(7).random((3, 8, 8), np.float32)
    answers = {version: models.predict(model, {'images': images}, version=version)['probabilities']
               for version in (1, 2)}
    assert not np.allclose(answers[1], answers[2])
    for choice, version in (({}, 2), ({'label': 'stable'}, 1), ({'label': 'canary'}, 2), ({'version': 1}, 1)):
        response = models.predict_raw(model, {'images': images}, **choice)
        assert response.model_spec.version.value == version
        np.testing.assert_array_equal(tf.make_ndarray(response.outputs['probabilities']), answers[version])


# ------------------------------------------------------------------------------------------ metadata and status

def signatures_of(response):
    from tensorflow_serving.apis import get_model_metadata_pb2
    assert list(response.metadata) == ['signature_def']
    any_value = response.metadata['signature_def']
    assert any_value.type_url == 'type.googleapis.com/tensorflow.serving.SignatureDefMap'
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert any_value.Unpack(signatures)
    return dict(signatures.signature_def)


def shape_of(info):
    return None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]


@runtimes
@pytest.mark.parametrize('model', ['half_plus_two', 'half_plus_three', 'digits', 'dtypes', 'vocabulary', 'shapes',
                                   'many_outputs'])
def test_metadata_is_that_of_the_saved_model(models, model):
    import os
    from tensorflow.core.protobuf import saved_model_pb2
    from conftest import all_models
    saved = saved_model_pb2.SavedModel()
    base = all_models()[model]
    if 'base_path:' in base:
        base = base.split('"')[1]
    with open(os.path.join(base, '1', 'saved_model.pb'), 'rb') as file:
        saved.ParseFromString(file.read())
    response = models.metadata(model, version=1)
    assert (response.model_spec.name, response.model_spec.version.value) == (model, 1)
    expected = dict(saved.meta_graphs[0].signature_def)
    got = signatures_of(response)
    assert sorted(got) == sorted(expected)
    for name, signature in expected.items():
        assert got[name].method_name == signature.method_name
        for side in ('inputs', 'outputs'):
            infos, wanted = getattr(got[name], side), getattr(signature, side)
            assert sorted(infos) == sorted(wanted)
            for key, info in wanted.items():
                assert infos[key].name == info.name
                assert type_name(infos[key].dtype) == type_name(info.dtype)
                assert shape_of(infos[key]) == shape_of(info)


@runtimes
def test_metadata_of_onnx(models):
    signature = signatures_of(models.metadata('digits_onnx'))['serving_default']
    assert {name: (type_name(info.dtype), shape_of(info)) for name, info in signature.inputs.items()} == {
        'images': ('DT_FLOAT', [-1, 8, 8])}
    assert {name: (type_name(info.dtype), shape_of(info)) for name, info in signature.outputs.items()} == {
        'probabilities': ('DT_FLOAT', [-1, 10]), 'label': ('DT_INT64', [-1])}
    assert signature.method_name == 'tensorflow/serving/predict'


def test_metadata_built_in(builtin):
    response = builtin.metadata('half')
    signature = signatures_of(response)['serving_default']
    assert type_name(signature.inputs['x'].dtype) == 'DT_FLOAT'
    assert response.model_spec.version.value == 1


def test_status(builtin):
    (entry,) = builtin.status('half').model_version_status
    assert (entry.version, entry.state, entry.status.error_code, entry.status.error_message) == (1, 30, 0, '')
    (entry,) = builtin.status('half', version=1).model_version_status
    assert entry.version == 1


@runtimes
def test_status_lists_the_newest_version_first(models):
    assert [entry.version for entry in models.status('digits').model_version_status] == [2, 1]
