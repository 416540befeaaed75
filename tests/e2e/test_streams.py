# SPDX-License-Identifier: Apache-2.0
"""Answers in parts: PredictStreamed over gRPC and server-sent events over REST, read as public clients do."""
import http.client
import json
import os
import re
import socket

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from penstock_server import BUILD, ROOT, SLOWNESS, Server, eventually, idle

METHOD = '/penstock.StreamingPredictionService/PredictStreamed'
EVENTS = {'Accept': 'text/event-stream'}
MEBIBYTE = 1 << 20
CUSTOM_BACKEND = os.path.join(BUILD, 'custom_backend/backends')


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    # The models with names of their own are each for one test, which counts their requests.
    models = {'half': 'builtin:half_plus_two',
              **{name: 'builtin:stream' for name in ('stream', 'left', 'late', 'gone')}}
    with Server(tmp_path_factory.mktemp('streams'), models) as made:
        yield made


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as made:
        yield made


def predict_request(model='stream', signature='', **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        dtype = np.float32 if name == 'x' else np.int64
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(value, dtype)))
    return request


def streamed(channel, timeout=30, **inputs):
    call = channel.unary_stream(METHOD, predict_pb2.PredictRequest.SerializeToString,
                                predict_pb2.PredictResponse.FromString)
    return call(predict_request(**inputs), timeout=timeout * SLOWNESS)


def indices(parts):
    return [part.outputs['index'].int64_val[0] for part in parts]


def post(server, inputs, model='stream', session=requests, **more):
    return session.post(f'http://127.0.0.1:{server.rest_port}/v1/models/{model}:predict', json={'inputs': inputs},
                        headers=EVENTS, stream=True, timeout=30 * SLOWNESS, **more)


def events(response):
    """(event, parsed data) one by one, by the rules of the SSE standard."""
    kind, data = 'message', []
    for line in response.iter_lines(decode_unicode=True):
        if line.startswith('event: '):
            kind = line[len('event: '):]
        elif line.startswith('data: '):
            data.append(line[len('data: '):])
        elif not line:
            yield kind, json.loads('\n'.join(data))
            kind, data = 'message', []


def metric(server, name, labels=''):
    found = re.search(rf'^{re.escape(name)}{re.escape(labels)} (\S+)$', server.get('/metrics')[1], re.M)
    return float(found.group(1)) if found else 0.0


def requests_with(server, status, model='stream'):
    return metric(server, ':tensorflow:serving:request_count', f'{{model_name="{model}",status="{status}"}}')


# --- gRPC

def test_each_part_is_a_message(channel):
    parts = list(streamed(channel, count=5, size=3))
    assert indices(parts) == [0, 1, 2, 3, 4]
    assert [list(tf.make_ndarray(part.outputs['data'])) for part in parts[1:3]] == [[1] * 3, [2] * 3]
    assert parts[0].model_spec.version.value == 1


def test_parts_come_when_they_are_made(channel):
    call = streamed(channel, count=1000, delay_us=20_000_000)
    call.cancel()  # only to end it
    call = streamed(channel, count=3, delay_us=1000)
    assert indices([next(call)]) == [0]
    assert indices(call) == [1, 2]


def test_trailers_name_the_model(channel):
    call = streamed(channel, count=2)
    assert indices(call) == [0, 1]
    assert dict(call.trailing_metadata()) == {'x-penstock-model': 'stream', 'x-penstock-version': '1'}


def test_a_model_that_answers_once_gives_one_message(channel):
    parts = list(streamed(channel, model='half', x=[1.0, 2.0]))
    assert [list(part.outputs['y'].float_val) for part in parts] == [[2.5, 3.0]]


def test_an_error_after_some_parts(channel):
    call = streamed(channel, count=5, fail_at=2)
    seen = []
    with pytest.raises(grpc.RpcError) as error:
        for part in call:
            seen += indices([part])
    assert seen == [0, 1]
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert 'the part 2 fails' in error.value.details()


def test_an_error_before_the_first_part(channel):
    with pytest.raises(grpc.RpcError) as error:
        list(streamed(channel, model='none', count=1))
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_predict_says_how_to_get_the_parts(channel):
    call = channel.unary_unary('/tensorflow.serving.PredictionService/Predict',
                               predict_pb2.PredictRequest.SerializeToString, predict_pb2.PredictResponse.FromString)
    with pytest.raises(grpc.RpcError) as error:
        call(predict_request(count=10 ** 9, delay_us=1000), timeout=30 * SLOWNESS)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert 'PredictStreamed' in error.value.details()
    assert call(predict_request(count=1)).outputs['index'].int64_val[0] == 0


