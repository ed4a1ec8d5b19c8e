"""What the geometry stage found, read from an atlas: an expert's neighbours, and the shapes of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlas.errors import NotInAtlas
from atlas.store.reading import Store
from atlas.store.schema import statement


@dataclass(frozen=True)
class Neighbour:
    """An expert that is near another."""

    kind: str
    """'output', 'encoder', 'co_firing' or 'context'."""
    rank: int
    """From 1 within its kind."""
    neighbour: int
    title: str
    value: float
    """A log odds ratio where the kind is 'co_firing', else from 0 to 1."""


@dataclass(frozen=True)
class Neighbourhood:
    """An expert and what is near it."""

    expert: int
    title: str
    neighbours: tuple[Neighbour, ...]
    """By kind, the nearest first."""


def neighbourhood(store: Store, expert: int, kinds: Sequence[str], top: int) -> Neighbourhood:
    """Return the nearest `top` neighbours of each of some kinds, in the order of these.

    Raises:
        NotInAtlas: there is no such expert.
    """
    titles = dict(store.table("titles").select("expert", "title").iter_rows())
    if expert not in titles:
        has = f"This atlas has experts {min(titles)} to {max(titles)}." if titles else "This atlas has none."
        raise NotInAtlas(f"There is no expert {expert}. {has}")
    rows = store.sql(statement("expert_neighbours"), expert=expert, kinds=list(kinds), top=top).iter_rows(named=True)
    found = (Neighbour(row["kind"], row["rank"] + 1, row["neighbour"], row["title"], row["value"]) for row in rows)
    return Neighbourhood(expert, titles[expert], tuple(found))


@dataclass(frozen=True)
class ClassCount:
    """How many experts a class is given to on a source."""

    source: str
    """Name of the task."""
    class_: str
    experts: int
    tested: int
    """Experts that have a class there."""
    expected: float
    """That would have this one if every cloud were a gated Gaussian."""


@dataclass(frozen=True)
class FoundShape:
    """An expert of a class on a source."""

    expert: int
    title: str
    source: str
    class_: str
    points: int
    effective_dimension: float
    local_dimension: float
    loop: float | None
    """The statistic of the largest loop; None where a cloud has none."""
    statistic: str | None
    """What the class rests on; None where that is no test."""
    p_adjusted: float | None
    """Of that statistic."""


def class_counts(store: Store, class_: str | None = None, source: str | None = None) -> list[ClassCount]:
    """Return the counts of one class or of all, on one source or on all, in the order of sources and classes.

    Raises:
        NotInAtlas: there is no such class or source.
    """
    rows = store.sql(statement("shape_counts")).rows(named=True)
    for what, column, wanted in (("class", "class", class_), ("source", "source", source)):
        known = dict.fromkeys(row[column] for row in rows)
        if wanted is not None and wanted not in known:
            raise NotInAtlas(f"There is no {what} {wanted!r}; there is {', '.join(known) or 'none'}.")
    return [
        ClassCount(row["source"], row["class"], row["experts"], row["tested"], row["expected"])
        for row in rows
        if class_ in (None, row["class"]) and source in (None, row["source"])
    ]


def shapes_found(store: Store, class_: str, source: str | None, top: int) -> list[FoundShape]:
    """Return at most `top` experts of a class, on one source or on all: those least like chance first."""
    given = {"class": class_, "source": source, "top": top}
    rows = store.sql(statement("shapes_found"), **given).rows(named=True)
    return [FoundShape(**{"class_" if name == "class" else name: value for name, value in row.items()}) for row in rows]
