"""`atlas assemble`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import work_option
from pipelines.progress import stoppable


@click.command("assemble")
@work_option
def command(work: Path) -> None:
    """Write atlas.duckdb from the finished stages of a work folder; print its path.

    \b
    Example:
        atlas assemble --work work
    """
    from atlas.assemble import assemble, require_assemblable
    from atlas.stages import locked

    with stoppable(f"'{work}' is as it was."):
        require_assemblable(work)
        with locked(work):
            path = assemble(work)
    click.echo(path)
