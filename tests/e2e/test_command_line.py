# SPDX-License-Identifier: Apache-2.0
"""Command lines of tensorflow_model_server, as they are and wrong; log lines; signals."""
import json
import os
import signal
import socket
import subprocess
import threading

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from clients import predict_request
from conftest import BUILTIN
from net_fixtures import make_certificate
from penstock_server import BINARY, SLOWNESS, Server, config_text, eventually
from raw import connect, read_response
from test_shutdown import BODY, POST, probe

HALF = ['--model_name=half', '--model_base_path=builtin:half_plus_two']


def fails(*flags):
    """The error that a server which cannot start prints."""
    done = subprocess.run([BINARY, 'serve', '--port=-1', '--rest_api_port=0', '--address=127.0.0.1', *flags],
                          capture_output=True, text=True, timeout=30 * SLOWNESS, check=False)
    assert (done.returncode, done.stdout) == (1, ''), done
    return next((line for line in done.stderr.splitlines() if 'cannot start: ' in line), done.stderr)


def test_the_usual_flags(tmp_path):
    """Flags without effect are told one by one, and the server serves."""
    flags = ['--enable_batching', '--rest_api_num_threads=8', '--grpc_max_threads=4', '--tensorflow_intra_op_parallelism=2',
             '--tensorflow_inter_op_parallelism=2', '--file_system_poll_wait_seconds=1', '--enable_model_warmup=true',
             '--allow_version_labels_for_unavailable_models']
    with Server(tmp_path, flags=HALF + flags) as server:
        assert server.rest_predict('half', {'instances': [2.0]}) == (200, {'predictions': [3.0]})
        warnings = [line for line in server.log().splitlines() if ' warning ' in line]
    assert [line.split('--')[1].split(':')[0] for line in warnings] == [
        'rest_api_num_threads=8', 'grpc_max_threads=4']


def test_config_files(tmp_path):
    monitoring = tmp_path / 'monitoring.config'
    monitoring.write_text('prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n')
    models = {'half': 'base_path: "builtin:half_plus_two" version_labels { key: "stable" value: 1 } '
                      'model_version_policy { specific { versions: 1 } }'}
    with Server(tmp_path, models, flags=[f'--monitoring_config_file={monitoring}']) as server:
        assert server.get('/monitoring/prometheus/metrics')[0] == 200
        assert server.rest_predict('half', {'instances': [2.0]}, '/labels/stable')[0] == 200


def test_a_unix_socket_serves_the_public_client(tmp_path_factory, start):
    path = tmp_path_factory.mktemp('s') / 'grpc'  # at most 107 bytes
    start(flags=[*HALF, '--port=0', f'--grpc_socket_path={path}'])
    with grpc.insecure_channel(f'unix:{path}') as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(predict_request('half', {'x': np.float32([1])}), timeout=30 * SLOWNESS)
    assert answer.outputs['y'].float_val == [2.5]


@pytest.mark.parametrize('flags,text', [
    ([], 'no model: give --model_base_path or --model_config_file'),
    (['--model_bse_path=x'], 'did you mean --model_base_path?'),
    (HALF + ['--port=abc'], '--port=abc: expected a whole number'),
    (HALF + ['stray'], "unexpected argument 'stray'"),
    (HALF + ['--use_alts_credentials'], 'ALTS is not there'),
    (HALF + ['--port=0'], 'nothing to listen at'),
    (HALF + ['--address=300.1.1.1'], "--address=300.1.1.1 --port=-1: '300.1.1.1' is not an IP address"),
    (HALF + ['--grpc_socket_path=/nowhere/x.sock'], '--grpc_socket_path: cannot listen on /nowhere/x.sock: No such file'),
    (HALF + ['--port_file=/nowhere/x'], '--port_file: cannot write /nowhere/x: No such file or directory'),
    (HALF + ['--port_file=/proc'], '--port_file: cannot write /proc: '),
    (HALF + ['--backend_directory=/nowhere'], '--backend_directory=/nowhere: No such file or directory'),
    (HALF + ['--tensorflow_library=/nowhere'], '--tensorflow_library=/nowhere: No such file or directory'),
    (['--model_base_path=builtin:nothing'], 'there are builtin:delay'),
    (['--model_config_file=/nowhere/x'], '--model_config_file: cannot read /nowhere/x: No such file'),
    (HALF + ['--batching_parameters_file=/nowhere/x', '--enable_batching=false'], 'needs --enable_batching'),
    (HALF + ['--batching_parameters_file=/nowhere/x'],
     '--batching_parameters_file: cannot read /nowhere/x: No such file'),
    (HALF + ['--ssl_config_file=/nowhere/x'], '--ssl_config_file: cannot read /nowhere/x: No such file'),
])
def test_wrong_flags(flags, text):
    assert text in fails(*flags)


