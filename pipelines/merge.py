"""`atlas merge`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import work_option
from pipelines.progress import say, stoppable


@click.command("merge")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@work_option
def command(folders: tuple[Path, ...], work: Path) -> None:
    """Put the shards of a harvest together; print the folder of the result.

    FOLDERS are the work folders of `atlas harvest --shard`, from any machines; without any it is the one of --work. Neither the
    model nor the dictionary is needed.

    \b
    Example:
        atlas merge
        atlas merge from-machine-0 from-machine-1 --work work
    """
    from atlas.harvest.merge import merge
    from atlas.harvest.parts import STAGE
    from atlas.stages import locked

    with stoppable("The parts are as they were; the same command begins the merge again."), locked(work):
        merge(list(folders) or [work], work, say)
    click.echo(work / STAGE)
