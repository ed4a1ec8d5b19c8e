"""Tables that users bring: columns by name, from a file or a data set of the hub."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from atlas.errors import CorpusError, TaskError
from atlas.probe.tasks.stated import NUMBER, are_numbers, counted, listed, shortened

FILE_KINDS = (".csv", ".tsv", ".parquet", ".jsonl", ".json")

LARGEST_TABLE = 1 << 30
"""Bytes that a packed table may unpack to."""

SEPARATORS = {".csv": ",", ".tsv": "\t"}
OTHER_SEPARATORS = (";", "\t", ",")
"""What a file is read by whose header has the separator of its kind nowhere."""


@dataclass(frozen=True)
class Table:
    """Rows of named columns; what is missing is None."""

    name: str
    """As messages name it."""
    shown: str
    """As pages name it: without its folder."""
    columns: dict[str, list[Any]]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return max(map(len, self.columns.values()), default=0)

    def column(self, name: str) -> list[Any]:
        """Return a column.

        Raises:
            TaskError: it is not there; those that are, are named.
        """
        if name not in self.columns:
            raise TaskError(f"{self.name} has no column {name!r}; it has {listed(tuple(self.columns)) or 'none'}.")
        return self.columns[name]

    def first_of(self, names: Sequence[str], role: str, otherwise: str = "") -> str:
        """Return the first of the names that is a column.

        Raises:
            TaskError: none is; `role` says what it would be for, and `otherwise` what to do if there is nothing for it.
        """
        found = next((name for name in names if name in self.columns), None)
        if found is None:
            raise TaskError(
                f"{self.name} has no column {listed(tuple(names), 'or')}; it has {listed(tuple(self.columns)) or 'none'}. "
                f"Name the one of the {role} in a TOML file beside it, which `atlas tasks new` writes.{otherwise}"
            )
        return found

    def texts(self, name: str) -> list[str]:
        """Return a column of text, with an empty one where there is none.

        Raises:
            TaskError: it holds something else.
        """
        found = []
        for number, value in enumerate(self.column(name), start=1):
            if not isinstance(value, str | None):
                raise TaskError(f"Row {number} of {self.name} holds {shortened(value)} in the column {name!r}, not text.")
            found.append(_whole(value or ""))
        return found

    def words(self, name: str) -> list[str]:
        """Return a column of words or numbers as text, with an empty one where there is none.

        Raises:
            TaskError: it holds lists or tables.
        """
        found = []
        for number, value in enumerate(self.column(name), start=1):
            if isinstance(value, list | dict | bytes | np.ndarray):
                raise TaskError(
                    f"Row {number} of {self.name} holds {shortened(value)} in the column {name!r}; it takes one word or number."
                )
            found.append(_word(value))
        return found

    def numbers(self, name: str) -> Float64[np.ndarray, "row"]:
        """Return a column of numbers; NaN where there is none.

        Raises:
            TaskError: there is no such column.
        """
        return np.array([number_of(value) for value in self.column(name)], dtype=np.float64)


@dataclass(frozen=True)
class RowColumns:
    """Columns of the rows that are kept, as hypotheses read them."""

    table: Table
    rows: Sequence[int]
    """Of the table."""
    label: Int64[np.ndarray, "row"]

    def numbers(self, name: str) -> Float64[np.ndarray, "row"]:
        """Return a column of numbers; NaN where there is none."""
        return self.table.numbers(name)[list(self.rows)]

    def words(self, name: str) -> tuple[tuple[str, ...], Int64[np.ndarray, "row"]]:
        """Return a column's distinct values in order, and each row's; -1 where there is none."""
        column = self.table.words(name)
        here = [column[row] for row in self.rows]
        names = in_order(word for word in here if word)
        index = {word: number for number, word in enumerate(names)} | {"": -1}
        return tuple(names), np.array([index[word] for word in here], dtype=np.int64)


def is_table(path: Path) -> bool:
    """Return whether a file's name is one of a table."""
    return _kind(path) in FILE_KINDS


