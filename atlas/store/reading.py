"""One DuckDB file ► records and polars frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import polars as pl

from atlas.errors import AtlasMissing, SchemaMismatch
from atlas.store.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class Label:
    """A label of a labelled task."""

    name: str
    value: float
    """Place on the task's own axis: a number, a year, an index."""
    rows: int
    """Sentences."""
    training_occurrences: int | None
    """Times it occurs in the training text; None where that is not known."""


@dataclass(frozen=True)
class Hypothesis:
    """A named target that a task's probes are fitted to."""

    hypothesis: int
    name: str
    title: str
    shape: str
    """'ring' or 'ordinal': what a supported order is called."""
    description: str
    chance: float
    """R² that tight clusters at random places reach on average."""
    testable: int
    """Experts in the family that p is adjusted over."""
    references: dict[str, float]
    """All-row R² without any expert, by reference: 'chance', 'random_projection', ..."""


@dataclass(frozen=True)
class Task:
    """A corpus or a labelled data set that points come from."""

    task: int
    """0 is the corpus."""
    name: str
    title: str
    kind: str
    """'corpus' or 'labelled'."""
    family: str
    description: str
    cyclic: bool
    """The labels close a cycle."""
    tokens: int
    held_out_tokens: int
    rows: int
    """Corpus: tokens; labelled: sentences."""
    report_rows: int
    """Sentences whose template belongs to the report set; 0 for a corpus."""
    templates: int
    labels: tuple[Label, ...]
    """In the task's own order; none for a corpus."""
    hypotheses: tuple[Hypothesis, ...]


class Store:
    """An atlas, open for reading. Frames keep the order in which rows were written, unless said otherwise.

    Raises:
        AtlasMissing: there is no file at `path`.
        SchemaMismatch: the file was written under another schema version, or is no atlas.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise AtlasMissing(f"No atlas at {str(path)!r}. Run `atlas build` to write one.")
        try:
            self._connection = duckdb.connect(str(path), read_only=True)
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise SchemaMismatch(f"{str(path)!r} is no atlas: DuckDB cannot open it. Build again.") from error
        try:
            self._refuse_other_versions(path)
        except SchemaMismatch:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def provenance(self) -> dict[str, Any]:
        """Return everything that determines the result, by key."""
        rows = self._connection.execute("SELECT key, value FROM provenance").fetchall()
        return {key: json.loads(value) for key, value in rows}

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks with their labels and hypotheses, the corpus first."""
        labels = self._by_task(self.table("labels").sort("task", "label"))
        hypotheses = self._by_task(self.table("hypotheses").sort("task", "hypothesis"))
        references = self._by_task(self._frame("references"))
        report_rows = dict(self._frame("report_rows").iter_rows())
        return tuple(
            Task(
                **{name: row[name] for name in _PLAIN_TASK_FIELDS},
                report_rows=report_rows.get(row["task"], 0),
                labels=tuple(
                    Label(label["name"], label["value"], label["rows"], label["training_occurrences"])
                    for label in labels.get(row["task"], [])
                ),
                hypotheses=tuple(
                    _hypothesis(hypothesis, references.get(row["task"], [])) for hypothesis in hypotheses.get(row["task"], [])
                ),
            )
            for row in self.table("tasks").sort("task").iter_rows(named=True)
        )

    def experts(self) -> pl.DataFrame:
        """Return one row per expert with what the first page shows, most important first.

        Raises:
            ValueError: an expert has no title or no statistics on the corpus.
        """
        overview = self._frame("experts")
        experts = self.table("experts")
        if len(overview) != len(experts):
            raise ValueError(f"Only {len(overview)} of {len(experts)} experts have a title and corpus statistics.")
        return overview

    def points(self, experts: Iterable[int]) -> pl.DataFrame:
        """Return the firings kept for display of a few experts."""
        return self._frame("points", experts=list(experts))

    def table(self, name: str) -> pl.DataFrame:
        """Return a whole table. For the large one, `points`, ask for a few experts at a time instead."""
        return pl.DataFrame(_Rows(self._connection.table(name).__arrow_c_stream__))

    def _frame(self, query: str, **parameters: Any) -> pl.DataFrame:
        text = files(__package__).joinpath("sql", f"{query}.sql").read_text(encoding="utf-8")
        return pl.DataFrame(_Rows(self._connection.sql(text, params=parameters).__arrow_c_stream__))

    @staticmethod
    def _by_task(frame: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in frame.iter_rows(named=True):
            rows.setdefault(row["task"], []).append(row)
        return rows

    def _refuse_other_versions(self, path: Path) -> None:
        try:
            found = self.provenance().get("schema_version")
        except duckdb.CatalogException:
            found = None
        if found != SCHEMA_VERSION:
            raise SchemaMismatch(
                f"{str(path)!r} has schema version {found}, this program reads {SCHEMA_VERSION}. "
                "Run `atlas build` to build it again."
            )


class _Rows:
    """Hands a relation's rows to polars without pyarrow, and without letting polars see the relation's type.

    Polars remembers the types of what it is given until the interpreter ends, and DuckDB 2.0 then reports leaks.
    """

    def __init__(self, stream: Callable[..., object]) -> None:
        self._stream = stream

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._stream(requested_schema)


_PLAIN_TASK_FIELDS = (
    "task",
    "name",
    "title",
    "kind",
    "family",
    "description",
    "cyclic",
    "tokens",
    "held_out_tokens",
    "rows",
    "templates",
)


def _hypothesis(row: dict[str, Any], references: list[dict[str, Any]]) -> Hypothesis:
    return Hypothesis(
        hypothesis=row["hypothesis"],
        name=row["name"],
        title=row["title"],
        shape=row["shape"],
        description=row["description"],
        chance=row["chance"],
        testable=row["testable"],
        references={
            reference["reference"]: reference["value"] for reference in references if reference["hypothesis"] == row["hypothesis"]
        },
    )
