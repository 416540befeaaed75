# SPDX-License-Identifier: Apache-2.0
"""Tables that the package writes: their files, and what it refuses."""
import json

import numpy as np
import pytest

from penstock_client import tables


def read(folder):
    manifest = json.loads((folder / 'table.json').read_text())
    if manifest['key_type'] == 'string':
        keys = (folder / 'keys.txt').read_bytes().splitlines()
    else:
        keys = np.fromfile(folder / 'key', '<i8').tolist()
    rows = np.fromfile(folder / 'emb_vector', manifest['dtype']).reshape(len(keys), manifest['dimension'])
    return manifest, keys, rows.tolist()


def test_writes_keys_and_rows(tmp_path):
    info = tables.write(tmp_path / 'm/1', np.array([7, 8], np.int32), np.array([[1, 2], [3, 4]], '>f4'), default_row=0.5)
    assert info == tables.TableInfo(2, 2, 'float32', 'int64')
    manifest, keys, rows = read(tmp_path / 'm/1')
    assert (keys, rows) == ([7, 8], [[1, 2], [3, 4]])
    assert manifest['default_row'] == 0.5
    assert [each.name for each in (tmp_path / 'm').iterdir()] == ['1']


def test_keys_may_be_text(tmp_path):
    tables.write(tmp_path / '1', ['grün', b'a\0'], [1, 2], dtype=np.int8)
    manifest, keys, rows = read(tmp_path / '1')
    assert (manifest['dtype'], keys, rows) == ('int8', ['grün'.encode(), b'a\0'], [[1], [2]])


def test_the_key_may_be_the_number_of_the_row(tmp_path):
    with tables.TableWriter(tmp_path / '1', shard=(1, 2)) as writer:
        writer.append(None, [[0], [1], [2]])
        writer.append(None, [[3], [4], [5]])
    assert writer.info == tables.TableInfo(3, 1, 'int64', 'dense')
    manifest = json.loads((tmp_path / '1/table.json').read_text())
    assert manifest['shard'] == {'index': 1, 'count': 2, 'hash': 'modulo'}
    assert np.fromfile(tmp_path / '1/emb_vector', np.int64).tolist() == [1, 3, 5]
    assert sorted(each.name for each in (tmp_path / '1').iterdir()) == ['emb_vector', 'table.json']


# The values are those of docs/tables.md and of the server's own tests.
def test_shards_are_those_of_the_server():
    assert tables.shards_of([42], 4).tolist() == [2]
    assert tables.shards_of(['red', b'red', ''], 4).tolist()[:2] == [3, 3]

    def mix(key):
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        key = (key ^ key >> 27) * 0x94D049BB133111EB % 2**64
        return key ^ key >> 31

    def hash_of_string(text):
        value = 0xCBF29CE484222325
        for byte in text:
            value = (value ^ byte) * 0x100000001B3 % 2**64
        return mix(value)

    texts = [b'', b'a', 'grün'.encode(), b'x' * 300, b'\0\xff']
    assert tables.shards_of(texts, 1000).tolist() == [hash_of_string(text) % 1000 for text in texts]
    numbers = [0, 1, -1, -2**63, 2**63 - 1]
    assert tables.shards_of(numbers, 1000).tolist() == [mix(number % 2**64) % 1000 for number in numbers]


def test_shards_divide_the_keys(tmp_path):
    for keys in (list(range(100)), [f'key {i}' for i in range(100)]):
        kept = []
        for index in range(3):
            folder = tmp_path / f'{keys[0]}.{index}'
            tables.write(folder, keys, np.arange(100, dtype=np.float32), shard=(index, 3))
            manifest, some, rows = read(folder)
            assert manifest['shard'] == {'index': index, 'count': 3, 'hash': 'mix64'}
            assert [keys[int(row[0])] for row in rows] == [key.decode() if isinstance(key, bytes) else key for key in some]
            kept += some
        assert len(kept) == len(set(kept)) == 100


def test_a_shard_may_have_no_rows(tmp_path):
    info = tables.write(tmp_path / '1', [42], [[1, 2]], shard=(0, 4))
    assert (info.rows, info.dimension) == (0, 2)


def test_writes_vocabularies(tmp_path):
    tables.write_vocabulary(tmp_path / 'm/1', ['rot', 'grün', b'', b'a\0'], default_id=7)
    manifest = json.loads((tmp_path / 'm/1/table.json').read_text())
    assert (manifest['key_type'], manifest['default_row']) == ('vocabulary', 7)
    assert (tmp_path / 'm/1/keys.txt').read_bytes() == 'rot\ngrün\n\na\0\n'.encode()
    for words, message in ((['a', 'b', 'a'], "'a' is there twice"),
                           (['a\n'], 'has a line break'), ([], 'no words'), ([1], 'must be')):
        with pytest.raises((TypeError, ValueError), match=message):
            tables.write_vocabulary(tmp_path / 'n/1', words)
        assert not (tmp_path / 'n').exists()


def test_writes_block_by_block(tmp_path):
    with tables.TableWriter(tmp_path / '1') as writer:
        for begin in (0, 3):
            writer.append(range(begin, begin + 3), np.full((3, 2), begin, np.float64))
    assert read(tmp_path / '1')[1:] == ([0, 1, 2, 3, 4, 5], [[0, 0]] * 3 + [[3, 3]] * 3)


