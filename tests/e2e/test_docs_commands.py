# SPDX-License-Identifier: Apache-2.0
"""Runs what README.md and docs/ tell readers to type: the blocks of shell, Python and configuration, page by page.

Every fenced block has a language, which says what happens to it here:
  sh, console   each command is run; `console` lines behind `$ ` are commands, the others what they must print
  python        is run; a comment behind the last statement is what it must print
  pbtxt         is a model_config_list, or one config of it, and a server must start with it
  others        are not run: text, cpp, json, yaml, ini, promql
Commands see the ports of a running server, and folders of the test in place of /models and /var/cache/penstock.
Wrappers in PATH take the place of programs that would change the machine; see WRAPPERS."""
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys

import pytest

import redis_cluster
from caffe2_nets import Model
from conftest import SAMPLES
from penstock_server import BINARY, BUILD, ROOT, SLOWNESS, Server, config_text
from recurrent_models import Decoder, Lstm
from test_serve_samples import free_port

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]
PAGES = ['README.md'] + sorted(f'docs/{name}' for name in os.listdir(os.path.join(ROOT, 'docs')) if name.endswith('.md'))
BLOCK = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)
NOT_RUN = {'text', 'cpp', 'json', 'yaml', 'ini', 'promql'}
# Modules that the test set-up does not have: blocks that import them are only compiled.
NOT_INSTALLED = ('torch', 'xgboost', 'optimum')

# A program that the blocks call -> the script in its place. $REAL_PATH finds the real programs.
WRAPPERS = {
    # The tests of the sources are what `make test` runs; here it is enough that the target is there.
    'make': 'exec /usr/bin/make --no-print-directory -n -C "$ROOT" "$@" > /dev/null',
    # No CMake build in a test: examples/ are built by the build itself, from the same folders.
    'cmake': 'test -d "$ROOT/$2" || test "$1" = --build',
    # These need systemd or a container engine.
    'systemctl': 'true', 'docker': 'true', 'apt-get': 'true', 'sysctl': 'true', 'install': 'true', 'useradd': 'true',
    # A server of the reader's own: it must become ready, and end with 0.
    'penstock': 'exec "$PYTHON" "$ROOT/tests/e2e/test_docs_commands.py" penstock "$@"',
    'grpcurl': 'exec "${XDG_CACHE_HOME:-$HOME/.cache}/penstock/bin/grpcurl" "$@"',
    'python': 'exec "$PYTHON" "$@"',
}


def read(page):
    with open(os.path.join(ROOT, page), encoding='utf-8') as file:
        return file.read()


def blocks(page):
    return BLOCK.findall(read(page))


def run_penstock(arguments):
    """The wrapper `penstock`: runs any command; a server is stopped when it is ready."""
    if 'examples/custom_backend/model' in arguments:
        arguments.insert(1, f'--backend_directory={BUILD}/custom_backend/backends')
    if arguments[:2] == ['table', 'push']:
        with redis_cluster.single_node(os.environ['WORK']) as node:
            address = f'--redis=127.0.0.1:{node.port}'
            arguments = [address if argument.startswith('--redis=') else argument for argument in arguments]
            return subprocess.run([BINARY, *arguments], check=False).returncode
    if arguments[:1] != ['serve']:
        return subprocess.run([BINARY, *arguments], check=False).returncode
    folder = os.path.join(os.environ['WORK'], f'server-{os.getpid()}')
    flags = [flag for flag in arguments[1:] if not re.match(r'--(rest_api_|health_|graphpipe_)?port=|--grpc_socket_path', flag)]
    with Server(folder, flags=flags, ready='s3://' not in ' '.join(flags)):  # no store answers here
        pass
    return 0


def caffe2_net(folder):
    model = Model()
    model.input('data', 1, 3)
    model.op('FC', ['data', model.weights('w', 2, 3), model.weights('b', 2)], 'fc')
    model.op('Softmax', 'fc', 'softmax')
    model.output('softmax').save(folder)


