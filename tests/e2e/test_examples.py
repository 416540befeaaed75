# SPDX-License-Identifier: Apache-2.0
"""examples/: the table as a model in the stock program, and the server around a source of its own."""
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest

from clients import Client
from penstock_server import BUILD, ROOT, SLOWNESS, eventually

pytestmark = pytest.mark.release_only
TABLE = os.path.join(ROOT, 'examples/hash_map_servable/model')
HASH_MAP_FLAGS = [f'--backend_directory={BUILD}/hash_map_servable/backends', '--file_system_poll_wait_seconds=1',
                  '--max_num_load_retries=0']


@pytest.fixture
def table(tmp_path):
    return shutil.copytree(TABLE, tmp_path / 'country')


@pytest.mark.runtimes
def test_a_table_answers_look_ups(start, table):
    server = start({'country': str(table)}, flags=HASH_MAP_FLAGS)
    assert server.rest_predict('country', {'instances': ['Bergen', 'Atlantis', 'Washington, D.C.', '']}) == (200, {
        'predictions': [{'found': True, 'value': 'Norway'}, {'found': False, 'value': 'nowhere'},
                        {'found': True, 'value': 'United States'}, {'found': False, 'value': 'nowhere'}]})
    with Client(server) as client:
        found = client.predict('country', {'key': np.array([b'Cairo', b'Bergen'], dtype=object)}, outputs=['value'])
        assert found['value'].tolist() == [b'Egypt', b'Norway']


@pytest.mark.runtimes
def test_a_table_has_versions(start, table):
    server = start({'country': str(table)}, flags=HASH_MAP_FLAGS)
    (table / 'new').mkdir()
    (table / 'new' / 'table.csv').write_text('Bergen,Noreg\r\n\r\n"a, b",c\n')
    os.rename(table / 'new', table / '2')
    server.wait_for_only('country', [2])
    assert server.rest_predict('country', {'instances': ['Bergen', 'a, b', 'Cairo']}) == (200, {
        'predictions': [{'found': True, 'value': 'Noreg'}, {'found': True, 'value': 'c'}, {'found': False, 'value': ''}]})


@pytest.mark.runtimes
@pytest.mark.parametrize('line', ['no comma', 'Bergen,Sweden', '"unfinished,x'])
def test_a_broken_table_leaves_the_one_before(start, table, line):
    server = start({'country': str(table)}, flags=HASH_MAP_FLAGS)
    (table / 'new').mkdir()
    (table / 'new' / 'table.csv').write_text(f'Bergen,Norway\n{line}\n')
    os.rename(table / 'new', table / '2')
    eventually('the failure', lambda: 'table.csv, line 2: not a key, a comma and a value' in server.log())
    assert server.states('country')[2] == 'END'
    assert server.states('country')[1] == 'AVAILABLE'


def test_the_custom_source(tmp_path):
    def current(text):
        (tmp_path / 'next').write_text(text)
        os.rename(tmp_path / 'next', tmp_path / 'current')

    def get(path='', body=None):
        try:
            with urllib.request.urlopen(url + path, body, timeout=30 * SLOWNESS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    for version, model in ((1, 'identity'), (2, 'half_plus_two')):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / 'model.builtin').write_text(model)
    current('1\n')
    program = os.path.join(BUILD, 'examples/custom_source/custom_source')
    with subprocess.Popen([program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        ask = b'{"instances": [5.0]}'
        eventually('version 1', lambda: get(':predict', ask) == {'predictions': [5.0]})
        current('2\n')
        eventually('version 2', lambda: get(':predict', ask) == {'predictions': [4.5]})
        current('1\n')
        eventually('version 1 again', lambda: get(':predict', ask) == {'predictions': [5.0]})
        current('three\n')
        assert get(':predict', ask) == {'predictions': [5.0]}
        server.stdin.close()
        assert server.wait(30 * SLOWNESS) == 0