def test_checksums_are_those_of_the_files(tmp_path):
    google_crc32c = pytest.importorskip('google_crc32c')
    tables.write(tmp_path / '1', [1, 2], [[1.5], [2.5]])
    for name, checksum in read(tmp_path / '1')[0]['checksums'].items():
        assert checksum == f'crc32c:{google_crc32c.value((tmp_path / "1" / name).read_bytes()):08x}'


@pytest.mark.parametrize('keys, rows, options, message', [
    ([1, 1], [[1], [2]], {}, 'the key 1 is there twice'),
    ([1, 2], [[1]], {}, 'there are 2 keys, but 1 rows'),
    ([1.5], [[1]], {}, 'keys must be integers, str or bytes; 1.5 is float'),
    (['a\nb'], [[1]], {}, 'has a line break'),
    ([[1]], [[1]], {}, 'keys must have one dimension'),
    ([2**63], [[1]], {}, 'larger than an int64'),
    ([1], [[[1]]], {}, 'must have the shape'),
    ([1], [['x']], {}, 'rows cannot be of'),
    ([1], [[1.5]], {'dtype': np.int32}, 'rows of float64 cannot become int32'),
    ([1], [[300]], {'dtype': np.uint8}, 'some elements do not fit uint8'),
    ([1], [[1]], {'default_row': [1, 2]}, 'default_row has 2 numbers; rows have 1'),
    ([1], [[1]], {'default_row': float('nan')}, 'not JSON compliant'),
    ([], np.zeros((0, 2)), {}, 'there are no rows'),
    ([1], [[1]], {'shard': (2, 2)}, 'shard 2 of 2: shards count from 0 on'),
])
def test_an_error_leaves_nothing(tmp_path, keys, rows, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tables.write(tmp_path / 'new/m/1', keys, rows, **options)
    assert not list(tmp_path.iterdir())


def test_replaces_nothing(tmp_path):
    with pytest.raises(FileExistsError):
        tables.write(tmp_path, [1], [1])


def test_writes_frames_of_pandas(tmp_path):
    pandas = pytest.importorskip('pandas')
    frame = pandas.DataFrame({'a': [1.5, 2.5], 'id': ['x', 'y'], 'b': np.array([3, 4], np.float32)})
    tables.write_frame(tmp_path / '1', frame, 'id', dtype='float32')
    assert read(tmp_path / '1')[1:] == ([b'x', b'y'], [[1.5, 3], [2.5, 4]])
    tables.write_frame(tmp_path / '2', pandas.DataFrame({'id': [1, 2], 'e': [[1, 2], [3, 4]]}), 'id', ['e'])
    assert read(tmp_path / '2')[1:] == ([1, 2], [[1, 2], [3, 4]])
    tables.write_frame(tmp_path / 'dense', frame, None, ['b', 'a'])
    assert np.fromfile(tmp_path / 'dense/emb_vector').tolist() == [3, 1.5, 4, 2.5]
    with pytest.raises(ValueError, match="no column 'key'; the columns are a, id, b"):
        tables.write_frame(tmp_path / '3', frame, 'key')
    with pytest.raises(ValueError, match="the column 'b' has 1 empty values"):
        tables.write_frame(tmp_path / '3', pandas.DataFrame({'id': [1, 2], 'b': [1, None]}), 'id')
    with pytest.raises(ValueError, match='different lengths'):
        tables.write_frame(tmp_path / '3', pandas.DataFrame({'id': [1, 2], 'e': [[1], [1, 2]]}), 'id')
    with pytest.raises(TypeError, match="the column 'id' has .*, and no numbers"):
        tables.write_frame(tmp_path / '3', frame, 'a', ['id'])


def test_writes_parquet_files(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet
    for part in (0, 1):
        embedding = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.arange(6, dtype=np.float32) + part), 3)
        table = pyarrow.table({'id': pyarrow.array([2 * part, 2 * part + 1]), 'other': ['a', 'b'], 'e': embedding})
        parquet.write_table(table, tmp_path / f'{part}.parquet')
    info = tables.write_parquet(tmp_path / '1', [tmp_path / '0.parquet', tmp_path / '1.parquet'], 'id', ['e'])
    assert info == tables.TableInfo(4, 3, 'float32', 'int64')
    assert read(tmp_path / '1')[1:] == ([0, 1, 2, 3], [[0, 1, 2], [3, 4, 5], [1, 2, 3], [4, 5, 6]])
    tables.write_frame(tmp_path / '2', table.slice(1), 'other', ['e', 'id'])
    assert read(tmp_path / '2')[1:] == ([b'b'], [[4, 5, 6, 3]])
    with pytest.raises(TypeError, match="the column 'other' has"):
        tables.write_parquet(tmp_path / '3', tmp_path / '0.parquet', 'id')
    with pytest.raises(ValueError, match="the column 'id' has 1 empty values"):
        tables.write_frame(tmp_path / '3', pyarrow.table({'id': [1, None], 'a': [1, 2]}), 'id')
    with pytest.raises(ValueError, match="'e' have different lengths"):
        tables.write_frame(tmp_path / '3', pyarrow.table({'id': [1, 2], 'e': [[1], [1, 2, 3]]}), 'id')
