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
