# SPDX-License-Identifier: Apache-2.0
"""docs/behaviours-checked.md names a proof for each behaviour, and every proof is there; pages tell the levels of src/LAYERS."""
import os
import re

from penstock_server import ROOT

DECISION = 'decision 0014'
TEST = re.compile(r'^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)', re.M)
ROW = re.compile(r'^\| (\d+) \|(.*)\|$', re.M)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def unit_tests():
    """As Suite.Name, in all sources."""
    found = set()
    for top in ('src', 'tests'):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if name.endswith('_test.cc'):
                    found |= {'.'.join(pair) for pair in TEST.findall(read(folder, name))}
    return found


def rows():
    """{number: (proofs, whether the decision is one of them)}"""
    found = {}
    for number, text in ROW.findall(read('docs', 'behaviours-checked.md')):
        assert int(number) not in found, number
        found[int(number)] = (re.findall(r'`([^`]+)`', text), DECISION in text)
    return found


def test_every_behaviour_has_a_proof():
    found = rows()
    batching = range(93, 105)  # not served yet
    assert list(found) == [number for number in range(1, 109) if number not in batching]
    assert [number for number, (tests, is_decided) in found.items() if not tests and not is_decided] == []


def test_every_proof_is_there():
    known = unit_tests()
    assert len(known) > 200
    for number, (tests, _) in rows().items():
        for test in tests:
            file, _, name = test.partition('::')
            if name:
                assert re.search(rf'^def {name}\(', read('tests', 'e2e', file), re.M), (number, test)
            else:
                assert test in known, (number, test)


def test_the_decision_tells_of_what_differs():
    pages = [name for name in os.listdir(os.path.join(ROOT, 'docs', 'decisions')) if name.startswith('0014-')]
    told = [int(number) for number, _ in ROW.findall(read('docs', 'decisions', pages[0]))]
    assert told == [number for number, (_, is_decided) in rows().items() if is_decided]


def levels():
    """{folder: level} from src/LAYERS, as "7" or "plugin"."""
    return {folder: level for level, folder in (line.split() for line in read('src', 'LAYERS').splitlines()
                                                if line and not line.startswith('#'))}


def test_the_levels_of_the_style_are_those_that_are_checked():
    block = read('STYLE.md').split('```')[1]
    told = {}
    for level, text in re.findall(r'^(\d) (.*)$', block, re.M):
        for folder in re.split(r' \| | ', text.split('  ')[0]):
            told[folder.replace('<family>', 'tfs')] = level
    assert told == {folder: level for folder, level in levels().items() if level != 'plugin'}


def test_the_levels_of_the_architecture_are_those_that_are_checked():
    told = {folder: level.replace('-', 'plugin') for level, folders in
            re.findall(r'^\| ([\d-]) \| (`[^|]*) \|', read('docs', 'architecture.md'), re.M)
            for folder in re.findall(r'`([^`]+)`', folders)}
    folders = [folder for folder in levels() if os.path.isdir(os.path.join(ROOT, 'src', folder.removesuffix('/*')))]
    assert told == {folder: levels()[folder] for folder in folders}
