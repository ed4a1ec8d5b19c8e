"""`atlas neighbours`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pipelines.options import AtlasOptions, atlas_options
from pipelines.printing import Format, aligned, format_option, printable, write_csv, write_json

if TYPE_CHECKING:
    from atlas.store.geometry import Neighbour, Neighbourhood

KINDS = {
    "output": "what they write overlaps, from 0 to 1",
    "encoder": "what they read overlaps, from 0 to 1",
    "co_firing": "log odds ratio of firing on the same tokens, 0 where they are independent",
    "context": "the words around their firings are alike, from 0 to 1",
}
"""The kinds of neighbours, and what the value of each is."""


@click.command("neighbours")
@click.argument("expert", type=int)
@click.option("--kind", type=click.Choice(list(KINDS)), help="Which kind of neighbours.  [default: all four]")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Most neighbours of each kind, up to 20.")
@format_option
@atlas_options
def command(expert: int, kind: str | None, top: int, form: Format, source: AtlasOptions) -> None:
    """Print the experts nearest to EXPERT: by what they write, by what they read, by firing together, by the words around them.

    \b
    Example:
        atlas neighbours 12 --kind output --top 5
    """
    from atlas.store import Store
    from atlas.store.geometry import Neighbour, neighbourhood

    kinds = [kind] if kind else list(KINDS)
    with Store(source.path) as store:
        found = neighbourhood(store, expert, kinds, top)
        if form == "csv":
            fields = [name for name in Neighbour.__dataclass_fields__]
            write_csv(["expert", *fields], [{"expert": expert, **asdict(one)} for one in found.neighbours])
        elif form == "json":
            write_json(asdict(found))
        else:
            _print(found, kinds)


def _print(found: Neighbourhood, kinds: Sequence[str]) -> None:
    click.echo(f"Expert {found.expert}: {printable(found.title)}")
    for kind in kinds:
        of_kind = [one for one in found.neighbours if one.kind == kind]
        click.echo(f"\n{kind}: {KINDS[kind]}")
        click.echo(aligned([["rank", "expert", "title", "value"], *map(_cells, of_kind)]) if of_kind else "none")


def _cells(one: Neighbour) -> list[str]:
    return [str(one.rank), str(one.neighbour), one.title, f"{one.value:.3f}"]