@pytest.mark.parametrize('flag,content,text', [
    ('model_config_file', 'model_config_list { config { nme: "a" } }', '1:30: '),
    ('model_config_file', 'model_config_list { config { name: "a" } }', "model 'a' has no base_path"),
    ('model_config_file', '', 'there is no model_config_list'),
    ('monitoring_config_file', 'prometheus_config { enable: "maybe" }', '1:29: '),
    ('model_config_file', 'model_config_list { config { name: "a" base_path: "/a" model_platform: "caffe" } }',
     "model 'a' requests the unsupported model_platform 'caffe': there is no backend 'caffe'; installed: "),
    ('model_config_file', 'model_config_list { config { name: "a" base_path: "builtin:identity" model_platform: "caffe" } }',
     "model 'a' is built in (builtin:identity), so leave out model_platform 'caffe'"),
    ('model_config_file', 'model_config_list { config { name: "a"', 'the text ends here: it is cut short'),
    ('ssl_config_file', 'server_key: "x" server_cert: "y"', '/file cannot be used: no start line; it must be PEM text'),
])
def test_wrong_files(tmp_path, flag, content, text):
    file = tmp_path / 'file'
    file.write_text(content)
    assert text in fails(*HALF, f'--{flag}={file}')


def test_a_port_in_use():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert f'cannot listen on 127.0.0.1 port {port}: Address already in use' in fails(*HALF, f'--port={port}')


def test_log_lines_are_json(tmp_path):
    base = tmp_path / 'with "quotes"'
    with Server(tmp_path / 'server', flags=['--log_format=json', f'--model_base_path={base}'], ready=False) as server:
        eventually('the source looks', lambda: 'cannot be read' in server.log())
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert all({'time', 'level', 'message'} <= line.keys() for line in lines)
    assert any(str(base) in line['message'] for line in lines)
    assert lines[-1]['message'] == 'stopped'
    assert not any('again' in line['message'] for line in lines)


def test_two_signals_at_once_start_one_stop(start):
    """As from a terminal and a script, or from timeout(1): the request in flight is answered."""
    server = start(BUILTIN)
    with connect(server.rest_port) as sock:
        sock.sendall(POST + BODY[:5])
        with connect(server.rest_port) as other:
            assert probe(other) == 200
        server.terminate(signal.SIGSTOP)
        server.terminate(signal.SIGTERM)
        server.terminate(signal.SIGINT)
        server.terminate(signal.SIGCONT)
        eventually('it drains', lambda: 'draining' in server.log())
        sock.sendall(BODY[5:])
        assert read_response(sock)[0] == 200
    assert server.wait() == 0


def test_a_further_signal_ends_it(tmp_path):
    server = Server(tmp_path, BUILTIN)
    try:
        with connect(server.rest_port) as sock:
            sock.sendall(POST + BODY[:5])
            with connect(server.rest_port) as other:
                assert probe(other) == 200

            def is_gone():
                server.terminate()
                return server.process.poll() is not None
            eventually('it ends', is_gone)
        assert server.wait() == 1
        assert 'second signal: exiting at once' in server.log()
    finally:
        server.kill()


def test_a_configuration_file_that_is_a_pipe_without_a_writer(tmp_path):
    pipe = tmp_path / 'models.config'
    os.mkfifo(pipe)
    assert fails(f'--model_config_file={pipe}').endswith(
        f'--model_config_file: cannot read {pipe}: it is a pipe, and its text did not end within 2 s')


def test_no_file_that_a_flag_names_makes_the_start_hang(tmp_path):
    """A pipe without a writer, in the place of each of them."""
    pipe, certificate, key = tmp_path / 'pipe', tmp_path / 'cert.pem', tmp_path / 'key.pem'
    os.mkfifo(pipe)
    make_certificate(certificate, key)
    tls = {'tls_certificate_file': certificate, 'tls_key_file': key}
    errors = {}

    def start(flag):
        flags = {flag: pipe} | ({**tls, flag: pipe} if flag.startswith('tls_') else {})
        errors[flag] = fails(*HALF, *(f'--{name}={path}' for name, path in flags.items()))
    files = {'ssl_config_file': '--ssl_config_file: cannot read', 'tls_certificate_file': 'cannot read the certificate',
             'tls_key_file': 'cannot read the private key',
             'tls_client_ca_file': 'cannot read the CA certificate for clients',
             'monitoring_config_file': '--monitoring_config_file: cannot read'}
    threads = [threading.Thread(target=start, args=[flag]) for flag in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for flag, what in files.items():
        assert f'{what} {pipe}: it is a pipe, and its text did not end within 2 s' in errors[flag]


def test_a_configuration_file_that_is_a_pipe_is_read(tmp_path):
    """As a shell gives it: --model_config_file=<(make_config)."""
    pipe = tmp_path / 'models.config'
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[config_text(BUILTIN)])  # waits for the server to open it
    writer.start()
    with Server(tmp_path / 'server', flags=[f'--model_config_file={pipe}']) as server:
        assert server.states('half') == {1: 'AVAILABLE'}
    writer.join()


def test_closed_standard_files_are_not_taken_by_sockets(start):
    server = start(BUILTIN, wrapper=['sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh'])
    assert [os.readlink(f'/proc/{server.process.pid}/fd/{file}') for file in range(3)] == ['/dev/null'] * 3
