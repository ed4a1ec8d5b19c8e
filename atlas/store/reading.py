"""One DuckDB file ► records and polars frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import polars as pl

from atlas.errors import AtlasBusy, AtlasDamaged, AtlasError, AtlasMissing, QueryError, SchemaMismatch
from atlas.store.contents import CONTENTS, Content, compute_contents
from atlas.store.frames import frame
from atlas.store.schema import (
    GENERATED,
    SCHEMA_VERSION,
    VIEWS,
    by_table,
    definitions,
    definitions_of_schema,
    schema_columns,
    statement,
)


@dataclass(frozen=True)
class Label:
    """A label of a labelled task."""

    name: str
    value: float
    """Place on the task's own axis: a number, a year, an index."""
    colour: str | None
    """`#rrggbb`; None where the page chooses."""
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
    """'ring' or 'ordinal': what a supported order is called; 'map': a place in a space of several numbers; 'classes'."""
    measure: str
    """What its scores are: 'R²', of classes 'balanced accuracy'."""
    description: str
    of_label: bool
    """Whether its target is a function of the label; if not, no order of labels is tested."""
    classes: tuple[str, ...]
    """Their names; none unless the shape is 'classes'."""
    class_of_label: tuple[int, ...]
    """Of each label, where it has one."""
    chance: float
    """What tight clusters at random places reach on average."""
    testable: int
    """Experts in the family that p is adjusted over."""
    references: dict[str, float]
    """All-row score without any expert, by reference: 'chance', 'random_projection', ..."""
    targets: tuple[tuple[float, ...], ...] = ()
    """Of each label; none where they are not a function of the label."""


@dataclass(frozen=True)
class Task:
    """A corpus or a labelled data set that points come from."""

    task: int
    """Corpora come first; 0 is the one that the first page and the titles are about."""
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
    importance_tokens: int
    """Corpus: the held-out tokens that importance is measured on."""
    documents: int
    """Corpus: documents with at least one token; labelled: sentences."""
    rows: int
    """Corpus: tokens; labelled: sentences."""
    report_rows: int
    """Sentences whose template belongs to the report set; 0 for a corpus."""
    has_text: bool
    """Whether its rows are text; those of a user's matrix are numbers only."""
    templates: int
    labels: tuple[Label, ...]
    """In the task's own order; none for a corpus."""
    hypotheses: tuple[Hypothesis, ...]
    dropped: int = 0
    """Labelled: sentences that are not there because their label would have been cut off."""
    needs: str = ""
    """What it needs of a language model, in a sentence; empty where any will do."""


