# SPDX-License-Identifier: Apache-2.0
"""What people see who start the server in a terminal: a bar below the log lines while the first models are loaded."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pyte
import pytest

from penstock_server import BINARY, SLOWNESS, config_text, eventually
from test_troubled import FLAGS, Base

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]
LOG_LINE = re.compile(r'\d{4}-\d\d-\d\dT[\d:.]+Z (info|warning|error) ')


class Terminal:
    """A server in a terminal. Feeds what it writes to an emulation of one."""

    def __init__(self, command, columns, term):
        self.screen = pyte.Screen(columns, 60)
        self.raw = b''
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 60, columns, 0, 0))
        self.process = subprocess.Popen(command, stdout=slave, stderr=slave, env={**os.environ, 'TERM': term})
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(OSError):  # the server has ended
            while data := os.read(self._master, 65536):
                with self._lock:
                    self.raw += data
                    self._stream.feed(data)

    def lines(self):
        """Those with something in them."""
        with self._lock:
            return [line.rstrip() for line in self.screen.display if line.strip()]

    def shows(self, pattern):
        return next((line for line in self.lines() if re.search(pattern, line)), None)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60 * SLOWNESS)
        self._reader.join()
        os.close(self._master)
        assert code == 0, self.lines()


@pytest.fixture
def slow(tmp_path):
    """Two base paths whose models load until they are told to go on."""
    bases = [Base(tmp_path / name) for name in ('slow1', 'slow2')]
    for base in bases:
        base.set(1, 'wait')
    return bases


@pytest.fixture
def start_in(tmp_path, slow):
    """start_in(columns, ...): a server with four models, one of which serves, one fails and two load."""
    terminals = []

    def start(columns, flags=(), term='xterm-256color'):
        bad = Base(tmp_path / 'bad')
        bad.set(1, 'fail')
        config = tmp_path / 'models.config'
        config.write_text(config_text({'half': 'builtin:half_plus_two', 'bad': bad.path,
                                       'slow1': slow[0].path, 'slow2': slow[1].path}), encoding='utf-8')
        terminals.append(Terminal([BINARY, 'serve', f'--model_config_file={config}', '--port=-1', '--rest_api_port=-1',
                                   '--max_num_load_retries=0', '--version_settle_ms=0', '--num_initial_load_threads=4',
                                   *FLAGS, *flags], columns, term))
        return terminals[-1]
    yield start
    release(slow)
    for terminal in terminals:
        terminal.end()


def release(bases):
    for base in bases:
        base.set(1)


def test_a_bar_below_the_log_lines(start_in, slow):
    terminal = start_in(300)
    bar = eventually('the bar', lambda: terminal.shows(r'^loading models 1/4 .* 2 loading, 1 failed$'))
    assert re.fullmatch(r'loading models 1/4 \[#{10}\.{30}\] 2 loading, 1 failed', bar)
    terminal.process.send_signal(signal.SIGHUP)
    eventually('a further log line', lambda: terminal.shows('is in force'))
    lines = terminal.lines()
    assert lines[-1] == bar
    assert all(LOG_LINE.match(line) for line in lines[:-1]), lines

    release(slow[:1])
    eventually('it goes on', lambda: terminal.shows(r'^loading models 2/4 \[#{20}\.{20}\] 1 loading, 1 failed$'))
    release(slow[1:])
    eventually('its end', lambda: terminal.shows(r'info +initial load \[#{15}-{5}\] 3 of 4 models are ready, 1 failed$'))
    lines = terminal.lines()
    assert all(LOG_LINE.match(line) for line in lines), lines


@pytest.mark.parametrize('columns, shown', [
    (60, r'loading models 1/4 \[#+\.+\] 2 loading, 1 failed'), (40, r'loading models 1/4 2 loading, 1 failed'),
    (24, r'loading models 1/4 2 lo')])
def test_it_is_as_long_as_the_terminal_is_wide(start_in, columns, shown):
    terminal = start_in(columns)
    eventually('the bar', lambda: re.fullmatch(shown, terminal.lines()[-1]) if terminal.lines() else None)
    assert len(terminal.lines()[-1]) == columns - 1 or columns == 40


@pytest.mark.parametrize('flags, term', [(['--log_format=json'], 'xterm'), (['--log_level=warning'], 'xterm'),
                                         ([], 'dumb'), ([], '')])
def test_no_bar_where_it_would_disturb(start_in, slow, flags, term):
    terminal = start_in(300, flags, term)
    eventually('the failure', lambda: terminal.shows('could not be loaded'))
    release(slow)
    if '--log_level=warning' not in flags:
        eventually('the end', lambda: terminal.shows('3 of 4 models are ready'))
    assert b'\x1b' not in terminal.raw and b'loading models' not in terminal.raw


def test_the_bar_disappears_when_the_server_stops(start_in, slow):
    terminal = start_in(300)
    eventually('the bar', lambda: terminal.shows('^loading models 1/4'))
    terminal.process.send_signal(signal.SIGTERM)
    eventually('it is gone', lambda: not terminal.shows('^loading models') and terminal.shows('SIGTERM: draining'))
    release(slow)
    terminal.process.wait(60 * SLOWNESS)
    eventually('the last line', lambda: terminal.lines()[-1].endswith('stopped'))
    assert all(LOG_LINE.match(line) for line in terminal.lines())
