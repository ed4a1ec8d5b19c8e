"""`atlas build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines import assemble, bake, evaluate, geometry, harvest, probe
from pipelines.options import (
    SiteOptions,
    SubjectOptions,
    TaskOptions,
    TextOptions,
    seed_option,
    site_options,
    subject_options,
    task_options,
    text_options,
    work_option,
)
from pipelines.progress import say, stoppable

if TYPE_CHECKING:
    from atlas.probe.available import Absence, Chosen


@click.command("build")
@subject_options
@text_options
@task_options
@seed_option("samples, permutations, bootstrap, draws and the map")
@work_option
@site_options
def command(subject: SubjectOptions, text: TextOptions, labelled: TaskOptions, seed: int, work: Path, site: SiteOptions) -> None:
    """Map a dictionary: harvest, probe, geometry, evaluate, assemble, bake; print the page to open.

    Stages that are finished for the same inputs are skipped.

    \b
    Example:
        atlas build --checkpoint work/train/checkpoint --preview
    """
    chosen = probe.choose(labelled)
    page, unusable = run(subject, text, labelled, chosen, seed, work, site)
    click.echo(page)
    probe.require_usable(chosen, unusable)


def run(
    subject: SubjectOptions, text: TextOptions, labelled: TaskOptions, tasks: Chosen, seed: int, work: Path, site: SiteOptions
) -> tuple[Path, list[Absence]]:
    """Run the stages in order and return the page to open, and the tasks that turned out unusable."""
    from atlas.geometry.config import GeometryConfig
    from atlas.harvest.parts import WHOLE
    from atlas.stages import locked

    with stoppable(f"What was finished is kept in '{work}'; the same command goes on from there."):
        bake.require_bakeable(site, work)
        geometry.require_installed()
        chosen = harvest.choose(subject, text, tasks.tasks)
        with locked(work):
            measured = evaluate.prepare(chosen.corpora[0], chosen.subject, evaluate.config_for(chosen.tokens))
            ready = harvest.prepare(chosen, seed, work)
            found = harvest.announce(ready, WHOLE, work)
            config = probe.config_for(ready.subject, labelled, seed)
            probed = probe.announce(ready.subject, tasks, config, work)
            shown = GeometryConfig.seeded(seed)
            geometry.announce(ready.subject.checkpoint, shown, work, probe.is_done(ready.subject, probed, config, work))
            evaluate.announce(measured, ready.subject, work)
            say(f"Assemble and bake: anew each time, into {work} and {site.out}")
            harvest.run(ready, found, WHOLE, work)
            unusable = probe.run(ready.subject, probed, config, work, labelled)
            geometry.run(ready.subject.checkpoint, shown, work)
            evaluate.run(measured, ready.subject, work)
            return bake.run(assemble.run(work), site), unusable
