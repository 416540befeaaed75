# SPDX-License-Identifier: Apache-2.0
"""Remote models whose targets ask for TLS and a token, stand behind HAProxy, stop, or are steps of an ensemble."""
import contextlib
import shutil
import signal
import socket
import subprocess

import grpc
import numpy as np
import pytest

from clients import Client, error_of
from net_fixtures import make_certificate
from penstock_server import Server, eventually
from test_access import caller, new_token
from test_ensembles import chain, ensemble, twice
from test_remote import Load, predict, remote

pytestmark = pytest.mark.release_only
HALF = 'builtin:half_plus_two'
ALLOWED = '--remote_targets=127.0.0.1:*'


def test_a_step_of_an_ensemble_may_be_remote(tmp_path):
    with Server(tmp_path / 'target', {'half': HALF}) as target:
        models = {'far': remote(target.address, more='model: "half"'), 'chain': ensemble(chain('far'))}
        with Server(tmp_path / 'root', models, [ALLOWED]) as root, Client(root) as client:
            assert predict(client, 'chain', [4, 8]).tolist() == twice([4, 8])


def test_targets_may_ask_for_tls_and_a_token(tmp_path):
    certificate, key = tmp_path / 'cert.pem', tmp_path / 'key.pem'
    make_certificate(certificate, key)
    token, digest = new_token('root')
    (tmp_path / 'callers').write_text(
        caller('root', f'token_sha256: "{digest}"', 'operation: [INFER, METADATA, STATUS] model: "half"'))
    secret = tmp_path / 'secret'
    secret.write_text(token + '\n')
    (tmp_path / 'wrong').write_text('wrong-token-1234\n')
    flags = [f'--tls_certificate_file={certificate}', f'--tls_key_file={key}', f'--token_file={tmp_path}/callers']
    with Server(tmp_path / 'target', {'half': HALF}, flags, ready=False) as target:
        def far(file, ca):
            return remote(target.address, more=f'model: "half" token_file: "{file}" tls {{ {ca} }}')
        trusted = f'ca_file: "{certificate}"'
        models = {'far': far(secret, trusted), 'refused': far(tmp_path / 'wrong', trusted), 'distrusts': far(secret, '')}
        with Server(tmp_path / 'root', models, [ALLOWED, '--load_retry_interval_micros=100000'], ready=False) as root:
            root.wait_for('far', 1)
            with Client(root) as client:
                assert predict(client, 'far', [4]).tolist() == [4]
                for model, text in (('refused', 'token'), ('distrusts', 'certificate')):
                    def says(name=model, wanted=text):
                        return wanted in error_of(predict, client, name, [4], timeout=5)[1]
                    eventually(f'the reason of {model}', says)
            log = root.log()
            assert token not in log and 'wrong-token' not in log


def free_port():
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def haproxy(folder, mode, *servers):
    """The address of a HAProxy before these servers."""
    assert shutil.which('haproxy', path='/usr/sbin:/usr/bin'), 'haproxy is not installed: make setup'
    port, how = free_port(), 'proto h2' if mode == 'http' else ''
    lines = ''.join(f'  server s{i} {each.address} check inter 100ms fall 1 rise 1 {how}\n' for i, each in enumerate(servers))
    (folder / 'haproxy.cfg').write_text(
        f'defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  option redispatch\n'
        f'frontend front\n  bind 127.0.0.1:{port} {how}\n  default_backend back\nbackend back\n  balance roundrobin\n{lines}')
    with open(folder / 'haproxy.log', 'wb') as log:
        process = subprocess.Popen(['/usr/sbin/haproxy', '-f', str(folder / 'haproxy.cfg')], stdout=log, stderr=log)
    try:
        yield f'127.0.0.1:{port}'
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize('mode', ['tcp', 'http'])
def test_a_target_may_be_haproxy(tmp_path, mode):
    gone = Server(tmp_path / 'gone', {'half': HALF})
    try:
        with Server(tmp_path / 'stays', {'half': HALF}) as stays, haproxy(tmp_path, mode, gone, stays) as address:
            models = {'half': remote(address, more='version: 1 idempotent: true')}
            with Server(tmp_path / 'root', models, [ALLOWED]) as root:
                with Load(root, 'half') as load:
                    load.more(300)
                gone.stop()  # it says GOAWAY, or ends its connections, when its requests have ended
                with Load(root, 'half') as load:
                    load.more(300)
    finally:
        gone.kill()


def test_a_ping_finds_a_target_that_has_stopped(tmp_path):
    flags = [ALLOWED, '--remote_keepalive_ms=100', '--remote_keepalive_timeout_ms=200', '--remote_version_interval_ms=100']
    with Server(tmp_path / 'target', {'half': HALF}) as target:
        with Server(tmp_path / 'root', {'half': remote(target.address)}, flags) as root, Client(root) as client:
            assert predict(client, 'half', [4]).tolist() == [4]
            target.terminate(signal.SIGSTOP)
            try:
                code, text = error_of(predict, client, 'half', np.float32([4]), timeout=60)
            finally:
                target.terminate(signal.SIGCONT)
            assert code == grpc.StatusCode.UNAVAILABLE and 'does not answer a ping' in text
            eventually('answers', lambda: error_of_or_none(client) is None)


def error_of_or_none(client):
    try:
        predict(client, 'half', [4])
    except grpc.RpcError as error:
        return error.code()
    return None
