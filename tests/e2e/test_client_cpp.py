# SPDX-License-Identifier: Apache-2.0
"""Our C++ client (clients/cpp), installed as its users do, against the server. What needs a server that misbehaves is in the
client's own tests."""
import os
import re
import subprocess

import pytest

from net_fixtures import make_certificate
from penstock_server import ROOT, Server, eventually
from test_access import caller, client_certificate, new_token

PACKAGE = os.path.join(ROOT, 'clients/cpp')

pytestmark = pytest.mark.release_only  # the server's part is in test_graphpipe.py and test_access.py
MODELS = {'half_plus_two': 'builtin:half_plus_two', 'identity': 'builtin:identity'}


def run(*command):
    subprocess.run([str(each) for each in command], check=True, timeout=300)


def build(source, folder, *options):
    launcher = f'-DCMAKE_CXX_COMPILER_LAUNCHER={ROOT}/tools/ccache'
    run('cmake', '-G', 'Ninja', '-Wno-dev', launcher, *options, '-S', source, '-B', folder)
    run('cmake', '--build', folder)


@pytest.fixture(scope='module')
def example():
    with open(os.path.join(PACKAGE, 'README.md'), encoding='utf-8') as file:
        return re.search(r'```cpp\n(.*?)```', file.read(), re.S).group(1)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cpp')
    with Server(folder, MODELS, [f'--grpc_socket_path={folder}/socket']) as server:
        yield server


@pytest.fixture(scope='module')
def programs(tmp_path_factory, example, server):
    """The folder of what is built with the package that was built and installed by itself, without any file of the server."""
    folder = tmp_path_factory.mktemp('cpp_client')
    build(PACKAGE, folder / 'library', '-DCMAKE_UNITY_BUILD=ON', '-DCMAKE_UNITY_BUILD_BATCH_SIZE=0')
    run('cmake', '--install', folder / 'library', '--prefix', folder / 'installed')
    (folder / 'example.cc').write_text(example.replace('localhost:8501', f'127.0.0.1:{server.rest_port}'), encoding='utf-8')
    build(os.path.join(PACKAGE, 'tests'), folder / 'programs', f'-DCMAKE_PREFIX_PATH={folder}/installed',
          f'-DEXAMPLE={folder}/example.cc')
    return folder / 'programs'


def output(program, *arguments, **settings):
    done = subprocess.run([program, *arguments, *(f'{key}={value}' for key, value in settings.items())],
                          capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_example_works_with_the_installed_package(programs, example):
    assert output(programs / 'example') == re.search(r'// (.*)\n', example).group(1)


def test_every_call(programs, server):
    assert output(programs / 'server_checks', 'all', url=f'http://127.0.0.1:{server.rest_port}') == 'same'
    assert output(programs / 'server_checks', 'all', url='http://localhost',
                  unix_socket=os.path.join(server.folder, 'socket')) == 'same'


def test_tls_certificates_and_tokens(programs, start, tmp_path):
    pem, key = str(tmp_path / 'server.pem'), str(tmp_path / 'server.key')
    make_certificate(pem, key)
    make_certificate(tmp_path / 'ca.pem', tmp_path / 'ca.key')
    certificate, certificate_key = client_certificate(tmp_path, 'host', 'DNS:host.example')
    token, token_hash = new_token('service')
    (tmp_path / 'tokens').write_text(caller(
        'service', f'token_sha256: "{token_hash}"', 'operation: [INFER, METADATA] model: "*"'))
    server = start(MODELS, [f'--tls_certificate_file={pem}', f'--tls_key_file={key}', f'--token_file={tmp_path / "tokens"}',
                            f'--tls_client_ca_file={tmp_path / "ca.pem"}', '--tls_require_client_certificate'], ready=False)
    settings = {'url': f'https://localhost:{server.rest_port}', 'ca': pem, 'certificate': certificate, 'key': certificate_key,
                'token': token}

    def call(**other):
        return output(programs / 'server_checks', 'call', **{**settings, **other})
    eventually('the model', lambda: call() == 'same')
    assert call(token='wrong').startswith('Unauthorized: 401')
    assert call(ca=tmp_path / 'ca.pem').startswith('ConnectionFailed: no connection: SSL certificate problem')
    assert 'certificate required' in call(certificate='', key='')
