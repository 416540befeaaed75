# SPDX-License-Identifier: Apache-2.0
"""All of h2spec, strict, in the clear and over TLS."""
import xml.etree.ElementTree

import pytest

from net_fixtures import run_tool
from penstock_server import PASSING_SLOWNESS, SLOWNESS

FRAME_SIZE = 'Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE'
STREAM_LIMIT = 'Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded'
PREFACE = 'Sends invalid connection preface'

# What cannot apply, and why.
NOT_APPLICABLE = {
    # It sends 20,000 bytes, which is over the default frame size but not over ours of 1 MiB;
    # test_frame_size runs it with headers that are.
    'plain': {FRAME_SIZE: 'the frame is within our SETTINGS_MAX_FRAME_SIZE',
              # The port speaks HTTP/1.1 as well: what is no HTTP/2 preface gets an answer in HTTP/1.1.
              PREFACE: 'without ALPN anything else is taken for HTTP/1.1',
              # Answers are immediate, so the limit is not reached; test_stream_limit uses slow ones.
              STREAM_LIMIT: 'answers are immediate'},
    'tls': {FRAME_SIZE: 'the frame is within our SETTINGS_MAX_FRAME_SIZE', STREAM_LIMIT: 'answers are immediate'},
}


def run(folder, server, kind, *arguments):
    """Runs h2spec; the cases as a list of (section, name, failure or None)."""
    report = folder / f'h2spec-{kind}.xml'
    port = server.port if kind == 'plain' else server.tls_port
    tls = ['-t', '-k'] if kind == 'tls' else []
    _, output = run_tool('h2spec', '-h', '127.0.0.1', '-p', port, *tls, '-S', '-o', 2 * PASSING_SLOWNESS, '-j', report,
                         *arguments, seconds=300)
    assert report.exists(), output
    cases = []
    for case in xml.etree.ElementTree.parse(report).iter('testcase'):
        bad = [child for child in case if child.tag in ('failure', 'error')]
        cases.append((case.get('package'), case.get('classname') or case.get('name'),
                      ''.join(bad[0].itertext()) if bad else None))
    return cases


@pytest.mark.timeout(400 * SLOWNESS)
@pytest.mark.parametrize('kind', ['plain', 'tls'])
def test_all(tmp_path, test_server, kind):
    cases = run(tmp_path, test_server, kind)
    assert len(cases) >= 145
    failed = [case for case in cases if case[2] is not None and case[1] not in NOT_APPLICABLE[kind]]
    assert not failed, failed


@pytest.mark.parametrize('kind', ['plain', 'tls'])
def test_frame_size(tmp_path, test_server, kind):
    cases = run(tmp_path, test_server, kind, '--max-header-length', 300_000, 'http2/4.2')
    assert [case[2] for case in cases if case[1] == FRAME_SIZE] == [None]


@pytest.mark.parametrize('kind', ['plain', 'tls'])
def test_stream_limit(tmp_path, test_server, kind):
    cases = run(tmp_path, test_server, kind, '-P', '/later', 'http2/5.1.2')
    assert [case[2] for case in cases if case[1] == STREAM_LIMIT] == [None]
