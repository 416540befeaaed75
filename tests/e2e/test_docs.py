# SPDX-License-Identifier: Apache-2.0
"""What the pages claim is true of the code: proofs of behaviours, levels, flags, metrics, links, files of a container.
The commands of the pages are run by test_docs_commands.py."""
import os
import re
import subprocess
import sys

import pytest

from penstock_server import BINARY, BUILD, ROOT, SLOWNESS

pytestmark = pytest.mark.release_only
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
    assert list(found) == list(range(1, 109))
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


def test_the_decision_lists_the_differences():
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
    for level, text in re.findall(r'^(\d+) (.*)$', block, re.M):
        for folder in re.split(r' \| | ', text.split('  ')[0]):
            told[folder.replace('<family>', '*')] = level
    assert told == {folder: level for folder, level in levels().items() if level != 'plugin'}


def test_the_levels_of_the_architecture_are_those_that_are_checked():
    told = {folder: level.replace('-', 'plugin') for level, folders in
            re.findall(r'^\| ([\d-]+) \| (`[^|]*) \|', read('docs', 'architecture.md'), re.M)
            for folder in re.findall(r'`([^`]+)`', re.sub(r'protocols/\w+', 'protocols/*', folders))}
    folders = [folder for folder in levels() if os.path.isdir(os.path.join(ROOT, 'src', folder.removesuffix('/*')))]
    assert told == {folder: levels()[folder] for folder in folders}


def pages():
    """README.md and all pages of docs/, as paths."""
    found = ['README.md', 'HACKING.md', 'SECURITY.md', 'examples/README.md']
    for folder in ('docs', 'docs/decisions'):
        found += [f'{folder}/{name}' for name in sorted(os.listdir(os.path.join(ROOT, folder))) if name.endswith('.md')]
    return found


def anchors(text):
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_links_lead_to_files_and_headings():
    for page in pages() + ['clients/java/README.md', 'clients/python/README.md']:
        text = re.sub(r'^```.*?^```', '', read(page), flags=re.M | re.S)
        for link in re.findall(r'\]\(([^)\s]+)\)', text):
            if re.match(r'https?:', link):
                continue
            path, _, anchor = link.partition('#')
            target = os.path.normpath(os.path.join(ROOT, os.path.dirname(page), path)) if path else os.path.join(ROOT, page)
            assert os.path.exists(target), (page, link)
            if anchor:
                assert anchor in anchors(read(target)), (page, link)


def test_the_index_has_a_line_for_each_page():
    index = read('docs', 'README.md')
    for name in os.listdir(os.path.join(ROOT, 'docs')):
        if name.endswith('.md') and name != 'README.md':
            assert f'| [{name}]({name}) |' in index, name


def test_benchmarks_that_pages_name_are_there():
    scenarios = set(re.findall(r'^    "(\w+)": ', read('bench', 'measure.py'), re.M))
    text = read('docs', 'performance.md') + read('README.md') + read('HACKING.md')
    named = set(re.findall(r'--only (\w+)', text)) - {'NAME'}
    named |= set(re.findall(r'^\| [^|]+ \| `(\w+)` \|', read('docs', 'performance.md'), re.M))
    assert len(named) > 10 and named <= scenarios


# Flags of other programs, and of TensorFlow Serving, that pages mention. What is here is no flag of ours.
OTHER_FLAGS = {'only', 'rounds', 'json', 'keep', 'against', 'raise-priority', 'gtest_filter', 'tool', 'help', 'markdown',
               'platform', 'build', 'http2-prior-knowledge', 'use_saved_model', 'now', 'args', 'name', 'model', 'dot'}


def test_flags_that_pages_name_are_there():
    done = subprocess.run([BINARY, 'options', '--markdown'], capture_output=True, text=True, timeout=60, check=True)
    flags = set(re.findall(r'^\| `(\w+)` \|', done.stdout, re.M))
    assert len(flags) > 50
    flags |= set(re.findall(r'^\| `(\w+)` \|', read('docs', 'migrate-from-tensorflow-serving.md'), re.M))
    for command in ('bench', 'convert', 'table build', 'table push', 'table extract'):
        done = subprocess.run([BINARY, *command.split(), '--help'], capture_output=True, text=True, timeout=60, check=True)
        flags |= set(re.findall(r'^  --(\w+)', done.stdout, re.M))
    done = subprocess.run([BINARY, 'graphpipe', '--help'], capture_output=True, text=True, timeout=60, check=True)
    flags |= set(re.findall(r'--([a-z][\w-]*)', done.stdout))
    for page in pages():
        if not page.startswith('docs/decisions/'):
            named = set(re.findall(r'(?<![\w-])--(?:no)?([a-z]\w[\w-]*)', read(page)))
            assert named - flags - OTHER_FLAGS == set(), page


def metrics_page(text):
    """The names on docs/metrics.md."""
    return set(re.findall(r'^\| `([:\w]+)` \| (?:counter|gauge|histogram) \|', text, re.M))


@pytest.mark.runtimes
def test_the_metrics_page_is_what_servers_show():
    done = subprocess.run([sys.executable, os.path.join(ROOT, 'tools/metrics_page')], capture_output=True, text=True,
                          timeout=100 * SLOWNESS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read('docs', 'metrics.md') == done.stdout, 'tools/metrics_page > docs/metrics.md makes it new'


def test_the_metrics_page_has_each_metric_of_the_sources():
    known = metrics_page(read('docs', 'metrics.md'))
    named = set()
    for folder, _, files in os.walk(os.path.join(ROOT, 'src')):
        for name in files:
            if name.endswith(('.cc', '.h')) and not name.endswith('_test.cc'):
                for call in re.findall(r'Add(?:Counter|Gauge|Histogram|Collector|Single)\((.{,80})', read(folder, name), re.S):
                    named |= set(re.findall(r'"((?::tensorflow:|penstock_|process_)[:\w]+)"', call))
    assert len(named) > 20
    assert named <= known


def test_metrics_that_pages_name_are_on_the_metrics_page():
    known = metrics_page(read('docs', 'metrics.md'))
    for page in pages():
        if page.startswith('docs/decisions/'):
            continue
        names = r'(?<![\w/:.])(:tensorflow:serving:\w+|penstock_(?:model|net|arm|shadow|stage|build)_\w+)'
        for name in re.findall(names, read(page)):
            assert re.sub(r'_(bucket|count|sum)$', '', name) in known or name in known or name.endswith('_'), (page, name)


@pytest.mark.skipif(os.path.basename(BUILD) != 'release', reason='sanitizers add libraries')
def test_a_container_needs_only_the_libraries_that_the_page_lists():
    text = read('docs', 'migrate-from-tensorflow-serving.md').split('## In a container')[1].split('## In Kubernetes')[0]
    listed = set(re.findall(r'lib[\w+-]+\.so[.\d]*', text))
    needed = set()
    for file in ('penstock', 'backends/tensorflow/penstock_tensorflow.so', 'backends/onnxruntime/penstock_onnxruntime.so'):
        done = subprocess.run(['readelf', '-d', os.path.join(BUILD, file)], capture_output=True, text=True, check=True)
        needed |= set(re.findall(r'NEEDED.*\[(lib.*)\]', done.stdout))
    assert needed and needed <= listed
