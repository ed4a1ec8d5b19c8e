"""`atlas assemble`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import work_option


@click.command("assemble")
@work_option
def command(work: Path) -> None:
    """Write atlas.duckdb from the finished stages of a work folder; print its path.

    \b
    Example:
        atlas assemble --work work
    """
    from atlas.assemble import assemble
    from atlas.stages import locked

    with locked(work):
        click.echo(assemble(work))
