# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a call, in the codes and texts that TensorFlow Serving's clients know, or clearer ones."""

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from clients import PREDICT, content_proto, error_of, predict_request
from penstock_server import SLOWNESS, eventually, idle
from raw import GrpcConnection

runtimes = pytest.mark.runtimes
Code = grpc.StatusCode
X = np.array([1, 2], np.float32)


@pytest.fixture(params=['builtin', pytest.param('runtimes', marks=[runtimes, pytest.mark.release_only])])
def client(request):
    """A client, and the name of its half-plus-two model."""
    if request.param == 'builtin':
        return request.getfixturevalue('builtin'), 'half'
    return request.getfixturevalue('models'), 'half_plus_two'


def test_no_model_spec(client):
    request = predict_pb2.PredictRequest()
    request.inputs['x'].CopyFrom(content_proto('float32', X))
    assert error_of(client[0].stub.Predict, request, timeout=30) == (Code.INVALID_ARGUMENT, 'Missing ModelSpec')


def test_an_empty_message(client):
    assert error_of(client[0].call_bytes, PREDICT, b'') == (Code.INVALID_ARGUMENT, 'Missing ModelSpec')


def test_errors_name_the_request(builtin):
    with pytest.raises(grpc.RpcError) as failed:
        builtin.stub.Predict(predict_request('none', {'x': X}), metadata=[('x-request-id', 'mine')], timeout=30 * SLOWNESS)
    assert dict(failed.value.trailing_metadata())['x-request-id'] == 'mine'
    with pytest.raises(grpc.RpcError) as failed:
        builtin.call_bytes('/no.such/Method', b'')
    assert 0 < len(dict(failed.value.trailing_metadata())['x-request-id']) <= 16


def test_no_name(client):
    assert error_of(client[0].predict, '', {'x': X}, signature='serving_default') == (
        Code.INVALID_ARGUMENT, 'ModelSpec has no name specified.')


def test_unknown_model(client):
    assert error_of(client[0].predict, 'nobody', {'x': X}) == (
        Code.NOT_FOUND, 'Servable not found for request: Latest(nobody)')
    assert error_of(client[0].predict, 'nobody', {'x': X}, version=3) == (
        Code.NOT_FOUND, 'Servable not found for request: Specific(nobody, 3)')


def test_unknown_version(client):
    for version in (2, 0, 2 ** 62):
        assert error_of(client[0].predict, client[1], {'x': X}, version=version) == (
            Code.NOT_FOUND, f'Servable not found for request: Specific({client[1]}, {version}): the model has version 1')


def test_unknown_label(client):
    assert error_of(client[0].predict, client[1], {'x': X}, label='moon') == (
        Code.INVALID_ARGUMENT, 'Unrecognized servable version label: moon: the model has no label')


def test_unknown_signature(client):
    code, text = error_of(client[0].predict, client[1], {'x': X}, signature='other')
    assert code == Code.FAILED_PRECONDITION and text.startswith('Serving signature key "other" not found. The model has {')
    assert '"serving_default"' in text


@pytest.mark.parametrize('inputs, said', [
    ({}, 'input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.'),
    ({'z': X}, 'input tensor alias not found in signature: z. Inputs expected to be in the set {x}. '),
    ({'x': X, 'z': X, 'a': X}, 'input size does not match signature: 3!=1 len({a,x,z}) != len({x}). Sent extra: {a,z}. '
                               'Missing but required: {}.')], ids=['missing', 'other', 'extra'])
def test_wrong_inputs(client, inputs, said):
    # TensorFlow Serving's sentence; more may follow.
    code, text = error_of(client[0].predict, client[1], inputs)
    assert code == Code.INVALID_ARGUMENT and text.startswith(said)


def test_a_tensor_that_does_not_parse(client):
    broken = content_proto('float32', X)
    broken.tensor_content = b'123'
    code, text = error_of(client[0].predict, client[1], {'x': broken})
    assert code == Code.INVALID_ARGUMENT
    assert 'tensor parsing error: x' in text


@pytest.mark.parametrize('outputs, said', [
    (['nothing'], 'output tensor alias not found in signature: nothing Outputs expected to be in the set {y}.'),
    (['y', 'y'], 'duplicate output tensor alias: y'), (['y', ''], 'output tensor alias not found in signature: ')],
    ids=['unknown', 'twice', 'empty'])
def test_wrong_output_filter(client, outputs, said):
    code, text = error_of(client[0].predict, client[1], {'x': X}, outputs=outputs)
    assert code == Code.INVALID_ARGUMENT and text.startswith(said)


def test_wrong_type(client):
    code, text = error_of(client[0].predict, client[1], {'x': np.array([1, 2], np.int32)})
    assert code == Code.INVALID_ARGUMENT
    assert '"x"' in text and 'to be float but int32 is provided' in text


@runtimes
def test_wrong_rank(models):
    code, text = error_of(models.predict, 'half_plus_two_onnx', {'x': np.zeros((2, 2), np.float32)})
    assert code == Code.INVALID_ARGUMENT
    assert "x" in text and '2' in text


