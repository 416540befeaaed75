# SPDX-License-Identifier: Apache-2.0
"""Pairs of a request and its answer, from the rules of TensorFlow Serving's REST API: rest_pairs/README.md."""
import dataclasses
import gzip
import json
import os
import re

import pytest

from penstock_server import Server

FOLDER = os.path.join(os.path.dirname(__file__), 'rest_pairs')
REQUEST = re.compile(r'(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/.*)$')
REPEATED = re.compile(r'<<(.+?)\*(\d+)>>')


@dataclasses.dataclass
class Pair:
    name: str
    rule: str
    server: str
    differs: str = ''
    method: str = ''
    path: str = ''
    headers: dict = dataclasses.field(default_factory=dict)
    body: str = ''
    status: int = 0
    answer_headers: dict = dataclasses.field(default_factory=dict)
    answer: list = dataclasses.field(default_factory=list)  # the lines

    def read(self, line):
        """Takes in a line that follows the name."""
        key, _, value = line.partition(': ')
        name, _, header = line[2:].partition(':')
        if self.status:
            if line.startswith('< '):
                self.answer_headers[name] = header.strip()
            else:
                self.answer.append(line)
        elif line.startswith('-> '):
            self.status = int(line[3:])
        elif not self.path and key in ('server', 'differs'):
            setattr(self, key, value)
        elif not self.path:
            self.method, self.path = REQUEST.match(line).groups()
        elif line.startswith('> '):
            self.headers[name] = header.strip()
        else:
            assert not self.body, f'{self.name}: two bodies'
            self.body = line


def expanded(text):
    return REPEATED.sub(lambda match: match[1] * int(match[2]), text)


def read_pairs(file):
    """The pairs of one file, in order."""
    server = rule = pair = None
    with open(os.path.join(FOLDER, file), encoding='utf-8') as lines:
        for line in (line.rstrip('\n') for line in lines):
            key, _, value = line.partition(': ')
            if not line:
                pair = None
            elif pair:
                pair.read(line)
            elif key == 'server':
                server = value
            elif key == 'rule':
                rule = value
            elif key == 'pair':
                pair = Pair(value, rule, server)
                yield pair
            else:
                assert line.startswith('# '), line


FILES = sorted(name for name in os.listdir(FOLDER) if name.endswith('.txt'))
PAIRS = [(file[:-len('.txt')], pair) for file in FILES for pair in read_pairs(file)]


def parameters():
    for file, pair in PAIRS:
        marks = [pytest.mark.runtimes, pytest.mark.release_only] if pair.server == 'runtimes' else []
        yield pytest.param(pair, id=f'{file}: {pair.name}', marks=marks)


@pytest.fixture(scope='module')
def pair_server(tmp_path_factory):
    """Built-in models with a label, with odd names, and one whose folder is missing; with CORS."""
    half = 'builtin:half_plus_two'
    models = {'half': f'base_path: "{half}" version_labels {{ key: "stable" value: 1 }}', 'with space': half,
              'with+plus': half, 'identity': 'builtin:identity', 'absent': '/nonexistent/folder'}
    flags = ['--rest_api_enable_cors_support', '--initial_load_wait_ms=0']
    with Server(tmp_path_factory.mktemp('pairs'), models, flags, ready=False) as server:
        for name in set(models) - {'absent'}:
            server.wait_for(name.replace(' ', '%20'), 1)
        yield server


def sent_bytes(body):
    """What a client sends for the body of a pair; None if it has none."""
    kind, _, text = expanded(body).partition(': ')
    if kind == 'hex':
        return bytes.fromhex(text)
    if kind == 'gzip':
        return gzip.compress(text.encode())
    return expanded(body).encode() or None


def parsed(text):
    """JSON in which a float never equals an integer, and NaN equals itself."""
    def only_once(pairs):
        assert len(dict(pairs)) == len(pairs), f'a key twice: {pairs}'
        return dict(pairs)
    return json.loads(text, object_pairs_hook=only_once, parse_constant=lambda name: ('float', name),
                      parse_float=lambda digits: ('float', repr(float(digits))))


def check_answer(pair, body):
    if pair.answer == ['empty']:
        assert body == b''
        return
    text = body.decode()
    if not pair.answer and pair.status >= 400:
        assert list(parsed(text)) == ['error']
    for line in pair.answer:
        key, _, value = line.partition(': ')
        if key in ('error', 'has'):
            answer = parsed(text)
            assert list(answer) == ['error'] and value in answer['error']
            assert key == 'has' or answer['error'].startswith(value)
        elif key == 'text':
            assert text.startswith(value)
        else:
            assert parsed(text) == parsed(expanded(line))


@pytest.mark.parametrize('pair', parameters())
def test_answer(request, pair):
    server = request.getfixturevalue({'builtin': 'pair_server', 'without_cors': 'builtin_server',
                                      'runtimes': 'models_server'}[pair.server])
    status, headers, body = server.request(pair.method, pair.path, sent_bytes(pair.body), pair.headers)
    said = f'{pair.rule} {pair.differs}: {status} {body[:500]}'
    assert status == pair.status, said
    for name, value in pair.answer_headers.items():
        assert headers.get(name, '') == value, said
    if headers.get('content-encoding') == 'gzip':
        body = gzip.decompress(body)
    check_answer(pair, body)


def test_the_pairs_are_whole():
    assert len(PAIRS) >= 200
    for file, pair in PAIRS:
        assert pair.rule and pair.status and pair.server, (file, pair.name)
    names = [(file, pair.name, pair.rule) for file, pair in PAIRS]
    assert len(set(names)) == len(names)
