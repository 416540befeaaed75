# SPDX-License-Identifier: Apache-2.0
"""The access log: which calls get a line, what it says, and where it goes."""
import json
import os
import re
import stat

import numpy as np
import pytest

from clients import Client, error_of
from conftest import BUILTIN
from penstock_server import eventually
from test_metrics import value

X = {'x': np.array([1], np.float32)}


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as file:
        return file.read().splitlines()


def line_with(path, *texts):
    """The line that has all these texts, once it is there."""
    return eventually(f'a line with {texts}',
                      lambda: next((line for line in lines(path) if all(text in line for text in texts)), None))


def fields(line):
    """The fields of a text line whose values have no quotes."""
    return dict(re.findall(r' (\w+)=(\S+)', line))


@pytest.fixture
def logged(start, tmp_path):
    """Starts a server with an access log in a file: (server, path)."""
    def make(*flags):
        path = str(tmp_path / 'access.log')
        return start(BUILTIN, flags=[f'--access_log_file={path}', *flags]), path
    return make


def test_all_protocols_and_ports_get_lines(logged):
    server, path = logged('--access_log=all', '--health_port=-1')
    with Client(server) as client:
        client.predict_raw('half', X)
    server.rest_predict('half', {'instances': [1.0]})
    server.get('/admin/v1/models')
    server.get('/readyz', port=server.health_port)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    grpc_call = fields(line_with(path, 'method=/tensorflow.serving.PredictionService/Predict'))
    assert grpc_call['protocol'] == 'grpc' and grpc_call['code'] == 'OK'
    assert (grpc_call['model'], grpc_call['version']) == ('half', '1')
    assert grpc_call['client'].startswith('127.0.0.1:')
    assert int(grpc_call['bytes_in']) > 0 and int(grpc_call['bytes_out']) > 0
    stages = [int(grpc_call[f'{stage}_us']) for stage in ('decode', 'queue', 'run', 'encode', 'write')]
    assert sum(stages) <= int(grpc_call['total_us'])
    rest_call = fields(line_with(path, 'path=/v1/models/half:predict'))
    assert (rest_call['protocol'], rest_call['method'], rest_call['code'], rest_call['model']) == (
        'http/1.1', 'POST', '200', 'half')
    assert fields(line_with(path, 'path=/admin/v1/models'))['code'] == '200'
    assert fields(line_with(path, 'path=/readyz'))['method'] == 'GET'
    assert value(server, 'penstock_access_log_lines_total') >= 4
    assert value(server, 'penstock_access_log_dropped_total') == 0


def test_only_errors_get_a_line_unless_asked(logged):
    server, path = logged()
    with Client(server) as client:
        client.predict_raw('half', X)
        error_of(lambda: client.predict_raw('missing', X))
    server.get('/readyz/models/missing')
    assert server.request('GET', '/no/such/path', headers={'x-request-id': 'mine-7'})[0] == 404
    line_with(path, 'request_id=mine-7', 'path=/no/such/path', 'code=404', 'error="no such path: /no/such/path"')
    found = line_with(path, 'code=NOT_FOUND', 'model=missing')
    assert 'error="' in found
    assert not [line for line in lines(path) if 'code=OK' in line or 'readyz' in line]


def test_slow_calls_get_a_line(logged):
    server, path = logged('--access_log=slow', '--access_log_slow_ms=0')
    server.rest_predict('half', {'instances': [1.0]})
    line_with(path, 'path=/v1/models/half:predict', 'code=200')


def test_lines_are_json_if_asked_and_clients_cannot_forge_them(logged):
    server, path = logged('--access_log=errors', '--access_log_format=json')
    name = 'a" b=c\nd\x1b[31m'
    with Client(server) as client:
        error_of(lambda: client.predict_raw(name, X))
    line = json.loads(line_with(path, 'NOT_FOUND'))
    assert line['level'] == 'access' and line['code'] == 'NOT_FOUND' and line['model'] == name


def test_a_moved_file_is_made_again(logged):
    server, path = logged()
    server.get('/first')
    line_with(path, 'path=/first')
    os.rename(path, path + '.1')

    def lands_in_new_file():
        server.get('/second')
        return any('path=/second' in line for line in lines(path))
    eventually('a line in the new file', lands_in_new_file)


def test_it_goes_to_standard_error_as_the_log_does(start):
    server = start(BUILTIN, flags=['--log_format=json'])
    server.get('/no/such/path')
    line = json.loads(line_with(server.log_path, '/no/such/path'))
    assert line['level'] == 'access' and line['code'] == '404'


def test_it_can_be_off(start):
    server = start(BUILTIN, flags=['--access_log=off'])
    server.get('/no/such/path')
    server.stop()
    assert not [line for line in lines(server.log_path) if 'no/such/path' in line]
