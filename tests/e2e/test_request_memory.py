# SPDX-License-Identifier: Apache-2.0
"""What requests make the server hold is counted before it is allocated, and given back."""
import os

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from clients import predict_request, value_proto
from penstock_server import BUILD, eventually
from raw import GrpcConnection
from test_metrics import value

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 0, 3, 8
MEGABYTE = 1 << 20
MODELS = {'identity': 'builtin:identity'}


def constant(elements):
    """A request of some 40 bytes that stands for a float tensor of so many equal elements."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = 'identity'
    proto = value_proto('float32', np.array([1], np.float32))
    proto.tensor_shape.dim[0].size = elements
    request.inputs['x'].CopyFrom(proto)
    return request.SerializeToString()


def call(server, message):
    with GrpcConnection(server) as connection:
        status, text, _ = connection.call(connection.frame(message))
        return status, text


def refusal(server, message):
    answer = call(server, message)
    return answer if answer[0] != OK else None


def test_tensors_and_unsent_answers_count_in_the_budget(start):
    """Clients that ask for much and take nothing hold no more than --inflight_bytes_max."""
    server = start(MODELS, flags=[f'--inflight_bytes_max={64 * MEGABYTE}'])
    before = server.memory_bytes()
    sixteen = constant(4 * MEGABYTE)
    with GrpcConnection(server) as greedy:
        def ask():  # reads nothing, so the windows close
            greedy.send(greedy.begin(), greedy.frame(sixteen), end=True)

        for _ in range(12):
            ask()

        def refused():
            ask()  # an earlier call of the two clients may have had the room that is left
            return refusal(server, sixteen)

        status, text = eventually('a refusal', refused)
        assert status == RESOURCE_EXHAUSTED
        assert '--inflight_bytes_max' in text
        # ThreadSanitizer keeps two bytes and more about each byte that is used.
        bytes_max = 100 * MEGABYTE * (4 if os.path.basename(BUILD) == 'tsan' else 1)
        assert server.memory_bytes() - before < bytes_max
        assert call(server, constant(10))[0] == OK
        assert value(server, 'penstock_net_limits_hit_total', limit='inflight_bytes') > 0
    eventually('the memory is free again', lambda: call(server, sixteen)[0] == OK)


def test_one_request_holds_no_more_than_its_limit(start):
    server = start(MODELS, flags=[f'--inflight_bytes_max={64 * MEGABYTE}'])
    status, text = call(server, constant(9 * MEGABYTE))
    assert status == RESOURCE_EXHAUSTED
    assert f'the limit is {32 * MEGABYTE}' in text, 'half of the budget, by default'


@pytest.mark.skipif(os.path.basename(BUILD) in ('asan', 'tsan'), reason='sanitizers reserve address space')
def test_a_failed_allocation_is_an_error(start):
    server = start(MODELS, flags=[f'--inflight_bytes_max={1 << 40}', f'--decoded_tensor_bytes_max={1 << 40}'],
                         wrapper=['bash', '-c', 'ulimit -v 4000000; exec "$@"', 'bash'])
    status, text = call(server, constant(2048 * MEGABYTE))
    assert status == RESOURCE_EXHAUSTED
    assert 'no memory' in text
    assert call(server, constant(10))[0] == OK


def test_a_repeated_output_filter_is_refused(start):
    server = start(MODELS)
    request = predict_request('identity', {'x': np.array([1], np.float32)}, outputs=['x'] * 400)
    status, text = call(server, request.SerializeToString())
    assert status == INVALID_ARGUMENT
    assert 'is named twice' in text
