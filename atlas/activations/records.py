"""Records of a corpus' files, each read as it is asked for: a file may be larger than memory.

A record is a text, or the token ids of a text that was tokenised before. What cannot be read is refused with its file and
record.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from atlas.errors import CorpusError

TEXT_COLUMN = "text"

ID_COLUMNS = ("input_ids", "tokens")
"""Columns of token ids, looked for in this order where there is no text."""

PACKINGS = (".gz", ".zst")

LARGEST_ID = 2**31 - 1
"""Token ids are held in 32 bits."""

LARGEST_RECORD = 1 << 28
"""Bytes of one line or document. Packed a thousandfold, a small file might else fill the memory."""

LARGEST_JSON = 1 << 25
"""Bytes of one record in JSON, which takes up to fifty times as much as it is read: `[[[]]]` is a list of lists."""

_PARQUET_ROWS = 256
_PARQUET_BYTES = 1 << 16
_JSON_BYTES = 1 << 16
_SPACES = (" ", "\t", "\r", "\n")


class TokenIds(NamedTuple):
    """A record that was tokenised before, special tokens included."""

    ids: tuple[int, ...]
    where: str
    """Its number and file, as errors name it."""


def file_kind(path: Path) -> str:
    """Return a file's ending without that of its packing: `.jsonl` of `text.jsonl.zst`."""
    return Path(path.stem).suffix if path.suffix in PACKINGS else path.suffix


def file_records(path: Path) -> Iterator[str | TokenIds]:
    """Yield the records of a .txt, .json or .jsonl, packed or not, or of a .parquet.

    Raises:
        CorpusError: the file, or a record of it, cannot be read.
    """
    yield from READERS[file_kind(path)](path)


def record(raw: Any, where: str) -> str | TokenIds:
    """Return what a record holds: itself if it is a text, or else its text column, or else its column of token ids.

    Raises:
        CorpusError: it has none of them.
    """
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, dict):
        raise CorpusError(f"{where} holds a {type(raw).__name__}; a record is a text, or an object with a text column.")
    column = _column(raw, where)
    value = raw[column]
    found = "null" if value is None else type(value).__name__
    if column == TEXT_COLUMN:
        if not isinstance(value, str):
            raise CorpusError(f"{where} has a text column that holds {found}, not text.")
        return value
    if not isinstance(value, list):
        raise CorpusError(f"{where} has a column {column} that holds {found}, not a list of token ids.")
    for position, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= LARGEST_ID:
            raise CorpusError(f"{where} has {token!r:.40} at position {position} of {column}; a token id is an integer from 0.")
    return TokenIds(tuple(value), where)


def _column(columns: Any, where: str) -> str:
    """Return the first of the columns that are looked for."""
    wanted = (TEXT_COLUMN, *ID_COLUMNS)
    for name in wanted:
        if name in columns:
            return name
    raise CorpusError(f"{where} has no column {', '.join(wanted[:-1])} or {wanted[-1]}; it has {', '.join(columns) or 'none'}.")


def _require_bounded(size: int, bound: int, where: str) -> None:
    if size > bound:
        raise CorpusError(f"{where} has more than {bound >> 20} MB; cut it into shorter documents.")


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedIOBase]:
    """Give a file's bytes, unpacked as they are read.

    Raises:
        CorpusError: it cannot be read, or is not packed as its name says.
    """
    packing = path.suffix.lower()
    try:
        if packing == ".zst":
            import pyarrow

            with pyarrow.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(stream) as file:
                yield file
        else:
            with gzip.open(path, "rb") if packing == ".gz" else path.open("rb") as file:
                yield file
    except gzip.BadGzipFile as error:
        raise CorpusError(f"'{path}' is not gzipped ({error}). Name it without .gz, or compress it.") from error
    except (EOFError, zlib.error) as error:
        raise CorpusError(f"'{path}' is a broken gzip file ({error}). Fetch or compress it again.") from error
    except OSError as error:
        if packing == ".zst" and error.errno is None:
            raise CorpusError(f"'{path}' is no whole zstd file ({error}). Fetch or compress it again.") from error
        raise CorpusError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def text_lines(path: Path, bound: int | None = None) -> Iterator[tuple[str, str]]:
    """Yield where each line stands, and the line with its end, of up to `bound` bytes (LARGEST_RECORD).

    Raises:
        CorpusError: it is not UTF-8, or holds NUL, which no text does, or is too long.
    """
    bound = LARGEST_RECORD if bound is None else bound
    with unpacked(path) as file:
        for number, stored in enumerate(iter(lambda: file.readline(bound + 1), b""), start=1):
            where = f"Line {number} of '{path}'"
            _require_bounded(len(stored), bound, where)
            try:
                line = stored.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(f"{where} is not text in UTF-8: {error.reason} at byte {error.start}.") from error
            if "\0" in line:
                raise CorpusError(f"{where} is not text: it holds a NUL at character {line.index(chr(0))}.")
            yield where, line


