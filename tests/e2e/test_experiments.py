# SPDX-License-Identifier: Apache-2.0
"""Experiments: traffic split among versions and models, and shadows, as real clients see them."""
import collections
import json
import os

import numpy as np
import pytest

from clients import Client, predict_request
from penstock_server import SLOWNESS, config_text, eventually
from test_command_line import fails

HALF, IDENTITY = [4.5], [5.0]  # answers to 5
ASK = {'instances': [5.0]}
USERS = [f'user-{i}' for i in range(60)]
BY_HEADER = 'sticky_header: "x-user"'


@pytest.fixture
def base(tmp_path):
    """A model whose version 1 gives its input back and whose version 2 is half_plus_two."""
    for version, model in ((1, 'identity'), (2, 'half_plus_two')):
        os.makedirs(tmp_path / 'm' / str(version))
        (tmp_path / 'm' / str(version) / 'model.builtin').write_text(model)
    return str(tmp_path / 'm')


@pytest.fixture
def start(start):
    """As everywhere, but waits for all versions of m: a server is ready with one of them."""
    def start_whole(models, **options):
        server = start(models, **options)
        eventually('all versions', lambda: {*server.states('m').values()} == {'AVAILABLE'})
        return server
    start_whole.servers = start.servers
    return start_whole


def model(base, penstock='', more=''):
    return f'base_path: "{base}" model_version_policy {{ all {{}} }} penstock {{ {penstock} }} {more}'


def traffic(*arms, sticky=''):
    return 'traffic { ' + ' '.join(f'arm {{ {arm} }}' for arm in arms) + f' {sticky} }}'


HALVES = ('version: 1 weight: 1', 'version: 2 weight: 1')


def rest(server, user=None, name='m', path='', inputs=5.0):
    body = json.dumps({'instances': [inputs]})
    status, _, answer = server.request('POST', f'/v1/models/{name}{path}:predict', body,
                                       {} if user is None else {'X-User': user})
    assert status == 200, answer
    return json.loads(answer)['predictions']


def grpc(client, user=None, **selection):
    answer = client.stub.Predict(predict_request('m', {'x': np.float32([5.0])}, **selection), timeout=30 * SLOWNESS,
                                 metadata=None if user is None else [('x-user', user)])
    return answer.model_spec.version.value


def value(server, metric):
    """Of a series, by its name and labels as they are printed; none if it is not there."""
    for line in server.get('/metrics')[1].splitlines():
        name, _, number = line.rpartition(' ')
        if name == metric:
            return float(number)
    return None


def arm(server, name, status='OK'):
    return value(server, f'penstock_arm_requests_total{{model_name="m",arm="{name}",status="{status}"}}')


def shadow(server, name, status='OK'):
    return value(server, f'penstock_shadow_requests_total{{model_name="m",shadow="{name}",status="{status}"}}')


def reload(server, models):
    with open(os.path.join(server.folder, 'models.config'), 'w', encoding='utf-8') as file:
        file.write(config_text(models))
    server.terminate(1)  # SIGHUP


def test_users_keep_their_arm(start, base):
    server = start({'m': model(base, traffic(*HALVES, sticky=BY_HEADER))})
    with Client(server) as client:
        of_user = {user: grpc(client, user) for user in USERS}
        assert {*of_user.values()} == {1, 2}
        for user in USERS:
            assert grpc(client, user) == of_user[user]
            assert rest(server, user) == (IDENTITY if of_user[user] == 1 else HALF)
    counts = collections.Counter(of_user.values())
    assert arm(server, 'v1') == 3 * counts[1] and arm(server, 'v2') == 3 * counts[2]
    assert value(server, 'penstock_arm_latency_us_count{model_name="m",arm="v1"}') == 3 * counts[1]


def test_answers_name_their_arm(start, base):
    server = start({'m': model(base, traffic('name: "old" version: 1 weight: 1')), 'half': 'builtin:half_plus_two'})
    status, headers, _ = server.request('POST', '/v1/models/m:predict', json.dumps(ASK))
    assert status == 200
    assert [headers[f'x-penstock-{field}'] for field in ('model', 'version', 'arm')] == ['m', '1', 'old']
    with Client(server) as client:
        for name, arm_name in (('m', 'old'), ('half', None)):
            _, call = client.stub.Predict.with_call(predict_request(name, {'x': np.float32([5.0])}),
                                                    timeout=30 * SLOWNESS)
            trailers = dict(call.trailing_metadata())
            assert (trailers['x-penstock-model'], trailers['x-penstock-version']) == (name, '1')
            assert trailers.get('x-penstock-arm') == arm_name


def test_users_keep_their_arm_over_a_restart(start, base):
    models = {'m': model(base, traffic(*HALVES, sticky=BY_HEADER))}
    first, second = start(models), start(models)
    assert [rest(first, user) for user in USERS] == [rest(second, user) for user in USERS]


def test_a_reload_changes_the_weights(start, base):
    server = start({'m': model(base, traffic('version: 1 weight: 9', 'version: 2 weight: 1', sticky=BY_HEADER))})
    before = {user for user in USERS if rest(server, user) == HALF}
    assert 0 < len(before) < 30
    reload(server, {'m': model(base, traffic('version: 1 weight: 1', 'version: 2 weight: 9', sticky=BY_HEADER))})
    eventually('the new weights', lambda: sum(rest(server, user) == HALF for user in USERS) > 30)
    assert before <= {user for user in USERS if rest(server, user) == HALF}
    reload(server, {'m': model(base)})
    eventually('no experiment', lambda: all(rest(server, user) == HALF for user in USERS))


