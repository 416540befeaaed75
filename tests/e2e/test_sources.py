# SPDX-License-Identifier: Apache-2.0
"""Model folders as they are treated in the field: copied slowly, switched by links, unreadable, on a full disk, deleted
under load. Most servers here look at their folders once an hour: what they see, they are told by the kernel."""
import os
import shutil
import subprocess
import time

import pytest

from clients import Client
from penstock_server import eventually
from test_versions import Base, Load, ask, kinds

HOURLY = ['--file_system_poll_wait_seconds=3600']
NO_RETRIES = ['--max_num_load_retries=0']
SETTLED_SECONDS = 1.5  # more than version_settle_ms


@pytest.fixture(params=kinds('builtin'))
def base(request, tmp_path):
    return Base(tmp_path / 'model', request.param)


@pytest.fixture
def plain(tmp_path):
    """A base path with built-in versions."""
    return Base(tmp_path / 'model', 'builtin')


def page(server, model='m'):
    return server.get(f'/readyz/models/{model}')[1]


def files_below(folder):
    """Paths below it, folders first."""
    found = []
    for path, folders, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(path, name), folder) for name in [*folders, *files]]
    return found


def copy_slowly(source, target, seconds):
    """File by file and piece by piece, as over a slow line; pauses are shorter than the settle time."""
    names = files_below(source)
    pieces = max(2, int(seconds / 0.3 / len(names)))
    os.makedirs(target)
    for name in names:
        path = os.path.join(source, name)
        if os.path.isdir(path):
            os.makedirs(os.path.join(target, name))
            continue
        with open(path, 'rb') as file:
            data = file.read()
        step = len(data) // pieces + 1
        with open(os.path.join(target, name), 'wb', buffering=0) as file:
            for start in range(0, len(data), step):
                file.write(data[start:start + step])
                time.sleep(0.3)  # what is tested is that nothing happens in this time


def test_a_version_that_is_copied_slowly_waits_until_it_is_complete(start, base):
    base.add(1)
    base.add(2)
    os.rename(base.folder(2), base.path + '.store')
    server = start({'m': base.path}, flags=[*HOURLY, *NO_RETRIES])
    with Load(server, {'m': base}) as load:
        load.more()
        copy_slowly(base.path + '.store', base.folder(2), 3)
        server.wait_for_only('m', [2])
        load.more()
    assert not load.failures, load.failures[:5]
    assert load.seen['m'] == {1, 2}
    assert 'could not be loaded' not in server.log()
    assert 'version 2 in base path' in server.log() and 'is not complete yet and waits' in server.log()


def test_a_version_that_waits_is_in_the_status(start, plain):
    server = start({'m': plain.path}, flags=[*HOURLY, '--version_settle_ms=3600000'], ready=False)
    eventually('its first look', lambda: 'source_error' in page(server))
    plain.add(2)  # renamed into its place, so that it need not wait
    server.wait_for_only('m', [2])
    os.makedirs(plain.folder(3))
    eventually('the status says so', lambda: 'version 3 in base path' in page(server))
    assert 'not complete' in page(server)
    with Client(server) as client:
        assert ask(client, plain) == 2
    os.rmdir(plain.folder(3))
    eventually('it is forgotten', lambda: 'source_error' not in page(server))


def test_versions_renamed_into_place_are_seen_without_polling(start, base):
    base.add(1)
    server = start({'m': base.path}, flags=HOURLY)
    for version in (2, 3):
        base.add(version)
        server.wait_for_only('m', [version])
    os.rename(base.folder(3), base.folder(3) + '.denied')
    server.wait_for_only('m', [2])
    with Client(server) as client:
        assert ask(client, base) == 2


def test_a_failed_version_is_loaded_when_its_files_change(start, base):
    base.add(1)
    server = start({'m': base.path}, flags=[*HOURLY, *NO_RETRIES])
    base.add_broken(2)
    eventually('version 2 has failed', lambda: server.has_failed('m', 2))
    base.add(4)
    os.rename(base.folder(4), base.path + '.whole')
    for name in files_below(base.path + '.whole'):
        source, target = os.path.join(base.path + '.whole', name), os.path.join(base.folder(2), name)
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            shutil.copyfile(source, target)
    eventually('version 2 is loaded', lambda: server.states('m').get(2) == 'AVAILABLE')
    server.wait_for_only('m', [2])


def test_a_version_that_is_deleted_under_load_serves_until_the_other_one_does(start, base):
    base.add(1)
    base.add(2)
    server = start({'m': base.path}, flags=HOURLY)
    with Load(server, {'m': base}) as load:
        load.more()
        base.remove(2)  # file by file
        server.wait_for_only('m', [1])
        load.more()
    assert not load.failures, load.failures[:5]


def test_the_base_path_is_made_later(start, tmp_path):
    base = Base(tmp_path / 'made/later/model', 'builtin')
    shutil.rmtree(tmp_path / 'made')
    server = start({'m': base.path}, flags=HOURLY, ready=False)
    eventually('the status says so', lambda: 'cannot list the versions' in page(server))
    os.makedirs(base.path)
    eventually('the base path is seen', lambda: 'there are no versions' in page(server))
    base.add(1)
    server.wait_for_only('m', [1])


