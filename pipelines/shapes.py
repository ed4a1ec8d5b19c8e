"""`atlas shapes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from pipelines.options import AtlasOptions, atlas_options, not_empty
from pipelines.printing import Format, aligned, format_option, printable, write_csv, write_json

if TYPE_CHECKING:
    from atlas.store.geometry import ClassCount, FoundShape

HEADINGS = ["expert", "title", "source", "class", "points", "effective dim.", "local dim.", "loop", "p adj."]


@click.command("shapes")
@click.option(
    "--class",
    "class_",
    callback=not_empty,
    help="Which shape: 'line or ray', curve, ring, sheet, clusters or unclear.  [default: none, and classes are counted]",
)
@click.option("--source", "name", callback=not_empty, help="Name of a corpus or labelled task.  [default: all]")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Most experts that are printed.")
@format_option
@atlas_options
def command(class_: str | None, name: str | None, top: int, form: Format, source: AtlasOptions) -> None:
    """Print how many experts have each shape beside how many would by chance; with --class, print the experts.

    They come with the smallest adjusted p of the test that speaks for the class first. An expert is there once for each source
    it has the shape on.

    \b
    Example:
        atlas shapes --class ring --top 20
    """
    from atlas.store import Store
    from atlas.store.geometry import ClassCount, FoundShape, class_counts, shapes_found

    class_ = class_.lower() if class_ else None
    with Store(source.path) as store:
        counts = class_counts(store, class_, name)
        found = shapes_found(store, class_, name, top) if class_ else []
        if form == "json":
            write_json({"classes": [_plain(one) for one in counts], "experts": [_plain(one) for one in found]})
        elif form == "csv":
            kind: type[Any] = FoundShape if class_ else ClassCount
            write_csv([_named(field.name) for field in fields(kind)], [_plain(one) for one in (found if class_ else counts)])
        elif class_:
            for line in counts:
                click.echo(f"{printable(line.source)}: {_count(line, class_)}")
            if found:
                click.echo("\n" + aligned([HEADINGS, *map(_cells, found)]))
        else:
            click.echo(_summary(counts))


def _count(one: ClassCount, class_: str) -> str:
    experts = f"{one.tested:,} expert{'s' if one.tested != 1 else ''}"
    return f"{class_}: {one.experts:,} of {experts}, {_expected(one)} expected by chance"


def _expected(one: ClassCount) -> str:
    from atlas.bake.numbers import by_chance

    return by_chance(one.expected)


def _summary(counts: Sequence[ClassCount]) -> str:
    """Return a line for each source: of every class how many, and in brackets how many by chance."""
    classes = list(dict.fromkeys(one.class_ for one in counts))
    lines: dict[str, list[ClassCount]] = {}
    for one in counts:
        lines.setdefault(one.source, []).append(one)
    rows = [[name, f"{of[0].tested:,}", *(f"{one.experts:,} ({_expected(one)})" for one in of)] for name, of in lines.items()]
    return "Experts of each shape, and in brackets how many by chance\n" + aligned([["source", "experts", *classes], *rows])


def _cells(one: FoundShape) -> list[str]:
    from atlas.bake.numbers import probability

    numbers = f"{one.effective_dimension:.2f}", f"{one.local_dimension:.2f}", "–" if one.loop is None else f"{one.loop:.2f}"
    p = "–" if one.p_adjusted is None else probability(one.p_adjusted).replace("below", "<")
    return [str(one.expert), one.title, one.source, one.class_, f"{one.points:,}", *numbers, p]


def _plain(one: ClassCount | FoundShape) -> dict[str, Any]:
    """Return a record under the names of the atlas' columns."""
    return {_named(name): value for name, value in asdict(one).items()}


def _named(field: str) -> str:
    return field.removesuffix("_")