def test_without_the_header_requests_are_divided_at_random(start, base):
    server = start({'m': model(base, traffic(*HALVES, sticky=BY_HEADER))})
    with Client(server) as client:
        versions = collections.Counter(grpc(client) for _ in range(200))
    assert 50 < versions[1] < 150


def test_requests_stick_to_an_input(start, base):
    server = start({'m': model(base, traffic(*HALVES, sticky='sticky_input: "x"'))})
    with Client(server) as client:
        got = {}
        for number in map(float, range(40)):
            request = predict_request('m', {'x': np.float32([number, 1.0])})
            got[number] = client.stub.Predict(request, timeout=30 * SLOWNESS).model_spec.version.value
            assert client.stub.Predict(request, timeout=30 * SLOWNESS).model_spec.version.value == got[number]
            # The same value in JSON, which the newest version says how to read.
            assert rest(server, inputs=number) == ([number] if got[number] == 1 else [number / 2 + 2])
    assert {*got.values()} == {1, 2}


def test_a_request_that_names_a_version_or_label_gets_it(start, base):
    labels = 'version_labels { key: "stable" value: 1 }'
    server = start({'m': model(base, traffic('version: 2 weight: 1'), labels)})
    with Client(server) as client:
        for _ in range(10):
            assert grpc(client, version=1) == 1
            assert grpc(client, label='stable') == 1
            assert grpc(client) == 2
            assert rest(server, path='/versions/1') == IDENTITY
            assert rest(server, path='/labels/stable') == IDENTITY
        assert client.metadata('m').model_spec.version.value == 2
    assert arm(server, 'v2') == 10


def test_arms_by_label_and_in_another_model(start, base):
    labels = 'version_labels { key: "stable" value: 1 }'
    server = start({'m': model(base, traffic('label: "stable" weight: 1', 'model: "half" weight: 1', sticky=BY_HEADER),
                               labels), 'half': 'builtin:half_plus_two'})
    answers = [rest(server, user) for user in USERS]
    assert arm(server, 'stable') == answers.count(IDENTITY) > 0
    assert arm(server, 'half') == answers.count(HALF) > 0
    assert rest(server, name='half') == HALF


def test_another_arm_replaces_one_that_is_not_ready(start, base):
    server = start({'m': model(base, traffic('version: 1 weight: 1', 'version: 7 weight: 1', sticky=BY_HEADER))})
    assert all(rest(server, user) == IDENTITY for user in USERS)
    assert 0 < value(server, 'penstock_arm_fallbacks_total{model_name="m",arm="v7"}') < len(USERS)
    os.makedirs(f'{base}/tmp')
    with open(f'{base}/tmp/model.builtin', 'w', encoding='ascii') as file:
        file.write('half_plus_two')
    os.rename(f'{base}/tmp', f'{base}/7')
    server.wait_for('m', 7)
    assert {str(rest(server, user)) for user in USERS} == {str(IDENTITY), str(HALF)}


def test_without_a_ready_arm_the_model_answers_as_usual(start, base):
    server = start({'m': model(base, traffic('version: 8 weight: 1', 'label: "none" weight: 1'))})
    assert rest(server) == HALF


def test_a_shadow_is_measured_and_changes_nothing(start, base):
    server = start({'m': model(base, 'shadow { name: "next" version: 1 in_flight_max: 1000 }')})
    with Client(server) as client:
        for user in USERS:
            assert grpc(client) == 2
            assert rest(server) == HALF
    eventually('the copies', lambda: shadow(server, 'next') == 2 * len(USERS))
    assert value(server, 'penstock_shadow_latency_us_count{model_name="m",shadow="next"}') == 2 * len(USERS)
    assert value(server, 'penstock_shadow_dropped_total{model_name="m",shadow="next",reason="busy"}') == 0


def test_a_shadow_that_fails_or_is_not_there_changes_nothing(start, base):
    shadows = 'shadow { model: "half" } shadow { version: 9 }'
    server = start({'m': f'base_path: "builtin:identity" penstock {{ {shadows} }}', 'half': 'builtin:half_plus_two'})
    # half_plus_two knows the input "x" only.
    assert server.rest_predict('m', {'inputs': {'z': [5.0]}}) == (200, {'outputs': IDENTITY})
    eventually('the copy', lambda: shadow(server, 'half', 'INVALID_ARGUMENT') == 1)
    assert shadow(server, 'half') == 0
    assert value(server, 'penstock_shadow_dropped_total{model_name="m",shadow="v9",reason="not_ready"}') == 1


def test_a_split_and_a_shadow_together(start, base):
    server = start({'m': model(base, traffic('version: 1 weight: 1') + ' shadow { version: 2 fraction: 1 }')})
    with Client(server) as client:
        for done in range(1, 6):
            assert grpc(client) == 1
            eventually('the copy', lambda: shadow(server, 'v2') == done)
    assert arm(server, 'v1') == 5


@pytest.mark.parametrize('penstock, text', [
    ('traffic { arm { model: "none" weight: 1 } }', "an experiment with the model 'none', which is not in the list"),
    ('shadow { model: "none" }', "an experiment with the model 'none', which is not in the list"),
    ('traffic { arm { version: 1 } }', 'no arm with a weight above 0'),
    ('traffic { arms { version: 1 } }', 'no field named "arms"'),
    ('shadow { version: 1 fraction: 2 }', "the shadow 'v1' with the fraction 2; it must be above 0, up to 1")])
def test_impossible_experiments_end_the_start(tmp_path, base, penstock, text):
    config = tmp_path / 'models.config'
    config.write_text(config_text({'m': model(base, penstock)}))
    assert text in fails(f'--model_config_file={config}')