def test_a_slow_reader_pauses_the_model(server, channel):
    before = metric(server, 'process_resident_memory_bytes')
    call = streamed(channel, count=2000, size=MEBIBYTE // 4)  # two gigabytes
    assert indices([next(call)]) == [0]
    # The client takes no more until it is asked to. So the model stops, and little memory is in use.
    eventually('a pause', lambda: idle(server))
    assert metric(server, 'process_resident_memory_bytes') - before < 64 * MEBIBYTE
    assert indices([next(call), next(call)]) == [1, 2]
    call.cancel()


def test_a_reader_that_leaves_stops_the_run(server, channel):
    call = streamed(channel, model='left', count=10 ** 9, delay_us=1000)
    next(call)
    call.cancel()
    eventually('the end of the run', lambda: requests_with(server, 'CANCELLED', 'left') == 1)


def test_a_deadline_stops_the_run(server, channel):
    call = streamed(channel, model='late', timeout=0.5, count=10 ** 9, delay_us=20_000)
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    eventually('the end of the run', lambda: requests_with(server, 'DEADLINE_EXCEEDED', 'late') == 1)


def test_many_streams_at_once(channel):
    calls = [streamed(channel, count=50, size=100) for _ in range(40)]
    for call in calls:
        assert indices(call) == list(range(50))


# --- REST

def test_each_part_is_an_event(server):
    response = post(server, {'count': 3, 'size': 1})
    assert response.headers['content-type'] == 'text/event-stream'
    assert response.headers['cache-control'] == 'no-cache'
    assert response.headers['x-penstock-model'] == 'stream'
    assert list(events(response)) == [
        ('message', {'outputs': {'data': [0.0], 'index': 0}}), ('message', {'outputs': {'data': [1.0], 'index': 1}}),
        ('message', {'outputs': {'data': [2.0], 'index': 2}}), ('end', {})]


def test_the_connection_is_used_again(server):
    with requests.Session() as session:
        for _ in range(3):
            assert len(list(events(post(server, {'count': 2}, session=session)))) == 3
        assert session.get(f'http://127.0.0.1:{server.rest_port}/v1/models/half').status_code == 200


def test_an_event_for_an_error(server):
    response = post(server, {'count': 5, 'fail_at': 1})
    assert response.status_code == 200
    assert list(events(response)) == [
        ('message', {'outputs': 0}),
        ('error', {'error': "the part 1 fails, as the input 'fail_at' asks for", 'code': 'INTERNAL'})]
    response = post(server, {'count': 0})
    assert response.status_code == 400 and "'count' is 0" in response.json()['error']


def test_http10_gets_the_plain_events(server):
    body = b'{"inputs": {"count": 2}}'
    with socket.create_connection(('127.0.0.1', server.rest_port), timeout=30 * SLOWNESS) as client:
        client.sendall(b'POST /v1/models/stream:predict HTTP/1.0\r\nAccept: text/event-stream\r\n'
                       b'Content-Length: %d\r\n\r\n%s' % (len(body), body))
        answer = b''.join(iter(lambda: client.recv(4096), b''))
    assert answer.endswith(b'\r\n\r\ndata: {"outputs":0}\n\ndata: {"outputs":1}\n\nevent: end\ndata: {}\n\n')


def test_a_slow_reader_of_events_pauses_the_model(server):
    before = metric(server, 'process_resident_memory_bytes')
    with post(server, {'count': 10 ** 6, 'size': 10_000}) as response:
        seen = events(response)
        assert next(seen)[1]['outputs']['index'] == 0
        eventually('a pause', lambda: idle(server))
        assert metric(server, 'process_resident_memory_bytes') - before < 64 * MEBIBYTE
        assert [next(seen)[1]['outputs']['index'] for _ in range(3)] == [1, 2, 3]


def test_a_reader_of_events_that_leaves_stops_the_run(server):
    connection = http.client.HTTPConnection('127.0.0.1', server.rest_port, timeout=30 * SLOWNESS)
    connection.request('POST', '/v1/models/gone:predict', '{"inputs": {"count": 1000000000, "delay_us": 10000}}',
                       EVENTS)
    assert connection.getresponse().fp.readline()
    connection.close()
    eventually('the end of the run', lambda: requests_with(server, 'CANCELLED', 'gone') == 1)


# --- the server's course

def test_predicts_of_endless_streams_stop_nobody(tmp_path):
    # Each of these is refused at its first part. Then the run must end without a free compute thread.
    models = {'half': 'builtin:half_plus_two', 'stream': 'builtin:stream'}
    endless = {'count': 10 ** 9, 'size': 10}
    with Server(tmp_path, models, ['--compute_threads=2']) as server, \
            grpc.insecure_channel(server.address) as channel:
        predict = channel.unary_unary('/tensorflow.serving.PredictionService/Predict',
                                      predict_pb2.PredictRequest.SerializeToString,
                                      predict_pb2.PredictResponse.FromString)
        calls = [predict.future(predict_request(**endless), timeout=30 * SLOWNESS) for _ in range(8)]
        assert {call.code() for call in calls} == {grpc.StatusCode.UNIMPLEMENTED}
        for _ in range(3):
            assert requests.post(f'http://127.0.0.1:{server.rest_port}/v1/models/stream:predict',
                                 json={'inputs': endless}, timeout=30 * SLOWNESS).status_code == 501
        assert indices(streamed(channel, count=3)) == [0, 1, 2]  # on the compute threads
        answer = requests.post(f'http://127.0.0.1:{server.rest_port}/v1/models/half:predict',
                               json={'instances': [1.0]}, timeout=30 * SLOWNESS)
        assert answer.json() == {'predictions': [2.5]}
        server.terminate()
        assert server.wait() == 0


def test_streams_that_find_no_memory_stop_nobody(tmp_path):
    # The first part of each is larger than the budget.
    flags = ['--compute_threads=2', '--inflight_bytes_max=4000000']
    with Server(tmp_path, {'stream': 'builtin:stream'}, flags) as server, \
            grpc.insecure_channel(server.address) as channel:
        calls = [streamed(channel, count=10 ** 9, size=2 * MEBIBYTE) for _ in range(8)]
        for call in calls:
            with pytest.raises(grpc.RpcError) as error:
                next(call)
            assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert indices(streamed(channel, count=3)) == [0, 1, 2]
        server.terminate()
        assert server.wait() == 0


def test_a_time_limit_ends_with_an_event(tmp_path):
    flags = ['--rest_api_timeout_in_ms=500']
    with Server(tmp_path, {'stream': 'builtin:stream'}, flags) as server:
        seen = list(events(post(server, {'count': 10 ** 9, 'delay_us': 20_000})))
        assert seen[0] == ('message', {'outputs': 0})
        # The model and the network watch the same deadline. Either may be first.
        assert seen[-1][0] == 'error' and seen[-1][1]['code'] == 'DEADLINE_EXCEEDED'
        eventually('the end of the run', lambda: requests_with(server, 'DEADLINE_EXCEEDED') == 1)


def test_shutdown_lets_streams_end(tmp_path):
    with Server(tmp_path, {'stream': 'builtin:stream'}) as server, \
            grpc.insecure_channel(server.address) as channel, \
            post(server, {'count': 40, 'delay_us': 20_000}) as response:
        call = streamed(channel, count=40, delay_us=20_000)
        seen = events(response)
        assert indices([next(call)]) == [0] and next(seen)[1] == {'outputs': 0}
        server.process.terminate()
        assert indices(call) == list(range(1, 40))
        assert [kind for kind, _ in seen] == ['message'] * 39 + ['end']
        assert server.process.wait(30 * SLOWNESS) == 0


def test_a_stream_finishes_on_its_version(tmp_path):
    base = tmp_path / 'model'
    write_version(base, 1)
    with Server(tmp_path / 'server', {'stream': str(base)}) as server, \
            grpc.insecure_channel(server.address) as channel:
        call = streamed(channel, count=100, delay_us=10_000)
        first = next(call)
        write_version(base, 2)
        eventually('version 2', lambda: server.states('stream').get(2) == 'AVAILABLE')
        assert next(streamed(channel, count=1)).model_spec.version.value == 2
        parts = [first, *call]
        assert indices(parts) == list(range(100))
        assert {part.model_spec.version.value for part in parts} == {1}
        eventually('version 1 is gone', lambda: server.states('stream').get(1) in (None, 'END'))


@pytest.mark.skipif(not os.path.isdir(CUSTOM_BACKEND), reason='this build has no example backend')
def test_a_backend_gives_parts_and_is_told_to_stop(tmp_path):
    model = os.path.join(ROOT, 'examples/custom_backend/model')
    with Server(tmp_path, {'linear': model}, [f'--backend_directory={CUSTOM_BACKEND}']) as server, \
            grpc.insecure_channel(server.address) as channel:
        parts = list(streamed(channel, model='linear', signature='each_row', x=[1.0, 2.0, 5.0]))
        assert [tf.make_ndarray(part.outputs['y']).tolist() for part in parts] == [[2.5], [3.0], [4.5]]
        call = streamed(channel, model='linear', signature='each_row', x=np.zeros(1_000_000))
        next(call)
        call.cancel()
        eventually('the end of the run', lambda: requests_with(server, 'CANCELLED', 'linear') == 1)


def write_version(base, number):
    folder = base / str(number)
    folder.mkdir(parents=True)
    (folder / 'model.builtin').write_text('stream\n')