def _blocks(path: Path) -> Iterator[str]:
    """Yield the blocks of a .txt that two blank lines set apart."""
    block: list[str] = []
    newlines = size = 0
    for where, raw in text_lines(path):
        line = raw.replace("\r\n", "\n")
        newlines = newlines + 1 if line == "\n" else 1
        block.append(line)
        size += len(line)
        _require_bounded(size, LARGEST_RECORD, f"The document that ends at {where[0].lower()}{where[1:]}")
        if newlines == 3:
            yield from _unless_blank("".join(block)[:-3])
            block, newlines, size = [], 0, 0
    yield from _unless_blank("".join(block))


def _unless_blank(text: str) -> Iterator[str]:
    if text.strip():
        yield text


def _lines(path: Path) -> Iterator[str | TokenIds]:
    """Yield the record of each line of a .jsonl."""
    for where, line in text_lines(path, LARGEST_JSON):
        if line.strip():
            try:
                raw = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{where} is not JSON: {error}.") from error
            yield record(raw, where)


def _listed(path: Path) -> Iterator[str | TokenIds]:
    """Yield the records of the list that a .json is."""
    with unpacked(path) as file:
        rest = _Json(file, f"'{path}'")
        if rest.character() != "[":
            found = f"begins with {rest.character()!r}" if rest.character() else "is empty"
            raise CorpusError(f"'{path}' {found}; a .json corpus is a list of records, and one record a line is a .jsonl.")
        rest.at += 1
        number = 0
        follows = rest.character() != "]"
        if not follows:
            rest.at += 1
        while follows:
            number += 1
            rest.where = f"Record {number} of '{path}'"
            yield record(rest.value(), rest.where)
            delimiter = rest.character()
            rest.at += 1
            if delimiter not in ("]", ","):
                found = repr(delimiter) if delimiter else "nothing"
                raise CorpusError(f"{rest.where} is followed by {found}; a comma comes next, or the list's end.")
            follows = delimiter == ","
        if rest.character():
            raise CorpusError(f"'{path}' holds more behind its list; a .json corpus is one list of records.")


class _Json:
    """The part of a JSON text that has been read and not yet taken, and the way to more of it."""

    def __init__(self, file: io.BufferedIOBase, where: str) -> None:
        self.where = where
        """What an error is said of."""
        self.at = 0
        """Where the text that is not yet taken begins."""
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._parser = json.JSONDecoder()
        self._text = ""
        self._ended = False

    def character(self) -> str:
        """Return the next character that is no space; none at the end."""
        while True:
            while self._text[self.at : self.at + 1] in _SPACES:
                self.at += 1
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._more()

    def value(self) -> Any:
        """Take the next value.

        Raises:
            CorpusError: it is not JSON.
        """
        self.character()
        while True:
            try:
                value, end = self._parser.raw_decode(self._text, self.at)
            except json.JSONDecodeError as error:
                # Only what stands at the end of what has been read may be mended by the rest.
                cut = error.msg.startswith("Unterminated") or error.pos + 64 > len(self._text)
                if self._ended or not cut:
                    raise CorpusError(f"{self.where} is not JSON: {error.msg}.") from error
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{self.where} is not JSON: {error}.") from error
            else:
                if end < len(self._text) or self._ended:
                    self.at = end
                    return value
            self._more()

    def _more(self) -> None:
        """Read as much again as is waiting, so that a long value is not parsed anew too often."""
        waiting = self._text[self.at :]
        _require_bounded(len(waiting), LARGEST_JSON, self.where)
        stored = self._file.read(min(max(_JSON_BYTES, len(waiting)), LARGEST_JSON + 1 - len(waiting)))
        self._ended = not stored
        try:
            self._text, self.at = waiting + self._decoder.decode(stored, final=self._ended), 0
        except UnicodeDecodeError as error:
            raise CorpusError(f"{self.where}, or one behind it, is not text in UTF-8: {error.reason}.") from error


def _rows(path: Path) -> Iterator[str | TokenIds]:
    """Yield the rows of a .parquet, a few hundred at a time, its row groups in order."""
    import pyarrow
    from pyarrow import parquet

    if path.suffix != ".parquet":
        raise CorpusError(f"'{path}' is a packed .parquet, which must be read from both ends; unpack it.")
    try:
        # Otherwise a row group's column is fetched whole before its first row.
        with parquet.ParquetFile(path, buffer_size=_PARQUET_BYTES, pre_buffer=False) as file:
            column = _column(file.schema_arrow.names, f"'{path}'")
            if file.schema_arrow.names.count(column) > 1:
                raise CorpusError(f"'{path}' has more than one column '{column}'; leave one.")
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=[column]):
                for value in batch.column(column):
                    number += 1
                    where = f"Record {number} of '{path}'"
                    try:
                        found = value.as_py()
                    except UnicodeDecodeError as error:
                        raise CorpusError(f"{where} is not text in UTF-8: {error.reason} at byte {error.start}.") from error
                    yield record({column: found}, where)
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorpusError(f"'{path}' cannot be read as .parquet: {reason}.") from error


READERS: dict[str, Callable[[Path], Iterator[str | TokenIds]]] = {
    ".txt": _blocks,
    ".json": _listed,
    ".jsonl": _lines,
    ".parquet": _rows,
}
"""Ending of a file, and what reads it."""
