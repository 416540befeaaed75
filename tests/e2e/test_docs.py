# SPDX-License-Identifier: Apache-2.0
"""docs/behaviours-checked.md names a proof for each behaviour, and every proof is there."""
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
    assert list(found) == list(range(1, 79))
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