def is_toml(path: Path) -> bool:
    """Return whether a file's name is one of a TOML file."""
    return path.suffix.lower() == ".toml"


def table_stem(path: Path) -> str:
    """Return a file's name without its endings."""
    return path.name.removesuffix(path.suffix if not _is_packed(path) else "".join(path.suffixes[-2:]))


def read_table(path: Path) -> Table:
    """Return the table in a .csv, .tsv, .jsonl or .json, each also as .gz or .zst, or .parquet.

    Raises:
        TaskError: it cannot be read.
    """
    if not path.is_file():
        raise TaskError(f"No table at '{path}'. Give {kinds()}.")
    kind = _kind(path)
    if _is_packed(path) and kind != ".parquet":
        _require_bounded(path)
    if kind in (".jsonl", ".json"):
        columns = _columns(f"'{path}'", _json_records(path, kind))
    else:
        columns = _parquet(path) if kind == ".parquet" else _delimited(path, kind)
    if not columns:
        raise TaskError(f"'{path}' is empty; it takes a row for each text, with columns such as text and label.")
    return Table(f"'{path}'", f"'{path.name}'", columns)


def _require_bounded(path: Path) -> None:
    """Refuse a packed table that is too large to be held: a small file may unpack to a thousand times its size."""
    from atlas.activations.records import unpacked

    size = 0
    try:
        with unpacked(path) as file:
            while size <= LARGEST_TABLE and (piece := file.read(1 << 20)):
                size += len(piece)
    except CorpusError as error:
        raise TaskError(str(error)) from error
    if size > LARGEST_TABLE:
        raise TaskError(f"'{path}' unpacks to more than {LARGEST_TABLE >> 20:,} MB; give fewer rows, or a .parquet.")


def _parquet(path: Path) -> dict[str, list[Any]]:
    import polars
    from polars.exceptions import PolarsError

    if _is_packed(path):
        raise TaskError(f"'{path}' is a packed .parquet; unpack it.")
    try:
        return polars.read_parquet(path, glob=False).to_dict(as_series=False)
    except (PolarsError, OSError) as error:
        raise TaskError(f"'{path}' cannot be read as .parquet: {_reason(error)}.") from error


def _delimited(path: Path, kind: str) -> dict[str, list[Any]]:
    """Return the columns of a .csv or .tsv as text: `007` is a label, and no number."""
    import polars
    from polars.exceptions import PolarsError

    first = next((line for _, line in _lines(path) if line.strip()), None)
    if first is None:
        return {}
    own = SEPARATORS[kind]
    separator = own if own in first else next((other for other in OTHER_SEPARATORS if other in first), own)
    try:
        # polars leaves doubled quotes in a header as they are.
        names = _distinct(next(_records(path, separator))[1])
        frame = polars.read_csv(path, separator=separator, infer_schema=False, new_columns=names, glob=False)
    except (PolarsError, OSError, csv.Error) as error:
        raise _unreadable(path, kind, separator) or TaskError(
            f"'{path}' cannot be read as {kind}: {_reason(error)}. Write it as CSV in UTF-8, texts in double quotes."
        ) from error
    return frame.to_dict(as_series=False)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield where each line of a file stands, and the line."""
    from atlas.activations.records import text_lines

    try:
        yield from text_lines(path)
    except CorpusError as error:
        raise TaskError(f"{error} Save it as UTF-8." if "is not text" in str(error) else str(error)) from error


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a .csv or .tsv that are not blank, the header first, each with the number of its last line."""
    reader = csv.reader((line for _, line in _lines(path)), delimiter=separator)
    return ((reader.line_num, record) for record in reader if record)


