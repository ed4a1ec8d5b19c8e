"""Tables that users bring: columns by name, from a file or a data set of the hub."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from atlas.errors import CorpusError, TaskError
from atlas.probe.tasks.stated import NUMBER, are_numbers, listed, shortened

FILE_KINDS = (".csv", ".tsv", ".parquet", ".jsonl", ".json")


@dataclass(frozen=True)
class Table:
    """Rows of named columns; what is missing is None."""

    name: str
    """As messages name it."""
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

    def first_of(self, names: Sequence[str], role: str) -> str:
        """Return the first of the names that is a column.

        Raises:
            TaskError: none is; `role` says what it would be for.
        """
        found = next((name for name in names if name in self.columns), None)
        if found is None:
            raise TaskError(
                f"{self.name} has no column {listed(tuple(names), 'or')}; it has {listed(tuple(self.columns)) or 'none'}. "
                f"Name the one of the {role} in a TOML file beside it, which `atlas tasks new` writes."
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
    if kind in (".jsonl", ".json"):
        return _of_records(f"'{path}'", _json_records(path, kind))
    import polars
    from polars.exceptions import PolarsError

    try:
        if kind == ".parquet":
            if _is_packed(path):
                raise TaskError(f"'{path}' is a packed .parquet; unpack it.")
            frame = polars.read_parquet(path)
        else:
            # Read as text: `007` is a label, and no number.
            frame = polars.read_csv(path, separator="\t" if kind == ".tsv" else ",", infer_schema=False)
    except (PolarsError, OSError) as error:
        raise TaskError(f"'{path}' cannot be read as {kind}: {_reason(error)}.") from error
    return Table(f"'{path}'", frame.to_dict(as_series=False))


def hub_table(source: str) -> Table:
    """Return a data set of the hub, `owner/name`, with an optional configuration and split as of a corpus.

    Classes that it keeps as numbers get the names that it has for them.

    Raises:
        TaskError: it cannot be loaded.
    """
    from atlas.activations.corpus import HUB_ID

    named = HUB_ID.fullmatch(source)
    if named is None:
        raise TaskError(f"{source!r} is no data set's id; it is written owner/name[/configuration][:split].")
    from datasets import load_dataset

    try:
        loaded = load_dataset(named["name"], named["config"], split=named["split"] or "train", streaming=True)
        rows = [dict(row) for row in loaded]
    except Exception as error:  # datasets raises a dozen unrelated classes for "not found" and "no network"
        raise TaskError(f"The data set '{source}' cannot be loaded: {type(error).__name__}: {_reason(error)}.") from error
    table = _of_records(f"The data set '{source}'", rows)
    for name, feature in (loaded.features or {}).items():
        names = getattr(feature, "names", None)
        if names and name in table.columns:
            column = table.columns[name]
            table.columns[name] = [names[n] if isinstance(n, int) and 0 <= n < len(names) else None for n in column]
    return table


def is_hub_id(source: str) -> bool:
    """Return whether a text is written as a data set's id, and is not the path of a table that is missing."""
    from atlas.activations.corpus import HUB_ID

    return HUB_ID.fullmatch(source) is not None and not is_table(Path(source)) and not source.endswith(".toml")


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
    return Path(path.stem).suffix if _is_packed(path) else path.suffix


def _is_packed(path: Path) -> bool:
    return path.suffix in (".gz", ".zst")


def _json_records(path: Path, kind: str) -> list[Any]:
    from atlas.activations.records import text_lines

    try:
        lines = list(text_lines(path))
    except CorpusError as error:
        raise TaskError(str(error)) from error
    if kind == ".json":
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


def _of_records(name: str, records: Sequence[Any]) -> Table:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TaskError(f"Record {number} of {name} is {shortened(record)}, not an object with columns.")
    names = list(dict.fromkeys(key for record in records for key in record))
    return Table(name, {key: [record.get(key) for record in records] for key in names})


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
