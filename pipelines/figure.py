"""`atlas figure`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.options import AtlasOptions, atlas_options, linked_expert, not_empty
from pipelines.progress import say

if TYPE_CHECKING:
    from atlas.bake.link import Link
    from atlas.figure import FigureConfig
    from atlas.figure.config import View


@click.command("figure")
@click.argument("expert", type=click.IntRange(min=0), required=False)
@atlas_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write: .svg, .pdf or .png.")
@click.option(
    "--link",
    callback=not_empty,
    metavar="ADDRESS",
    help="Draw what the address of an expert's page shows, where no option says otherwise: expert, task, view, camera, labels. "
    "Of colourings, those by label and by norm can be drawn.  "
    "[default: none]",
)
@click.option(
    "--task",
    callback=not_empty,
    metavar="NAME",
    help="Whose firings; NAME:norm colours them by norm.  [default: what the expert's page shows first]",
)
@click.option("--view", type=click.Choice(["model", "gate"]), help="As the model or as the gate sees it.  [default: model]")
@click.option("--width", default="85mm", show_default=True, help="With its unit: mm, cm, in or pt.")
@click.option("--height", help="With its unit.  [default: the width]")
@click.option("--font-size", type=float, default=7.0, show_default=True, help="In points.")
@click.option("--font", default="DejaVu Sans", show_default=True, callback=not_empty, help="An installed font.")
@click.option(
    "--points", type=click.IntRange(min=1), default=1000, show_default=True, help="Most points, evenly over the labels."
)
@click.option("--join", is_flag=True, help="Join class means in label order even where the order is not supported.")
@click.option("--no-names", is_flag=True, help="Leave out the names of class means and axes.")
@click.option("--transparent", is_flag=True, help="Draw no ground.")
def command(
    expert: int | None, source: AtlasOptions, out: Path, link: str | None, task: str | None, view: View | None, **given: Any
) -> None:
    """Draw the cloud of EXPERT for a paper; print the file. What it shows is said, and stands in the file.

    \b
    Example:
        atlas figure 12 --task months --out months.pdf --width 85mm
        atlas figure --link 'https://…/#/expert/12?colour=months&camera=front' --out months.svg
    """
    from atlas.bake.link import Link
    from atlas.bake.looked_at import looked_at
    from atlas.figure import FigureConfig, figure
    from atlas.store import Store

    address = None if link is None else Link.read(link)
    number = linked_expert(expert, address)
    config = FigureConfig(names=not given.pop("no_names"), **given)
    if address:
        with Store(source.path) as store:
            config = _linked(config, looked_at(store, address))
    if task and task != config.colour:
        # What is filtered out are labels of the link's own task.
        config = replace(config, colour=task, only=(), without=())
    config = replace(config, view=view or config.view)
    report = figure(source.path, number, out, config)
    say(report.caption)
    if report.named < report.means and config.names:
        say(f"There was room for the names of {report.named} of {report.means} class means; a larger --width has room for more.")
    click.echo(report.path)


def _linked(config: FigureConfig, link: Link) -> FigureConfig:
    """Return how the page that a link leads to shows the cloud."""
    view: View = "gate" if link.view == "gate" else "model"
    join = config.join or link.join
    return replace(config, colour=link.colour, view=view, camera=link.camera, only=link.only, without=link.without, join=join)
