# SPDX-License-Identifier: Apache-2.0
"""What `make serve` starts and prints: the requests work when they are pasted, all at once."""
import os
import signal
import socket
import subprocess

import pytest

from penstock_server import BUILD, ROOT, SLOWNESS

pytestmark = [pytest.mark.runtimes, pytest.mark.release_only]


def free_port():
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def printed():
    """The requests, from a server that is there as long as the test."""
    process = subprocess.Popen(
        [os.path.join(ROOT, 'tools/serve')], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PENSTOCK_BUILD': BUILD, 'PORT': free_port(), 'REST_PORT': free_port()},
        # What runs these tests in the background may ignore Ctrl-C; a shell script would inherit that for good.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    lines = []
    for line in process.stdout:
        if line.startswith('Ctrl-C stops the server'):
            break
        lines.append(line)
    text = ''.join(lines)
    assert 'Penstock serves' in text, text
    yield text.partition('in another terminal:')[2]
    process.send_signal(signal.SIGINT)
    assert process.wait(60 * SLOWNESS) == 0


def test_the_requests_work_when_they_are_pasted(printed):
    done = subprocess.run(['bash', '-e'], input=printed, capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
    assert done.returncode == 0, done.stderr
    answer, metadata, array, message = ('{"predictions":[2.5,3.0,4.5]}', '"signature_def"', '[2.5 3.  4.5]', '3.5')
    positions = [done.stdout.find(text) for text in (answer, metadata, array)]
    assert positions == sorted(positions) and positions[0] == 0, done.stdout
    assert message in done.stdout.partition(array)[2], done.stdout
