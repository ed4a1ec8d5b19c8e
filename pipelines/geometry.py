"""`atlas geometry`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.options import checkpoint_option, seed_option, work_option
from pipelines.progress import bar, say, stoppable

if TYPE_CHECKING:
    from atlas.dictionary import Checkpoint
    from atlas.geometry.config import GeometryConfig
    from atlas.geometry.stage import Progress


@click.command("geometry")
@checkpoint_option
@click.option("--workers", type=click.IntRange(min=1), help="Processes that measure clouds.  [default: one for each core]")
@seed_option("the points that stand for a large cloud, the null's draws and the map")
@work_option
def command(checkpoint: str, workers: int | None, seed: int, work: Path) -> None:
    """Tell the shape of every expert's clouds, find its neighbours and draw the map of all; print the folder of it.

    It needs a finished harvest and probe in the work folder, and no language model. Stopped half-way, it goes on from the parts
    it finished. `atlas shapes` and `atlas neighbours` print what was found, once `atlas assemble` has put it into an atlas.

    \b
    Example:
        atlas geometry --checkpoint work/train/checkpoint
    """
    from atlas.dictionary import Checkpoint
    from atlas.geometry.config import GeometryConfig
    from atlas.geometry.stage import STAGE, geometry_inputs
    from atlas.stages import locked

    with stoppable(f"Parts that were finished are kept in '{work}'; the same command goes on from there."):
        loaded, config = Checkpoint.load(checkpoint), GeometryConfig.seeded(seed)
        # What cannot be done is refused before the folder is touched.
        require_installed()
        geometry_inputs(loaded, work, config)
        with locked(work):
            announce(loaded, config, work)
            run(loaded, config, work, workers)
    click.echo(work / STAGE)


def require_installed() -> None:
    """Raise now, before the long work, unless the packages are there that only this stage needs."""
    from atlas.geometry.stage import require_packages

    require_packages()


def announce(checkpoint: Checkpoint, config: GeometryConfig, work: Path, is_current: bool = True) -> None:
    """Say what will be done. What was found before of a probe that `is_current` no more is found anew."""
    from atlas.geometry.stage import is_held

    if is_current and is_held(checkpoint, work, config):
        say("Geometry: already finished, skipped")
        return
    n = checkpoint.smixae.n_experts
    say(f"Geometry: shapes and neighbours of {n:,} expert{'s' if n != 1 else ''}, and a map of all; its time is not estimated")


def run(checkpoint: Checkpoint, config: GeometryConfig, work: Path, workers: int | None = None) -> None:
    """Find shapes, neighbours and the map, with progress on stderr."""
    from atlas.geometry.stage import cores, geometry

    with _bars() as progress:
        geometry(checkpoint, work, config, workers or cores(), progress)


@contextmanager
def _bars() -> Iterator[Progress]:
    """Give what draws a bar for each thing that is done, one below the other."""
    shown: dict[str, Any] = {}
    with ExitStack() as drawn:

        def progress(what: str, unit: str, done: int, of: int) -> None:
            if what not in shown:
                # The one before is at its end.
                drawn.close()
                shown[what] = drawn.enter_context(bar(what, unit, of))
            shown[what].update(done - shown[what].n)

        yield progress