class Store:
    """An atlas, open for reading. Frames keep the order in which rows were written, unless said otherwise.

    Raises:
        AtlasMissing: there is no file at `path`, or it may not be read.
        AtlasBusy: another program, or this one, has the file open for writing.
        SchemaMismatch: the file was written under another schema version, or is no atlas.
        AtlasDamaged: the file lacks a table or column, or a part of it cannot be read; methods raise it too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _require_database(path)
        try:
            with self._readable():
                self._connection = duckdb.connect(str(path), read_only=True, config=_OWN_FILE_ONLY)
        except duckdb.ConnectionException as error:
            raise self._busy() from error
        try:
            self._refuse_other_kinds()
            self._refuse_other_versions()
            self._refuse_other_columns()
            self._refuse_other_views()
        except AtlasError:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            # What stumbles over rows that nobody wrote is no bug of the reader.
            if isinstance(error, Exception) and not isinstance(error, AtlasError):
                self.require_as_written()
        finally:
            self.close()

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self.table(name)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.tables)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of everything that can be read as a table, in the order of schema.sql."""
        return tuple(schema_columns())

    def provenance(self) -> dict[str, Any]:
        """Return everything that determines the result, by key."""
        return {key: self._decoded(value) for key, value in self.table("provenance").iter_rows()}

    def run_log(self) -> dict[str, dict[str, Any]]:
        """Return what does not determine the result, such as durations, by stage and key."""
        stages: dict[str, dict[str, Any]] = {}
        for stage, key, value in self.table("run_log").iter_rows():
            stages.setdefault(stage, {})[key] = self._decoded(value)
        return stages

    def row_counts(self) -> dict[str, int]:
        """Return how many rows each table has, without views."""
        names = [name for name in self.tables if name not in VIEWS]
        with self._readable():
            # Names are those of the schema, never a reader's.
            return {name: len(self._connection.table(name)) for name in names}

    def contents(self) -> dict[str, Content]:
        """Return what each table held when the atlas was written, but those that are no part of the result."""
        return {name: Content(rows, sha256) for name, rows, sha256 in self.table(CONTENTS).iter_rows()}

    def computed_contents(self) -> dict[str, Content]:
        """Return what each of these tables holds now, from its rows."""
        with self._readable():
            return compute_contents(self._connection)

    def require_as_written(self) -> None:
        """Read all rows, and raise AtlasDamaged if a table holds others than were written into it."""
        written, computed = self.contents(), self.computed_contents()
        if changed := [name for name in computed if computed[name] != written.get(name)]:
            raise self._damaged(f"the table {changed[0]} does not hold the rows that were written into it")

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks with their labels and hypotheses, corpora first."""
        labels = self._by_task(self.table("labels").sort("task", "label"))
        hypotheses = self._by_task(self.table("hypotheses").sort("task", "hypothesis"))
        references = self._by_task(self._frame("references"))
        sentences = {row["task"]: row for row in self._frame("sentences").iter_rows(named=True)}
        return tuple(
            Task(
                **{name: row[name] for name in _PLAIN_TASK_FIELDS},
                report_rows=sentences[row["task"]]["report_rows"] if row["task"] in sentences else 0,
                has_text=sentences[row["task"]]["has_text"] if row["task"] in sentences else True,
                labels=tuple(
                    Label(label["name"], label["value"], label["colour"], label["rows"], label["training_occurrences"])
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
            AtlasDamaged: an expert has no title or no statistics on the corpus.
        """
        overview = self._frame("experts")
        experts = self.table("experts")
        if len(overview) != len(experts):
            raise self._damaged(f"only {len(overview)} of {len(experts)} experts have a title and corpus statistics")
        return overview

    def points(self, experts: Iterable[int]) -> pl.DataFrame:
        """Return the firings kept for display of a few experts."""
        return self._frame("points", experts=list(experts))

    def contexts(self, *, strongest: int, per_band: int) -> pl.DataFrame:
        """Return the first rows of every stratum of `top_firings`, of all experts; 'top' has a number of its own."""
        return self._frame("contexts", strongest=strongest, per_band=per_band)

    def norms(self) -> pl.DataFrame:
        """Return, per corpus and expert that fires there, its firings, rate, documents, norms and importance kept."""
        return self._frame("norms")

    def importance(self) -> pl.DataFrame:
        """Return experts' importance on each corpus and labelled task that they fire on, and the `rows` it is measured on."""
        return self._frame("importance")

    def neighbours(self) -> pl.DataFrame:
        """Return every expert's neighbours of each kind, sorted by kind, expert and rank; of co_firing with the tokens shared."""
        return self._frame("neighbours")

    def sampled(self) -> pl.DataFrame:
        """Return how often each expert fires on the token sample of the first corpus."""
        return self._frame("sampled")

    def table(self, name: str) -> pl.DataFrame:
        """Return a whole table. Of `points`, ask for a few experts at a time instead; samples of tokens may be as large.

        Raises:
            QueryError: an atlas has no such table.
        """
        if name not in self.tables:
            raise QueryError(f"An atlas has no table {name!r}. It has {', '.join(self.tables)}.")
        with self._readable():
            return frame(self._connection.table(name))

    def sql(self, query: str, /, **parameters: Any) -> pl.DataFrame:
        """Return the rows of a SELECT, whose `$name` parameters are given by keyword.

        Raises:
            QueryError: DuckDB refuses it, or it is anything but one SELECT.
        """
        try:
            statements = self._connection.extract_statements(query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryError("An atlas is only read: give one SELECT.")
            return self._fetched(query, parameters)
        except duckdb.Error as error:
            if type(error) is duckdb.Error or str(self._path) in str(error):
                raise self._damaged(_first_sentences(error)) from error
            raise QueryError(f"{_first_sentences(error)}. Mend the query; atlas/store/schema.sql says what there is.") from error
        except pl.exceptions.DuplicateError as error:
            raise QueryError(f"{_first_sentences(error)}. Give each column a name of its own with AS.") from error

    def _fetched(self, query: str, parameters: dict[str, Any]) -> pl.DataFrame:
        return frame(self._connection.sql(query, params=parameters))

    def _frame(self, query: str, **parameters: Any) -> pl.DataFrame:
        with self._readable():
            return self._fetched(statement(query), parameters)

    @staticmethod
    def _by_task(frame: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in frame.iter_rows(named=True):
            rows.setdefault(row["task"], []).append(row)
        return rows

    def _refuse_other_kinds(self) -> None:
        """Refuse what runs when it is read: a view in a table's place, and a function that may go by a name of DuckDB's."""
        with self._readable():
            found = definitions(self._connection)
            macros = self._connection.execute(statement("macros")).fetchall()
        for table in schema_columns():
            if table in found and found[table].kind != definitions_of_schema()[table].kind:
                raise self._damaged(f"{table} is a {found[table].kind}, not a {definitions_of_schema()[table].kind}")
            if table in found and table not in VIEWS and GENERATED in found[table].sql:
                raise self._damaged(f"the table {table} has a column that is computed when it is read")
        if macros:
            raise self._damaged(f"it defines the function {macros[0][0]!r}, and an atlas has none of its own")

    def _refuse_other_views(self) -> None:
        with self._readable():
            found = definitions(self._connection)
        for view in VIEWS:
            if found[view] != definitions_of_schema()[view]:
                raise self._damaged(f"the view {view} is not defined as an atlas has it")

    def _refuse_other_versions(self) -> None:
        try:
            with self._readable():
                rows = self._connection.execute("SELECT value FROM provenance WHERE key = 'schema_version'").fetchall()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise SchemaMismatch(
                f"{str(self._path)!r} is a DuckDB file but no atlas. Give the one that `atlas build` wrote."
            ) from error
        found = [self._decoded(value) for (value,) in rows]
        if found != [SCHEMA_VERSION]:
            version = found[0] if found else None
            raise SchemaMismatch(
                f"{str(self._path)!r} has schema version {version}, this program reads {SCHEMA_VERSION}. "
                "Run `atlas build` to build it again."
            )

    def _refuse_other_columns(self) -> None:
        with self._readable():
            found = by_table(self._connection.execute(statement("columns")).fetchall())
        for table, columns in schema_columns().items():
            if table not in found:
                raise self._damaged(f"the table {table} is missing")
            for column, kind in columns.items():
                if column not in found[table]:
                    raise self._damaged(f"the column {table}.{column} is missing")
                if found[table][column] != kind:
                    raise self._damaged(f"the column {table}.{column} has the type {found[table][column]}, not {kind}")

    def _decoded(self, value: str) -> Any:
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"the value {value!r} is not JSON") from error

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Tell a file that cannot be read from a bug in a query."""
        try:
            yield
        except duckdb.Error as error:
            if "lock on file" in str(error):
                raise self._busy() from error
            # A checksum that does not match comes as the plain base class.
            if not (isinstance(error, _DAMAGE) or type(error) is duckdb.Error):
                raise
            raise self._damaged(_first_sentences(error)) from error

    def _busy(self) -> AtlasBusy:
        return AtlasBusy(f"{str(self._path)!r} is open for writing elsewhere. Close it there, or wait until it is written.")

    def _damaged(self, what: str) -> AtlasDamaged:
        return AtlasDamaged(f"{str(self._path)!r} is damaged: {what}. Run `atlas build` to build it again.")


_OWN_FILE_ONLY: dict[str, Any] = {
    # A name in a query is a table of the atlas, never a variable of ours that DuckDB found on the way.
    "python_enable_replacements": False,
    # What a view of the file reads must be in the file too.
    "enable_external_access": False,
    "lock_configuration": True,
}
"""Given when a file is opened, since all who read it in one process share what is set."""

_DAMAGE = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.PermissionException,  # a view that reads another file
)


def _require_database(path: Path) -> None:
    """Raise unless there is a DuckDB file at the path. DuckDB itself would go and fetch an extension for a file of SQLite."""
    if path.is_dir():
        inside = next((found for found in (path / "atlas.duckdb", path / "work" / "atlas.duckdb") if found.is_file()), None)
        give = f"Give {str(inside)!r}." if inside else "Give the file atlas.duckdb that `atlas build` wrote."
        raise AtlasMissing(f"{str(path)!r} is a folder. {give}")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError as error:
        raise AtlasMissing(f"No atlas at {str(path)!r}. Run `atlas build` to write one.") from error
    except OSError as error:
        raise AtlasMissing(f"{str(path)!r} cannot be read: {error.strerror}. Give another path, or `atlas build` one.") from error
    if head[8:] != b"DUCK":
        raise SchemaMismatch(f"{str(path)!r} is no atlas: it is no DuckDB file. Give the one that `atlas build` wrote.")


def _first_sentences(error: Exception) -> str:
    """Return what an error says in one line, without the picture of the query that DuckDB draws below."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split()).rstrip(".!")


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
    "importance_tokens",
    "documents",
    "rows",
    "templates",
    "dropped",
    "needs",
)


def _hypothesis(row: dict[str, Any], references: list[dict[str, Any]]) -> Hypothesis:
    return Hypothesis(
        hypothesis=row["hypothesis"],
        name=row["name"],
        title=row["title"],
        shape=row["shape"],
        measure=row["measure"],
        description=row["description"],
        of_label=bool(row["targets"]),
        classes=tuple(row["classes"]),
        class_of_label=tuple(int(target[0]) for target in row["targets"]) if row["classes"] else (),
        targets=tuple(map(tuple, row["targets"])),
        chance=row["chance"],
        testable=row["testable"],
        references={
            reference["reference"]: reference["value"] for reference in references if reference["hypothesis"] == row["hypothesis"]
        },
    )
