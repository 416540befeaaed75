# SPDX-License-Identifier: Apache-2.0
"""Fair shares of the compute slots, limits of queues, and requests that leave the queue unrun.

builtin:delay takes as long as the request asks for. The tests look at the order of answers and at counters, not at times.
Scrapes that follow each other closely get the same page, so counters are awaited.
"""
import json
import re

import grpc
import numpy as np

from clients import Client, error_of, predict_request
from penstock_server import SLOWNESS, eventually

ONE_SLOT = '--compute_threads=1'
MODELS = {'heavy': 'builtin:delay', 'light': 'builtin:delay', 'half': 'builtin:half_plus_two'}
LONG_US = 60_000_000


def delay(microseconds):
    return {'delay_us': np.int64(microseconds)}


def gauge(server, name, model=None):
    """The value of a metric; 0 if it is not there."""
    labels = '' if model is None else rf'\{{model_name="{model}"\}}'
    found = re.search(rf'^{name}{labels} (\S+)$', server.get('/metrics')[1], re.MULTILINE)
    return float(found.group(1)) if found else 0


def refused(server, reason):
    found = re.search(rf'^penstock_requests_refused_total\{{reason="{reason}"\}} (\S+)$', server.get('/metrics')[1],
                      re.MULTILINE)
    return float(found.group(1))


def ask_later(client, model, microseconds, timeout=120):
    return client.stub.Predict.future(predict_request(model, delay(microseconds)), timeout=timeout * SLOWNESS)


def hold_the_slot(server, client, model='heavy'):
    """One request that runs until it is cancelled."""
    held = ask_later(client, model, LONG_US)
    eventually('the run', lambda: gauge(server, 'penstock_model_runs', model) == 1)
    return held


def test_light_model_waits_for_few_runs_of_a_heavy_one(start):
    server = start(MODELS, flags=[ONE_SLOT])
    with Client(server) as client:
        heavy = [ask_later(client, 'heavy', 50_000) for _ in range(45)]
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') > 30)
        before = sum(call.done() for call in heavy)
        for _ in range(3):
            client.predict('light', delay(1))
            client.predict('half', {'x': np.float32([1])})
        # First come, first served would answer all 45 before. Now each waits for the one that runs.
        assert sum(call.done() for call in heavy) - before <= 20
        for call in heavy:
            call.cancel()


def test_full_queue_of_a_model_refuses_with_the_time_to_try_again(start):
    models = {**MODELS, 'heavy': 'base_path: "builtin:delay" penstock { scheduling { queue_requests_max: 2 } }'}
    server = start(models, flags=[ONE_SLOT])
    with Client(server) as client:
        calls = [hold_the_slot(server, client), *(ask_later(client, 'heavy', LONG_US) for _ in range(2))]
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') == 2)
        text = 'model heavy is busy: 2 of its requests wait, and no more than 2 may wait; try again in '
        status, headers, body = server.request('POST', '/v1/models/heavy:predict', '{"inputs": 1}')
        assert (status, int(headers['Retry-After']) > 0) == (503, True)
        assert text in json.loads(body)['error']
        call = client.stub.Predict.future(predict_request('heavy', delay(1)), timeout=30 * SLOWNESS)
        assert call.code() == grpc.StatusCode.UNAVAILABLE and call.details().startswith(text)
        assert int(dict(call.trailing_metadata())['grpc-retry-pushback-ms']) >= 1000
        eventually('the count', lambda: refused(server, 'model_queue_full') == 2)
        # Another model has its own queue.
        other = ask_later(client, 'light', 1)
        eventually('its turn', lambda: gauge(server, 'penstock_model_queue_length', 'light') == 1)
        for call in calls:
            call.cancel()
        assert other.result()


def test_bytes_in_the_queue_are_limited(start):
    server = start(MODELS, flags=[ONE_SLOT, '--model_queue_bytes_max=100000'])
    with Client(server) as client:
        held = hold_the_slot(server, client)
        large = predict_request('heavy', {'delay_us': np.zeros(10_000, np.int64)})
        waits = client.stub.Predict.future(large, timeout=120 * SLOWNESS)
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_bytes', 'heavy') > 80_000)
        code, text = error_of(client.stub.Predict, large, timeout=30 * SLOWNESS)
        assert code == grpc.StatusCode.UNAVAILABLE and 'no more than 100000 may wait' in text, text
        eventually('the count', lambda: refused(server, 'model_queue_bytes_full') == 1)
        held.cancel()
        assert waits.result()


def test_requests_that_expire_or_are_cancelled_leave_the_queue_unrun(start):
    server = start(MODELS, flags=[ONE_SLOT])
    with Client(server) as client:
        held = hold_the_slot(server, client)
        cancelled = [ask_later(client, 'heavy', 1) for _ in range(3)]
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') == 3)
        for call in cancelled:
            call.cancel()
        eventually('an empty queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') == 0)
        eventually('the count', lambda: refused(server, 'client_left') == 3)
        code, _ = error_of(client.predict, 'heavy', delay(1), timeout=0.2)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        eventually('an empty queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') == 0)
        eventually('the count', lambda: refused(server, 'deadline_passed') + refused(server, 'client_left') == 4)
        assert gauge(server, 'penstock_model_runs', 'heavy') == 1, 'the slot is still held'
        held.cancel()


def test_runs_of_a_model_at_a_time_are_limited(start):
    models = {**MODELS, 'heavy': 'base_path: "builtin:delay" penstock { scheduling { max_concurrency: 1 } }'}
    server = start(models, flags=['--compute_threads=2'])
    with Client(server) as client:
        held = hold_the_slot(server, client)
        waits = ask_later(client, 'heavy', 1)
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_length', 'heavy') == 1)
        client.predict('light', delay(1))  # in the other slot
        eventually('one slot', lambda: gauge(server, 'penstock_compute_slots_taken') == 1)
        held.cancel()
        assert waits.result()


def test_models_that_block_hold_no_compute_slot(start):
    server = start({**MODELS, 'stream': 'builtin:stream'}, flags=[ONE_SLOT])
    with Client(server) as client:
        request = predict_request('stream', {'count': np.int64(1), **delay(LONG_US)})
        blocked = [client.stub.Predict.future(request, timeout=120 * SLOWNESS) for _ in range(4)]
        eventually('the runs', lambda: gauge(server, 'penstock_model_runs', 'stream') == 4)
        assert gauge(server, 'penstock_compute_slots_taken') == 0
        client.predict('light', delay(1))
        for call in blocked:
            call.cancel()
        eventually('the end', lambda: gauge(server, 'penstock_model_runs', 'stream') == 0)


def test_queued_requests_keep_their_version_loaded(start):
    idle = 'base_path: "builtin:delay" penstock { load: ON_DEMAND unload_after_idle_ms: 1 }'
    server = start({'heavy': 'builtin:delay', 'demanded': idle}, flags=[ONE_SLOT])
    with Client(server) as client:
        client.predict('demanded', delay(1))
        held = hold_the_slot(server, client)
        waits = ask_later(client, 'demanded', 1)
        eventually('the queue', lambda: gauge(server, 'penstock_model_queue_length', 'demanded') == 1)
        held.cancel()
        assert waits.result()
