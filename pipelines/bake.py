"""`atlas bake`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import out_option
from pipelines.progress import say


@click.command("bake")
@click.argument("atlas", type=click.Path(path_type=Path), default=Path("work/atlas.duckdb"))
@out_option
def command(atlas: Path, out: Path) -> None:
    """Bake the site of an ATLAS database; print the page to open.

    \b
    Example:
        atlas bake work/atlas.duckdb --out site
    """
    click.echo(run(atlas, out))


def run(atlas: Path, out: Path) -> Path:
    """Bake, say how large the site is, and return its page."""
    from atlas.bake import bake

    report = bake(atlas, out)
    say(f"Baked {report.experts:,} experts into {out}: {report.payloads:,} payloads, {report.payload_bytes / 1e6:.1f} MB")
    return out / "index.html"
