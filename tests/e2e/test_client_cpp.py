# SPDX-License-Identifier: Apache-2.0
"""Our C++ client (clients/cpp), installed as its users do, against the server. What needs a server that misbehaves is in the
client's own tests."""
import fcntl
import os
import re
import subprocess

import pytest

from penstock_server import BUILD, ROOT, Server, eventually
from test_access import start_guarded

PACKAGE = os.path.join(ROOT, 'clients/cpp')
FOLDER = os.path.join(BUILD, 'clients/cpp_package')  # kept for the next run

pytestmark = pytest.mark.release_only  # the server's part is in test_graphpipe.py and test_access.py
MODELS = {'half_plus_two': 'builtin:half_plus_two', 'identity': 'builtin:identity'}


def run(*command):
    subprocess.run([str(each) for each in command], check=True, timeout=300)


def build(source, folder, *options):
    launcher = f'-DCMAKE_CXX_COMPILER_LAUNCHER={ROOT}/tools/ccache'
    run('cmake', '-G', 'Ninja', '-Wno-dev', launcher, *options, '-S', source, '-B', folder)
    run('cmake', '--build', folder)


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp('cpp')
    with Server(folder, MODELS, [f'--grpc_socket_path={folder}/socket']) as server:
        yield server


def build_with_package(folder, *options):
    """The program of clients/cpp/tests, built in a folder with the installed package."""
    build(os.path.join(PACKAGE, 'tests'), folder, f'-DCMAKE_PREFIX_PATH={FOLDER}/installed', *options)
    return os.path.join(folder, 'program')


@pytest.fixture(scope='module')
def server_checks():
    """The program, after the package was built and installed by itself, without any file of the server."""
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, 'lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes run other tests of this file
        build(PACKAGE, f'{FOLDER}/library', '-DCMAKE_UNITY_BUILD=ON', '-DCMAKE_UNITY_BUILD_BATCH_SIZE=0')
        run('cmake', '--install', f'{FOLDER}/library', '--prefix', f'{FOLDER}/installed')
        return build_with_package(f'{FOLDER}/server_checks')


def output(program, *arguments, **settings):
    done = subprocess.run([program, *arguments, *(f'{key}={value}' for key, value in settings.items())],
                          capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_example_works_with_the_installed_package(server_checks, server, tmp_path):
    with open(os.path.join(PACKAGE, 'README.md'), encoding='utf-8') as file:
        example = re.search(r'```cpp\n(.*?)```', file.read(), re.S).group(1)
    source = tmp_path / 'example.cc'
    source.write_text(example.replace('localhost:8501', f'127.0.0.1:{server.rest_port}'), encoding='utf-8')
    program = build_with_package(tmp_path / 'build', f'-DEXAMPLE={source}')
    assert output(program) == re.search(r'// (.*)\n', example).group(1)


def test_every_call(server_checks, server):
    assert output(server_checks, 'all', url=f'http://127.0.0.1:{server.rest_port}') == 'same'
    assert output(server_checks, 'all', url='http://localhost', unix_socket=os.path.join(server.folder, 'socket')) == 'same'


def test_tls_certificates_and_tokens(server_checks, start, tmp_path):
    server, pem, certificate, certificate_key, token = start_guarded(start, tmp_path, MODELS)
    settings = {'url': f'https://localhost:{server.rest_port}', 'ca': pem, 'certificate': certificate, 'key': certificate_key,
                'token': token}

    def call(**other):
        return output(server_checks, 'call', **{**settings, **other})
    eventually('the model', lambda: call() == 'same')
    assert call(token='wrong').startswith('Unauthorized: 401')
    assert call(ca=tmp_path / 'ca.pem').startswith('ConnectionFailed: no connection: SSL certificate problem')
    assert 'certificate required' in call(certificate='', key='')
