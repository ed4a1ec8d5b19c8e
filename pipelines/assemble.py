"""`atlas assemble`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import work_option
from pipelines.progress import say, stoppable


@click.command("assemble")
@work_option
def command(work: Path) -> None:
    """Write atlas.duckdb from the finished stages of a work folder; print its path.

    \b
    Example:
        atlas assemble --work work
    """
    from atlas.assemble import require_assemblable
    from atlas.stages import locked

    with stoppable(f"'{work}' is as it was."):
        require_assemblable(work)
        with locked(work):
            path = run(work)
    click.echo(path)


def run(work: Path) -> Path:
    """Assemble, say what came of the prompts of an earlier atlas, and return the new one's path."""
    from atlas.assemble import ATLAS_FILE, assemble
    from atlas.prompts import prompt_count

    before = prompt_count(work / ATLAS_FILE)
    path = assemble(work)
    if before is None:
        say("The earlier atlas could not be read: prompts that were added to it are gone.")
    elif before:
        came = "kept" if prompt_count(path) else "left out: they are of another dictionary or model"
        say(f"Prompts of the earlier atlas: {before}, {came}")
    return path
