# SPDX-License-Identifier: Apache-2.0
"""Writes look-up tables that Penstock serves, from arrays, data frames and Parquet files.

    from penstock_client import tables

    tables.write('/models/items/1', keys=np.array([7, 8]), rows=np.zeros((2, 64), np.float32))
    tables.write_frame('/models/items/2', frame, key='id')
    tables.write_parquet('/models/items/3', ['part-0.parquet', 'part-1.parquet'], key='id', columns=['embedding'])
    tables.write_vocabulary('/models/words/1', ['red', 'green'])

The files are those of `penstock table build`, without the index: the server makes it at the first load. Data frames need pandas
or pyarrow, Parquet files pyarrow. With google-crc32c, table.json has checksums: pip install 'penstock-client[tables]'."""
import collections
import dataclasses
import itertools
import json
import operator
import os
import shutil

import numpy as np

try:
    import google_crc32c
except ModuleNotFoundError:
    google_crc32c = None

__all__ = ['TableInfo', 'TableWriter', 'shards_of', 'write', 'write_frame', 'write_parquet', 'write_vocabulary']

_DTYPES = ('float16', 'float32', 'float64', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64')
_CHUNK_BYTES = 64 << 20
_ROWS_OF_BATCH = 65536


@dataclasses.dataclass(frozen=True)
class TableInfo:
    """What was written."""
    rows: int
    dimension: int
    dtype: str
    key_type: str


class _File:
    """A file that is written from its start to its end, with its checksum."""

    def __init__(self, path):
        self.name = os.path.basename(path)
        self._file = open(path, 'wb')  # pylint: disable=consider-using-with
        self._checksum = 0

    def append(self, data):
        self._file.write(data)
        if google_crc32c:
            for begin in range(0, len(data), _CHUNK_BYTES):
                self._checksum = google_crc32c.extend(self._checksum, bytes(data[begin:begin + _CHUNK_BYTES]))

    def flush(self):
        self._file.flush()

    def finish(self):
        """Returns when all is on the disk, with the member of 'checksums'."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {self.name: f'crc32c:{self._checksum:08x}'} if google_crc32c else {}

    def close(self):
        self._file.close()


class _FolderWriter:
    """Makes a folder that gets its name when all is on the disk; after an error, nothing is there."""

    def __init__(self, output):
        self.output = os.path.abspath(output)
        if os.path.lexists(self.output):
            raise FileExistsError(f'{output} exists; the output must be the new folder of a version')
        self._folder = os.path.join(os.path.dirname(self.output), f'.{os.path.basename(self.output)}.building')
        self._files = []
        self._made = []  # folders above the output, the innermost first

    def __enter__(self):
        # An earlier attempt may have been killed.
        shutil.rmtree(self._folder, ignore_errors=True)
        parent = os.path.dirname(self._folder)
        while not os.path.isdir(parent):
            self._made.append(parent)
            parent = os.path.dirname(parent)
        os.makedirs(self._folder)
        return self

    def __exit__(self, error_type, error, traceback):
        try:
            if error_type is None:
                self._finish()
        finally:
            for file in self._files:
                file.close()
            if os.path.isdir(self._folder):
                shutil.rmtree(self._folder, ignore_errors=True)
                for parent in self._made:
                    try:
                        os.rmdir(parent)
                    except OSError:
                        break  # somebody has put something into it

    def _finish(self):
        raise NotImplementedError

    def _new_file(self, name):
        self._files.append(_File(os.path.join(self._folder, name)))
        return self._files[-1]

    def _keep(self, manifest):
        checksums = {}
        for file in self._files:
            checksums.update(file.finish())
        if checksums:
            manifest['checksums'] = checksums
        text = self._new_file('table.json')
        text.append((json.dumps(manifest, allow_nan=False) + '\n').encode())
        text.finish()
        os.rename(self._folder, self.output)


class TableWriter(_FolderWriter):
    """Writes the folder of a version, block by block:

        with TableWriter('/models/items/1') as writer:
            for keys, rows in blocks:
                writer.append(keys, rows)

    The folder gets its name at the end of the block. After an error, nothing is there.
    `dtype`: of the elements; that of the first rows if it is None. `default_row`: for keys that are missing, a number or a
    list. `shard`: (index, count), to take only the keys of one shard. One thread at a time."""

    def __init__(self, output, *, dtype=None, default_row=None, shard=None):
        super().__init__(output)
        self._dtype = None if dtype is None else _check_dtype(np.dtype(dtype))
        self._default_row = None if default_row is None else np.asarray(default_row).tolist()
        self._shard = _check_shard(*(shard or (0, 1)))
        self._key_type = None
        self._dimension = None
        self._rows = 0
        self._seen = 0  # rows, also those of other shards

    @property
    def info(self):
        """What has been written until now."""
        return TableInfo(self._rows, self._dimension or 0, str(self._dtype), self._key_type or '')

    def append(self, keys, rows):
        """keys: integers, or str or bytes, in one dimension; None: the key of a row is its number, from 0 on. rows: numbers,
        [len(keys), dimension]."""
        rows = np.asarray(rows)
        rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise ValueError(f'rows must have the shape [rows, dimension]; they have {list(rows.shape)}')
        key_type, keys = ('dense', np.arange(self._seen, self._seen + len(rows))) if keys is None else _read_keys(keys)
        if len(rows) != len(keys):
            raise ValueError(f'there are {len(keys)} keys, but {len(rows)} rows')
        if len(keys) == 0:
            return
        if self._key_type is None:
            self._begin(key_type, rows)
        if key_type != self._key_type:
            raise TypeError(f'these keys are of type {key_type}; those before them are {self._key_type}')
        if rows.shape[1] != self._dimension:
            raise ValueError(f'these rows have {rows.shape[1]} elements; those before them have {self._dimension}')
        little_endian = self._dtype.newbyteorder('<')
        are_whole = rows.dtype.kind in 'iu' and self._dtype.kind in 'iu'  # their values are compared
        if not are_whole and not np.can_cast(rows.dtype, little_endian, 'same_kind'):
            raise TypeError(f'rows of {rows.dtype} cannot become {self._dtype}')
        converted = np.ascontiguousarray(rows.astype(little_endian, copy=False))
        if are_whole and not np.array_equal(rows, converted):
            raise ValueError(f'some elements do not fit {self._dtype}')
        self._seen += len(keys)
        if self._shard[1] > 1:
            here = np.flatnonzero(_shards(key_type, keys, self._shard[1]) == self._shard[0])
            keys = [keys[i] for i in here] if key_type == 'string' else keys[here]
            converted = np.ascontiguousarray(converted[here])
        self._files[0].append(converted.reshape(-1).view(np.uint8).data)
        if key_type != 'dense':
            self._files[1].append(_key_bytes(key_type, keys))
        self._rows += len(keys)

    def _begin(self, key_type, rows):
        self._dtype = self._dtype or _check_dtype(rows.dtype)
        self._key_type = key_type
        self._dimension = rows.shape[1]
        if isinstance(self._default_row, list) and len(self._default_row) != self._dimension:
            raise ValueError(f'default_row has {len(self._default_row)} numbers; rows have {self._dimension}')
        self._new_file('emb_vector')
        if key_type != 'dense':
            self._new_file('keys.txt' if key_type == 'string' else 'key')

    def _finish(self):
        if self._seen == 0:
            raise ValueError('there are no rows')
        manifest = {'format': 1, 'key_type': self._key_type, 'dtype': str(self._dtype), 'dimension': self._dimension}
        if self._default_row is not None:
            manifest['default_row'] = self._default_row
        index, count = self._shard
        if count > 1:
            manifest['shard'] = {'index': index, 'count': count, 'hash': 'modulo' if self._key_type == 'dense' else 'mix64'}
        if self._key_type == 'int64':
            self._files[1].flush()
            _check_unique(os.path.join(self._folder, 'key'))
        self._keep(manifest)


class _VocabularyWriter(_FolderWriter):
    """Writes the folder of a vocabulary."""

    def __init__(self, output, words, default_id):
        super().__init__(output)
        self._words, self._default_id = words, default_id

    def _finish(self):
        words = _encode_texts(self._words)
        if not words:
            raise ValueError('there are no words')
        if len(set(words)) < len(words):
            twice = collections.Counter(words).most_common(1)[0][0]
            raise ValueError(f'the word {twice.decode(errors="replace")!r} is there twice')
        manifest = {'format': 1, 'key_type': 'vocabulary'}
        if self._default_id is not None:
            manifest['default_row'] = operator.index(self._default_id)
        self._new_file('keys.txt').append(_key_bytes('string', words))
        self._keep(manifest)


def write(output, keys, rows, *, dtype=None, default_row=None, shard=None):
    """Writes a table of these keys and rows to the new folder `output`, and returns its TableInfo. The other
    arguments are those of TableWriter; keys may be None."""
    with TableWriter(output, dtype=dtype, default_row=default_row, shard=shard) as writer:
        writer.append(keys, rows)
    return writer.info


def write_frame(output, frame, key, columns=None, *, dtype=None, default_row=None, shard=None):
    """The same for a data frame of pandas, a table of pyarrow, or a frame with to_arrow() (as polars has it).

    `key`: the column of the keys; None: the key of a row is its number. `columns`: those of the elements, in this order;
    None: all others. A column may have a list of
    numbers in each row: an embedding."""
    if hasattr(frame, 'to_arrow'):
        frame = frame.to_arrow()
    with TableWriter(output, dtype=dtype, default_row=default_row, shard=shard) as writer:
        if hasattr(frame, 'to_batches'):  # of pyarrow
            for batch in frame.to_batches(max_chunksize=_ROWS_OF_BATCH):
                _append(writer, batch.schema.names, lambda name, batch=batch: _from_arrow(name, batch.column(name)), key, columns)
        else:
            _append(writer, list(frame.columns), lambda name: _from_pandas(name, frame[name]), key, columns)
    return writer.info


def write_parquet(output, paths, key, columns=None, *, dtype=None, default_row=None, shard=None):
    """The same for Parquet files: a path, or a list of them. Reads a part at a time, so they may be larger than the memory."""
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ImportError("write_parquet needs pyarrow: pip install 'penstock-client[tables]'") from error
    with TableWriter(output, dtype=dtype, default_row=default_row, shard=shard) as writer:
        for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
            with parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                _check_names(names, key, columns)
                wanted = None if columns is None else [*([] if key is None else [key]), *columns]
                for batch in file.iter_batches(batch_size=_ROWS_OF_BATCH, columns=wanted):
                    _append(writer, batch.schema.names, lambda name, batch=batch: _from_arrow(name, batch.column(name)),
                            key, columns)
    return writer.info


def write_vocabulary(output, words, *, default_id=None):
    """Writes a vocabulary to the new folder `output`: the id of a word, which is str or bytes, is its position from 0 on.
    `default_id`: for words that are missing; None: -1."""
    with _VocabularyWriter(output, words, default_id):
        pass


def shards_of(keys, count):
    """The shards of a table in `count` parts that the keys belong to, as an array. For integers or texts, not for dense keys."""
    return _shards(*_read_keys(keys), _check_shard(0, count)[1])


# Implementation below.

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_SHARDS_MAX = 1 << 16


def _check_shard(index, count):
    if not 0 <= index < count <= _SHARDS_MAX:
        raise ValueError(f'shard {index} of {count}: shards count from 0 on, and there are at most {_SHARDS_MAX}')
    return index, count


def _mix(keys):
    """As docs/tables.md has it; arithmetic of arrays is modulo 2^64."""
    keys = (keys ^ keys >> np.uint64(30)) * _MIX[0]
    keys = (keys ^ keys >> np.uint64(27)) * _MIX[1]
    return keys ^ keys >> np.uint64(31)


def _shards(key_type, keys, count):
    if key_type == 'dense':
        return keys % count
    if key_type == 'int64':
        return _mix(keys.view(np.uint64)) % np.uint64(count)
    # All keys together, a position after the other.
    lengths = np.array([len(key) for key in keys], np.int64)
    begins = np.cumsum(lengths) - lengths
    text = np.frombuffer(b''.join(keys), np.uint8)
    hashes = np.full(len(keys), _FNV_START)
    rest = np.flatnonzero(lengths)
    for position in itertools.count():
        if not len(rest):
            return _mix(hashes) % np.uint64(count)
        hashes[rest] = (hashes[rest] ^ text[begins[rest] + position]) * _FNV_PRIME
        rest = rest[lengths[rest] > position + 1]

def _check_dtype(dtype):
    if dtype.name not in _DTYPES:
        raise TypeError(f'rows cannot be of {dtype}; right would be one of {", ".join(_DTYPES)}')
    return dtype.newbyteorder('=')


def _read_keys(keys):
    """The key type, and an array of int64 or a list of bytes."""
    array = np.asarray(keys)
    if array.ndim != 1:
        raise ValueError(f'keys must have one dimension; they have {array.ndim}')
    if array.dtype.kind not in 'iu':
        # Not the array, because numpy drops zeros at the end of bytes.
        return 'string', _encode_texts(keys)
    if array.dtype == np.uint64 and len(array) and array.max() > np.iinfo(np.int64).max:
        raise ValueError('a key is larger than an int64 can be')
    return 'int64', np.ascontiguousarray(array, np.int64)


def _encode_texts(keys):
    texts = []
    for each in keys:
        if not isinstance(each, (str, bytes)):
            raise TypeError(f'keys must be integers, str or bytes; {each!r} is {type(each).__name__}')
        text = each.encode() if isinstance(each, str) else bytes(each)
        if b'\n' in text:
            raise ValueError(f'the key {each!r} has a line break')
        texts.append(text)
    return texts


def _key_bytes(key_type, keys):
    if key_type == 'string':
        return b''.join(key + b'\n' for key in keys)
    return np.ascontiguousarray(keys, '<i8').view(np.uint8).data


def _check_unique(path):
    """The server would refuse the table. For strings, it is left to do so: to compare them here would take much memory."""
    keys = np.fromfile(path, '<i8')
    keys.sort()
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if len(twice):
        raise ValueError(f'the key {keys[twice[0]]} is there twice')


def _check_names(names, key, columns):
    for name in [*([] if key is None else [key]), *(columns or [])]:
        if name not in names:
            raise ValueError(f'there is no column {name!r}; the columns are {", ".join(map(str, names))}')


def _append(writer, names, read, key, columns):
    """Appends one block. read(name) gives a column as an array of one or two dimensions."""
    _check_names(names, key, columns)
    values = [read(name) for name in (columns or [name for name in names if name != key])]
    if not values:
        raise ValueError('there are no columns' + ('' if key is None else f' beside the key {key!r}'))
    for name, each in zip(columns or [name for name in names if name != key], values):
        if each.dtype.kind not in 'iuf':
            raise TypeError(f'the column {name!r} has {each.dtype}, and no numbers')
    rows = values[0] if len(values) == 1 else np.hstack([each.reshape(len(each), -1) for each in values])
    writer.append(None if key is None else read(key), rows)


def _from_arrow(name, column):
    import pyarrow
    if column.null_count:
        raise ValueError(f'the column {name!r} has {column.null_count} empty values')
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        return _from_arrow(name, column.dictionary_decode())
    if not (pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind)):
        return column.to_numpy(zero_copy_only=False)
    elements = column.flatten()
    length = len(elements) // max(len(column), 1)
    if length == 0 or any(each != length for each in set(column.value_lengths().to_pylist())):
        raise ValueError(f'the lists of the column {name!r} have different lengths, or none')
    return _from_arrow(name, elements).reshape(len(column), length)


def _from_pandas(name, column):
    if column.isna().any():
        raise ValueError(f'the column {name!r} has {column.isna().sum()} empty values')
    values = column.to_numpy()
    if values.dtype != object or not len(values) or isinstance(values[0], (str, bytes)):
        return values
    try:
        return np.stack([np.asarray(each) for each in values])
    except ValueError as error:
        raise ValueError(f'the lists of the column {name!r} have different lengths') from error