@runtimes
@pytest.mark.parametrize('model', ['digits', 'digits_onnx'])
def test_wrong_size(models, model):
    code, text = error_of(models.predict, model, {'images': np.zeros((2, 8, 9), np.float32)})
    assert code == Code.INVALID_ARGUMENT
    assert 'images' in text and '9' in text and '8' in text


@runtimes
def test_tensorflow_decides_which_rank_it_takes(models):
    answer = models.predict('scalars', {'a': X, 'b': np.float32(2)})
    assert (answer['product'] == X * 2).all() and (answer['sum'] == X + 2).all()


def test_long_texts_are_cut(client):
    name = 'n' * 5000
    code, text = error_of(client[0].predict, name, {'x': X})
    assert code == Code.NOT_FOUND
    assert text.startswith('Servable not found for request: Latest(nnnn')
    assert text.endswith('...TRUNCATED') and len(text) == 1024 + len('...TRUNCATED')


def test_texts_of_any_language(client):
    code, text = error_of(client[0].predict, 'Größe 北京 %41\n', {'x': X})
    assert (code, text) == (Code.NOT_FOUND, 'Servable not found for request: Latest(Größe 北京 %41\n)')


def test_metadata_errors(client):
    stub, name = client
    assert error_of(stub.metadata, 'nobody') == (Code.NOT_FOUND, 'Servable not found for request: Latest(nobody)')
    code, text = error_of(stub.metadata, name, fields=())
    assert code == Code.INVALID_ARGUMENT and 'at least one metadata_field' in text
    assert error_of(stub.metadata, name, fields=['weights']) == (
        Code.INVALID_ARGUMENT, 'Metadata field weights is not supported')
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=['signature_def'])
    assert error_of(stub.stub.GetModelMetadata, request, timeout=30) == (Code.INVALID_ARGUMENT, 'Missing ModelSpec')
    assert error_of(stub.metadata, name, label='moon')[0] == Code.INVALID_ARGUMENT


def test_status_errors(client):
    stub, name = client
    assert error_of(stub.models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest(), timeout=30) == (
        Code.INVALID_ARGUMENT, 'Missing ModelSpec')
    assert error_of(stub.status, 'nobody') == (Code.NOT_FOUND, 'Could not find any versions of model nobody')
    assert error_of(stub.status, name, version=77) == (
        Code.NOT_FOUND, f'Could not find version 77 of model {name}: the model has version 1')


@pytest.mark.parametrize('method', ['/tensorflow.serving.PredictionService/Nothing', '/nobody.Service/Predict',
                                    '/tensorflow.serving.SessionService/SessionRun'])
def test_unknown_methods(client, method):
    assert error_of(client[0].call_bytes, method, b'')[0] == Code.UNIMPLEMENTED


# ------------------------------------------------------------------------------------------ deadlines, cancelling

@runtimes
@pytest.mark.parametrize('model', ['loop', 'loop_onnx'])
def test_a_deadline_ends_the_run(models, models_server, model):
    request = predict_request(model, {'steps': np.int64(10 ** 9)})  # about an hour
    code, _ = error_of(models.stub.Predict, request, timeout=0.5 * SLOWNESS)
    assert code == Code.DEADLINE_EXCEEDED
    eventually('the model stops', lambda: idle(models_server))
    assert models.predict(model, {'steps': np.int64(3)})['count'] == 3


@runtimes
def test_a_cancel_ends_the_run(models, models_server):
    # Of ONNX Runtime only: TensorFlow cannot be told to stop but by a deadline.
    call = models.stub.Predict.future(predict_request('loop_onnx', {'steps': np.int64(10 ** 9)}))
    eventually('the model runs', lambda: not idle(models_server))
    call.cancel()
    eventually('the model stops', lambda: idle(models_server))
    assert models.predict('loop_onnx', {'steps': np.int64(3)})['count'] == 3


@runtimes
def test_a_run_that_goes_on_after_a_cancel_is_counted(models, models_server):
    def abandoned():
        metric = 'penstock_backend_tensorflow_abandoned_runs_total '
        lines = models_server.get('/metrics')[1].splitlines()
        return sum(int(line.removeprefix(metric)) for line in lines if line.startswith(metric))
    before = abandoned()
    call = models.stub.Predict.future(predict_request('loop', {'steps': np.int64(200_000)}))  # about two seconds
    eventually('the model runs', lambda: not idle(models_server))
    call.cancel()
    eventually('the run ends', lambda: abandoned() == before + 1)
    assert models.predict('loop', {'steps': np.int64(3)})['count'] == 3


def test_a_deadline_that_has_passed(builtin_server):
    # Over a raw connection: the client would end such a call itself.
    message = predict_request('half', {'x': X}).SerializeToString()
    with GrpcConnection(builtin_server) as connection:
        stream = connection.begin(headers=[('grpc-timeout', '1n')])
        connection.send(stream, connection.frame(message), end=True)
        assert connection.finish(stream)[0] == Code.DEADLINE_EXCEEDED.value[0]
