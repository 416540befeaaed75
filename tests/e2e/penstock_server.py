# SPDX-License-Identifier: Apache-2.0
"""Starts, watches and stops `penstock serve` for a test."""
import http.client
import json
import os
import signal
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '../..'))
BUILD = os.path.join(ROOT, os.environ.get('PENSTOCK_BUILD', 'build/release'))
BINARY = os.path.join(BUILD, 'penstock')
# How much longer everything takes in this build, generously: for time-outs only.
SLOWNESS = {'asan': 6, 'tsan': 10, 'debug': 4}.get(os.path.basename(BUILD), 1)
# The same for the time-outs of a server or a call that a test waits for to pass: as little as is safe.
PASSING_SLOWNESS = min(SLOWNESS, 3)
STEP_SECONDS = 0.02  # between looks at something that cannot be waited for


def eventually(what, check, seconds=30.0):
    """Calls `check` until it returns something true, and returns that; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds * SLOWNESS
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f'{what}: not within {seconds * SLOWNESS} s'
        time.sleep(STEP_SECONDS)


def idle(server):
    """True if the server computes nothing for a moment."""
    before = server.cpu_seconds()
    time.sleep(0.4)  # even on a busy machine, what runs gets more than the limit in this time
    return server.cpu_seconds() - before < 0.03


def config_text(models):
    """A model_config_list of {name: base path or further fields in text form}."""
    lines = []
    for name, value in models.items():
        is_whole = any(word in value for word in ('base_path:', 'ensemble {', 'remote {'))
        fields = value if is_whole else f'base_path: "{value}"'
        lines.append(f'  config {{ name: "{name}" {fields} }}')
    return 'model_config_list {\n' + '\n'.join(lines) + '\n}\n'


class Server:
    """One process. Use it as a context manager: the end sends SIGTERM and asserts a clean exit."""

    def __init__(self, folder, models=None, flags=(), ready=True, env=None, wrapper=(), program=(BINARY, 'serve')):
        """`folder`: an own one. `models` as for config_text; None: `flags` say it. `ready`: wait for all of them.
        `wrapper`: a command that becomes the server, `program`: the one that gets the flags."""
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.log_path = os.path.join(self.folder, 'server.log')
        port_file = os.path.join(self.folder, 'ports.json')
        command = [*wrapper, *program, '--port=-1', '--rest_api_port=-1', f'--port_file={port_file}',
                   '--address=127.0.0.1']
        if models is not None:
            config = os.path.join(self.folder, 'models.config')
            with open(config, 'w', encoding='utf-8') as file:
                file.write(config_text(models))
            command.append(f'--model_config_file={config}')
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(command + list(flags), stdout=log, stderr=log,
                                            env={**os.environ, **(env or {})})
        try:
            ports = eventually('the port file', lambda: self._ports(port_file))
            self.port, self.rest_port, self.graphpipe_port, self.health_port, self.admin_port = (
                ports[name] for name in ('port', 'rest_api_port', 'graphpipe_port', 'health_port', 'admin_port'))
            if ready:
                eventually('readiness', lambda: self._alive() and self.get('/readyz')[0] == 200, 60)
        except BaseException:
            self.kill()
            self.print_log()
            raise

    def _alive(self):
        assert self.process.poll() is None, f'the server ended by itself: {self.process.returncode}'
        return True

    def _ports(self, path):
        self._alive()
        try:
            with open(path, encoding='utf-8') as file:
                return json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    def request(self, method, path, body=None, headers=None, timeout=30, port=None):
        """One HTTP/1.1 exchange on a connection of its own, to the REST port or another: (status, headers, body)."""
        connection = http.client.HTTPConnection('127.0.0.1', port or self.rest_port, timeout=timeout * SLOWNESS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path, port=None):
        """(status, body as text)"""
        status, _, body = self.request('GET', path, port=port)
        return status, body.decode()

    def rest_predict(self, model, body, path=''):
        """(status, parsed answer). `body`: a dict, or text or bytes that are sent as they are."""
        data = json.dumps(body) if isinstance(body, dict) else body
        status, _, answer = self.request('POST', f'/v1/models/{model}{path}:predict', data)
        return status, json.loads(answer)

    def states(self, model):
        """{version: state} by the status page; empty if the model is unknown."""
        status, body = self.get(f'/v1/models/{model}')
        if status == 404:
            return {}
        assert status in (200, 503), body  # 503: of a model of the start that has not served yet
        return {int(each['version']): each['state'] for each in json.loads(body).get('model_version_status', [])}

    def has_failed(self, model, version):
        """True if a load of the version has failed, be it for good or until the next try."""
        status, body = self.get(f'/v1/models/{model}')
        versions = json.loads(body).get('model_version_status', []) if status in (200, 503) else []
        return any(int(each['version']) == version and each['state'] in ('START', 'END')
                   and each['status']['error_code'] != 'OK' for each in versions)

    def wait_for(self, model, version, state='AVAILABLE', seconds=30):
        eventually(f'{model} version {version} {state}', lambda: self.states(model).get(version) == state, seconds)

    def wait_for_only(self, model, versions, seconds=30):
        """Until exactly these versions are available and no other is on its way in or out."""
        def settled():
            states = {v: s for v, s in self.states(model).items() if s != 'END'}
            return states == {v: 'AVAILABLE' for v in versions}
        eventually(f'{model} has the versions {versions}', settled, seconds)

    def cpu_seconds(self):
        with open(f'/proc/{self.process.pid}/stat', encoding='ascii') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def memory_bytes(self):
        """What it keeps of its own in memory (RssAnon)."""
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith('RssAnon'))

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as file:
            return file.read()

    def print_log(self):
        text = self.log()
        print(f'--- log of the server ({self.log_path})\n{text[-20000:]}\n--- end of the log')

    def terminate(self, how=signal.SIGTERM):
        self.process.send_signal(how)

    def wait(self, seconds=30):
        """The exit code."""
        return self.process.wait(seconds * SLOWNESS)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """SIGTERM, and the end that is promised for it."""
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            code = 'no exit in time'
        if code != 0:
            self.print_log()
        assert code == 0, f'exit after SIGTERM: {code}'

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.print_log()
            try:
                self.stop()
            except AssertionError as second:
                print(f'and then: {second}')
        else:
            self.stop()