def test_a_link_to_the_base_path_is_switched(start, tmp_path):
    releases = {version: Base(tmp_path / f'release{version}', 'builtin') for version in (1, 2)}
    for version, base in releases.items():
        base.add(version)
    link = tmp_path / 'model'
    os.symlink(releases[1].path, link)
    server = start({'m': str(link)}, flags=HOURLY)
    with Load(server, {'m': releases[1]}) as load:
        load.more()
        os.symlink(releases[2].path, tmp_path / 'next')
        os.rename(tmp_path / 'next', link)
        server.wait_for_only('m', [2])
        load.more()
    assert not load.failures, load.failures[:5]


def test_a_kubernetes_volume_is_switched(start, plain, tmp_path):
    store = Base(tmp_path / 'store', 'builtin')

    def fill(generation, versions):
        folder = os.path.join(plain.path, generation)
        for version in versions:
            store.add(version)
            os.makedirs(folder, exist_ok=True)
            os.rename(store.folder(version), os.path.join(folder, str(version)))
    fill('..2026_1', [1])
    os.symlink('..2026_1', os.path.join(plain.path, '..data'))
    os.symlink('..data/1', plain.folder(1))
    server = start({'m': plain.path}, flags=HOURLY)
    fill('..2026_2', [1, 2])
    os.symlink('..2026_2', os.path.join(plain.path, '..data_tmp'))
    os.rename(os.path.join(plain.path, '..data_tmp'), os.path.join(plain.path, '..data'))
    os.symlink('..data/2', plain.folder(2))
    shutil.rmtree(os.path.join(plain.path, '..2026_1'))
    server.wait_for_only('m', [2])
    with Client(server) as client:
        assert ask(client, plain) == 2


def test_folders_that_cannot_be_read(start, plain, tmp_path):
    # Root may read everything; this takes that right away.
    wrapper = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] if os.getuid() == 0 else []
    if wrapper and subprocess.run([*wrapper, 'true'], check=False, capture_output=True).returncode != 0:
        pytest.skip('setpriv cannot take rights away here')
    other = Base(tmp_path / 'other', 'builtin')
    other.add(1)
    plain.add(1)
    os.chmod(other.path, 0)
    server = start({'m': plain.path, 'other': other.path}, flags=['--file_system_poll_wait_seconds=1', *NO_RETRIES],
                   ready=False, wrapper=wrapper)
    server.wait_for_only('m', [1])
    eventually('the status says so', lambda: 'Permission denied' in page(server, 'other'))
    os.chmod(other.path, 0o755)
    server.wait_for_only('other', [1])
    # A version: the one before it goes on, and it is loaded as soon as it can be read.
    plain.add(2)
    server.wait_for_only('m', [2])
    plain.add(3)
    os.rename(plain.folder(3), plain.path + '.3')
    os.chmod(plain.path + '.3', 0)
    os.rename(plain.path + '.3', plain.folder(3))
    eventually('version 3 has failed', lambda: server.has_failed('m', 3))
    with Client(server) as client:
        assert ask(client, plain) == 2
        os.chmod(plain.folder(3), 0o755)
        server.wait_for_only('m', [3])
        # The base path, while its version serves.
        os.chmod(plain.path, 0)
        eventually('the status says so', lambda: 'Permission denied' in page(server))
        assert ask(client, plain) == 3
        os.chmod(plain.path, 0o755)


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for little."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(folder)], check=False,
                             capture_output=True)
    if mounted.returncode != 0:
        pytest.skip('no right to mount a file system')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_a_disk_that_fills_while_a_version_is_copied(start, small_disk):
    base = Base(small_disk / 'model', 'builtin')
    base.add(1)
    server = start({'m': base.path}, flags=[*HOURLY, *NO_RETRIES])
    os.makedirs(base.folder(2))
    with pytest.raises(OSError):
        with open(os.path.join(base.folder(2), 'ballast'), 'wb', buffering=0) as file:
            while True:
                file.write(bytes(4096))
    # The copy is broken off before the file that counts; what is there fails, and the server goes on.
    eventually('version 2 has failed', lambda: server.has_failed('m', 2))
    with Client(server) as client:
        assert ask(client, base) == 1
        os.remove(os.path.join(base.folder(2), 'ballast'))
        with open(os.path.join(base.folder(2), 'model.builtin'), 'w', encoding='ascii') as file:
            file.write('identity\n')
        server.wait_for_only('m', [2])
        assert ask(client, base) == 2


@pytest.mark.parametrize('period', [0, -1])
def test_without_polling_nothing_is_watched(start, plain, period):
    plain.add(1)
    server = start({'m': plain.path, 'same': 'builtin:identity'}, flags=[f'--file_system_poll_wait_seconds={period}'],
                   ready=False)
    if period == 0:
        server.wait_for_only('m', [1])
    server.wait_for_only('same', [1])
    links = [os.readlink(f'/proc/{server.process.pid}/fd/{fd}') for fd in os.listdir(f'/proc/{server.process.pid}/fd')]
    assert not [link for link in links if 'inotify' in link]
    plain.add(2)
    time.sleep(SETTLED_SECONDS)  # there is nothing to wait for
    assert 2 not in server.states('m')


def test_the_last_version_may_be_kept(start, plain):
    plain.add(1)
    server = start({'m': plain.path}, flags=[*HOURLY, '--servable_versions_always_present'])
    plain.remove(1)
    eventually('the status says so', lambda: 'there are no versions' in page(server))
    with Client(server) as client:
        assert ask(client, plain) == 1
    plain.add(2)
    server.wait_for_only('m', [2])
