"""`atlas embed`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click

from atlas.errors import ConfigError
from pipelines.options import AtlasOptions, atlas_options, linked_expert, not_empty
from pipelines.progress import say


@click.command("embed")
@click.argument("expert", type=click.IntRange(min=0), required=False)
@atlas_options
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write, with the suffix .html."
)
@click.option(
    "--link",
    callback=not_empty,
    metavar="ADDRESS",
    help="Begin with what the address of an expert's page shows: expert, colouring, view, camera, pinned point.  [default: none]",
)
@click.option(
    "--task", callback=not_empty, metavar="NAME", help="Begin with this task.  [default: what the expert's page shows first]"
)
@click.option(
    "--site", callback=not_empty, metavar="URL", help="Address of the published site, to lead back to.  [default: none]"
)
def command(expert: int | None, source: AtlasOptions, out: Path, link: str | None, task: str | None, site: str | None) -> None:
    """Write the cloud of EXPERT as one page that opens alone, for a blog or a notebook; print the file.

    \b
    Example:
        atlas embed 12 --task months --out months.html
        atlas embed --link 'https://…/#/expert/12?colour=months' --site https://… --out months.html
    """
    from atlas.bake.embed import EmbedConfig, embed
    from atlas.bake.link import Link
    from atlas.bake.looked_at import looked_at
    from atlas.figure.camera import Camera
    from atlas.store import Store

    address = None if link is None else Link.read(link)
    if address and address.camera:
        Camera.read(address.camera)
    if address and address.pin and not re.fullmatch("[0-9]{1,9}", address.pin):
        raise ConfigError(f"The pin {address.pin!r} in --link is no point's number. Take the link as the page writes it.")
    number = linked_expert(expert, address)
    begin = Link(number)
    if address:
        with Store(source.path) as store:
            begin = looked_at(store, address)
    if task and task != begin.colour:
        # What is filtered out and pinned is of the link's own task.
        begin = replace(begin, colour=task, only=(), without=(), pin=None)
    size = embed(source.path, number, out, EmbedConfig(begin, site))
    say(f"Embedded expert {number} in {size / 1e6:.1f} MB.")
    click.echo(out)