def _unreadable(path: Path, kind: str, separator: str) -> TaskError | None:
    """Return what is wrong with a file that polars refused, if it is a row of too many columns or a text in another encoding."""
    try:
        records = _records(path, separator)
        _, header = next(records)
        for line, record in records:
            if len(record) > len(header):
                return TaskError(
                    f"Line {line} of '{path}' has {counted(len(record), 'column')}, and the header {len(header)}. Put a "
                    f"text that holds {separator!r} in double quotes."
                )
    except TaskError as error:
        return error
    except csv.Error as error:
        return TaskError(f"'{path}' cannot be read as {kind}: {error}. Write it as a .jsonl or a .parquet.")
    return None


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of columns with a number on those that stand twice."""
    found: list[str] = []
    for name in names:
        number = 0
        while (new := f"{name}_{number + 1}" if number else name) in found:
            number += 1
        found.append(new)
    return found


def hub_table(source: str) -> Table:
    """Return a data set of the hub, `owner/name`, with an optional configuration and split as of a corpus.

    Classes that it keeps as numbers get the names that it has for them.

    Raises:
        TaskError: it cannot be loaded.
    """
    from atlas.activations import hub
    from atlas.activations.corpus import HUB_ID

    named = HUB_ID.fullmatch(source)
    if named is None:
        raise TaskError(f"{source!r} is no data set's id; it is written owner/name[/configuration][:split][@revision].")
    try:
        loaded = hub.streamed(named["name"], named["config"], named["split"] or "train", named["revision"])
        rows = [dict(row) for row in loaded]
    except Exception as error:  # datasets raises a dozen unrelated classes for "not found" and "no network"
        raise TaskError(f"The data set '{source}' cannot be loaded: {type(error).__name__}: {_reason(error)}.") from error
    name = f"The data set '{source}'"
    table = Table(name, f"the{name[3:]}", _columns(name, rows))
    for name, feature in (loaded.features or {}).items():
        names = getattr(feature, "names", None)
        if names and name in table.columns:
            column = table.columns[name]
            table.columns[name] = [names[n] if isinstance(n, int) and 0 <= n < len(names) else None for n in column]
    return table


def is_hub_id(source: str) -> bool:
    """Return whether a text is written as a data set's id, and is not the path of a table that is missing."""
    from atlas.activations.corpus import HUB_ID

    return HUB_ID.fullmatch(source) is not None and not is_table(Path(source)) and not is_toml(Path(source))


def kinds() -> str:
    """Return the kinds of files that are tables, in words."""
    return f"a {listed(FILE_KINDS, 'or')} file"


def number_of(value: Any) -> float:
    """Return the number that a value is, or that a text spells; NaN if there is none."""
    if isinstance(value, bool | int | float | np.number):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value.strip()) else math.nan


def in_order(words: Iterable[str]) -> list[str]:
    """Return distinct words: numbers by size, others by the alphabet."""
    distinct = sorted(set(words))
    return sorted(distinct, key=number_of) if are_numbers(distinct) else distinct


def _kind(path: Path) -> str:
    return (Path(path.stem).suffix if _is_packed(path) else path.suffix).lower()


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".zst")


def _json_records(path: Path, kind: str) -> list[Any]:
    lines = list(_lines(path))
    if kind == ".json" and any(line.strip() for _, line in lines):
        records = _parsed("".join(line for _, line in lines), f"'{path}'")
        if not isinstance(records, list):
            raise TaskError(f"'{path}' is no list of records; a .json table is one, and one record a line is a .jsonl.")
        return records
    return [_parsed(line, where) for where, line in lines if line.strip()]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where} is not JSON: {error}.") from error


def _columns(name: str, records: Sequence[Any]) -> dict[str, list[Any]]:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TaskError(f"Record {number} of {name} is {shortened(record)}, not an object with columns.")
    names = list(dict.fromkeys(key for record in records for key in record))
    if broken := [key for key in names if _whole(key) != key]:
        raise TaskError(f"{name} has the column {broken[0]!r}, whose name holds half of a character; rename it.")
    return {key: [record.get(key) for record in records] for key in names}


def _word(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # A column of integers with gaps comes as fractions.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else _whole(str(value)).strip()


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can spell and no tokenizer takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
