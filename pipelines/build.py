"""`atlas build`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines import bake, evaluate, harvest, probe
from pipelines.options import (
    SiteOptions,
    SubjectOptions,
    TextOptions,
    seed_option,
    site_options,
    subject_options,
    text_options,
    work_option,
)
from pipelines.progress import say, stoppable


@click.command("build")
@subject_options
@text_options
@seed_option("samples, permutations and bootstrap")
@work_option
@site_options
def command(subject: SubjectOptions, text: TextOptions, seed: int, work: Path, site: SiteOptions) -> None:
    """Map a dictionary: harvest, probe, evaluate, assemble, bake; print the page to open.

    Stages that are finished for the same inputs are skipped.

    \b
    Example:
        atlas build --checkpoint work/train/checkpoint --preview
    """
    click.echo(run(subject, text, seed, work, site))


def run(subject: SubjectOptions, text: TextOptions, seed: int, work: Path, site: SiteOptions) -> Path:
    """Run the stages in order and return the page to open."""
    from atlas.assemble import assemble
    from atlas.harvest.parts import WHOLE
    from atlas.stages import locked

    with stoppable(f"What was finished is kept in '{work}'; the same command goes on from there."):
        bake.require_bakeable(site)
        chosen = harvest.choose(subject, text)
        with locked(work):
            measured = evaluate.prepare(chosen.corpora[0], chosen.subject, evaluate.config_for(chosen.tokens))
            ready = harvest.prepare(chosen, seed, work)
            found = harvest.announce(ready, WHOLE, work)
            probe.announce(ready.subject, seed, work)
            evaluate.announce(measured, ready.subject, work)
            say(f"Assemble and bake: anew each time, into {work} and {site.out}")
            harvest.run(ready, found, WHOLE, work)
            probe.run(ready.subject, seed, work)
            evaluate.run(measured, ready.subject, work)
            return bake.run(assemble(work), site)