class Workspace:
    """A folder with the models that the pages name, and the wrappers."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.ports = {port: free_port() for port in ('8500', '8501', '8502', '9000')}
        for name, sample in (('flowers', 'half_plus_two'), ('mine', 'half_plus_two'), ('ranker', 'half_plus_two'),
                             ('ranker_next', 'half_plus_three'), ('ranking', 'half_plus_two_onnx'), ('m', 'half_plus_two')):
            for version in (1, 2, 3, 4):
                shutil.copytree(f'{SAMPLES}/{sample}/1', f'{self.folder}/models/{name}/{version}')
        for name in os.listdir(SAMPLES):
            if os.path.isdir(f'{SAMPLES}/{name}/1'):
                shutil.copytree(f'{SAMPLES}/{name}', f'{self.folder}/models/{name}')
        caffe2_net(f'{self.folder}/net')
        Lstm().save(f'{self.folder}/models/lstm/1')
        Decoder().save(f'{self.folder}/models/decoder/1')
        for folder in ('bin', 'cache', 'build/release/tests', 'etc'):
            os.makedirs(f'{self.folder}/{folder}')
        for name, script in WRAPPERS.items():
            self.write_program(f'bin/{name}', script)
        shutil.copy(f'{self.folder}/bin/penstock', f'{self.folder}/build/release/penstock')
        for name in ('examples', 'tests', 'tools', 'bench', 'docs'):
            os.symlink(f'{ROOT}/{name}', f'{self.folder}/{name}')
        for name in ('examples', 'tests/conformance'):
            os.symlink(f'{BUILD}/{name}', f'{self.folder}/build/release/{name}')
        with open(f'{self.folder}/.curlrc', 'w', encoding='ascii') as file:
            file.write('fail-with-body\nsilent\nshow-error\nmax-time = 60\n')
        self.environment = {**os.environ, 'ROOT': ROOT, 'WORK': self.folder, 'PYTHON': sys.executable,
                            'PYTHONPATH': f'{ROOT}/clients/python/src', 'CURL_HOME': self.folder, 'TF_CPP_MIN_LOG_LEVEL': '3',
                            'PATH': f'{self.folder}/bin:{os.environ["PATH"]}'}

    def write_program(self, path, script):
        path = f'{self.folder}/{path}'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/bash\n{script}\n')
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def adapt(self, text):
        """The text with the ports and folders of this workspace."""
        for port, own in self.ports.items():
            text = text.replace(f'localhost:{port}', f'127.0.0.1:{own}')
        text = re.sub(r'(?<![\w.])/models\b', f'{self.folder}/models', text)
        text = text.replace('/var/cache/penstock', f'{self.folder}/cache').replace('http://host:port', 'http://127.0.0.1:1')
        return re.sub(r'(?<![\w./])/etc/penstock\b', f'{self.folder}/etc', text)

    def run(self, arguments, text):
        return subprocess.run(arguments, input=self.adapt(text), capture_output=True, text=True, cwd=self.folder,
                              env=self.environment, timeout=100 * SLOWNESS, check=False)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def serve(workspace, start):
    """A server that answers what the pages ask: the samples and the models of the workspace."""
    def serve():
        models = {name: f'{workspace.folder}/models/{name}' for name in os.listdir(f'{workspace.folder}/models')}
        models['stream'] = 'builtin:stream'
        server = start(models, flags=['--admin_api=full', '--health_port=-1', '--graphpipe_port=-1',
                                      '--graphpipe_default_model=half_plus_two'])
        workspace.ports.update({'8500': server.port, '8501': server.rest_port, '8502': server.health_port,
                                '9000': server.graphpipe_port})
    return serve


def check_console(workspace, text):
    """Each `$ command` prints the lines below it."""
    for part in re.split(r'^\$ ', text, flags=re.M)[1:]:
        lines = part.splitlines()
        end = next((i for i, line in enumerate(lines) if not line.endswith('\\')), len(lines) - 1) + 1
        done = workspace.run(['bash', '-e'], '\n'.join(lines[:end]))
        assert done.returncode == 0, (part, done.stdout, done.stderr)
        assert done.stdout.strip() == '\n'.join(lines[end:]).strip(), part


def check_python(workspace, text):
    modules = re.findall(r'^(?:import|from) (\w+)', text, re.M)
    if any(name in NOT_INSTALLED for name in modules):
        compile(text, 'block', 'exec')
        return
    done = workspace.run([sys.executable, '-'], text)
    assert done.returncode == 0, (text, done.stderr[-3000:])
    expected = re.search(r'# (\S.*)\n$', text)
    if expected and not text.rstrip().splitlines()[-1].startswith('#'):
        assert expected.group(1).strip() in done.stdout, done.stdout


def check_shell(workspace, text):
    done = workspace.run(['bash', '-e'], text)
    assert done.returncode == 0, (text, done.stdout[-3000:], done.stderr[-3000:])


def check_configuration(workspace, start, text):
    text = workspace.adapt(text)
    if 'model_config_list' not in text:
        text = f'model_config_list {{\n{text}}}\n'
    path = f'{workspace.folder}/block.config'
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    start(flags=[f'--model_config_file={path}'], ready=False)


PAGES_WITH_BLOCKS = [page for page in PAGES if any(language not in NOT_RUN for language, _ in blocks(page))]


@pytest.mark.parametrize('page', PAGES_WITH_BLOCKS)
def test_the_blocks_of_the_page_work(workspace, serve, start, page):
    found = [(language, text) for language, text in blocks(page) if language not in NOT_RUN]
    if any('localhost:' in text for _, text in found):
        serve()
    for language, text in found:
        if text.startswith('#!'):
            continue  # a whole script, which test_start.py runs as one
        if language == 'python':
            check_python(workspace, text)
        elif language == 'console':
            check_console(workspace, text)
        elif language == 'sh':
            check_shell(workspace, text)
        elif language == 'pbtxt':
            check_configuration(workspace, start, text)
        else:
            pytest.fail(f'a block of the language {language!r}: see the list at the top of this file')


def test_the_systemd_unit_starts_a_server_that_reloads(workspace, start):
    unit = next(text for language, text in blocks('docs/operations.md') if language == 'ini').replace('\\\n', ' ')
    command = re.search(r'^ExecStart=/opt/penstock/penstock serve (.*)$', unit, re.M).group(1).split()
    assert 'ExecReload=/bin/kill -HUP $MAINPID' in unit
    config = f'{workspace.folder}/etc/models.config'
    with open(config, 'w', encoding='ascii') as file:
        file.write(config_text({'half': 'builtin:half_plus_two'}))
    server = start(flags=[workspace.adapt(flag) for flag in command
                          if not re.match('--health_port|--shutdown_delay_ms|--(tensorflow|onnxruntime)_library', flag)])
    with open(config, 'w', encoding='ascii') as file:
        file.write(config_text({'half': 'builtin:half_plus_two', 'same': 'builtin:identity'}))
    server.terminate(signal.SIGHUP)
    server.wait_for('same', 1)
    times = {name: int(value) for name, value in re.findall(r'--(\w+)_ms=(\d+)', ' '.join(command))}
    stop_seconds = int(re.search(r'^TimeoutStopSec=(\d+)$', unit, re.M).group(1))
    assert (times['shutdown_delay'] + times['drain_timeout']) / 1000 < stop_seconds


@pytest.mark.parametrize('page', PAGES)
def test_no_command_hides_in_a_block_that_is_not_run(page):
    command = re.compile(r'^\s*(\$ |curl |grpcurl |build/release/|penstock (?!\{)|make |pip |python3? |docker |systemctl )', re.M)
    for language, text in blocks(page):
        if language in NOT_RUN:
            assert not command.search(text), text


def test_what_is_not_installed_is_said_to_be_untested():
    """The page says of each framework whether a test runs its example."""
    rows = re.findall(r'^\| \[([\w -]+)', read('docs/exporting-models.md'), re.M)
    assert rows
    for name in NOT_INSTALLED:
        assert importlib.util.find_spec(name) is None, f'{name} is installed: let the test run its example'
    table = read('docs/exporting-models.md')
    for title in ('XGBoost', 'PyTorch', 'Hugging Face'):
        assert re.search(rf'^\| \[{title}\].*\| no: not in the test set-up \|$', table, re.M), title
    assert len(re.findall(r'\| yes \|$', table, re.M)) == len(rows) - len(NOT_INSTALLED)


if __name__ == '__main__':
    sys.exit(run_penstock(sys.argv[2:]))
