"""Whether a database says what was written into it, and agrees with itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from atlas.errors import AtlasDamaged, QueryError
from atlas.store import Store
from atlas.verify.promises import Promise, promises
from atlas.verify.report import Check, Fault, Progress, expected, shown

SHOWN = 20
"""Rows that break one promise and are told one by one."""


def verify_database(path: Path, progress: Progress) -> Iterator[Check]:
    """Give what is wrong with the rows of an atlas; of one that cannot be read, that.

    Raises:
        AtlasMissing: there is no file at the path.
        AtlasBusy: it is open for writing elsewhere.
        SchemaMismatch: it is no atlas, or one of another version.
    """
    try:
        with Store(path) as store:
            progress("contents of the tables")
            yield _contents(store)
            kept = list(promises())
            progress(f"{len(kept)} promises of the schema")
            yield Check("promises", len(kept), tuple(fault for promise in kept for fault in _broken(store, promise)))
    except AtlasDamaged as error:
        yield Check("database", 1, (Fault("database", path.name, str(error)),))


def _contents(store: Store) -> Check:
    """Compare the hash of every table's rows with the one that was stored with them."""
    stored, computed = store.contents(), store.computed_contents()
    faults = []
    for table in dict.fromkeys([*computed, *stored]):
        if table not in stored or table not in computed:
            faults.append(Fault("contents", table, "has no hash of its rows" if table in computed else "is no table"))
            continue
        (n, digest), (n_found, found) = stored[table], computed[table]
        if n_found != n:
            faults.append(Fault("contents", table, f"has not as many rows as were written ({expected(n_found, n)})"))
        elif found != digest:
            said = expected(found[:12], digest[:12])
            faults.append(Fault("contents", table, f"its rows are not those that were written ({said})"))
    return Check("contents", len(computed), tuple(faults))


def _broken(store: Store, promise: Promise) -> Iterator[Fault]:
    """Give the first rows that break a promise, the last of them with how many more do."""
    try:
        rows = store.sql(f"SELECT *, count(*) OVER () AS n FROM ({promise.query}) LIMIT {SHOWN}")
    except QueryError as error:
        # A value that is no JSON, or a number where another kind was meant.
        yield Fault(promise.kind, promise.table, f"cannot be asked whether {promise.said}: {error}")
        return
    for number, (place, found, wanted, n) in enumerate(rows.iter_rows(), start=1):
        where = f"{promise.table}, {place}" if place else promise.table
        values = f"found {shown(found)}" if wanted is None else expected(found, wanted)
        yield Fault(promise.kind, where, f"{promise.said} ({values})", n - number if number == len(rows) else 0)
