"""`atlas probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import SubjectOptions, seed_option, subject_options, work_option
from pipelines.progress import say, stoppable

if TYPE_CHECKING:
    from pipelines.loading import Subject


@click.command("probe")
@subject_options
@seed_option("permutations, bootstrap and random projections")
@work_option
def command(subject: SubjectOptions, seed: int, work: Path) -> None:
    """Score every expert on every hypothesis about months, weekdays, numbers and years; print the folder of the scores.

    It needs a finished harvest in the work folder.

    \b
    Example:
        atlas probe --checkpoint work/train/checkpoint
    """
    from atlas.probe.probe import STAGE, require_harvest
    from atlas.stages import locked
    from pipelines.loading import load_subject, named_subject, said_model

    with stoppable(f"'{work}' is as it was; the same command begins the probe again."):
        named = named_subject(subject)
        require_harvest(work, {"checkpoint": named.checkpoint.sha256, "dtype": subject.dtype})
        with locked(work):
            ready = load_subject(named)
            say(said_model(ready.model))
            announce(ready, seed, work)
            run(ready, seed, work)
    click.echo(work / STAGE)


def announce(subject: Subject, seed: int, work: Path) -> None:
    """Say what will be done."""
    from atlas.probe.probe import ProbeConfig, is_probed
    from atlas.probe.tasks import builtin_tasks
    from atlas.stages import is_finished

    tasks = builtin_tasks()
    config = ProbeConfig(seed=seed, stream=subject.stream)
    if is_finished(work, "harvest") and is_probed(subject.checkpoint, subject.model, tasks, work, config):
        say("Probe: already finished, skipped")
        return
    sentences = sum(len(task.templates) * len(task.labels) for task in tasks)
    say(f"Probe: {', '.join(task.title for task in tasks)}: {sentences:,} sentences, then scores; its time is not estimated")


def run(subject: Subject, seed: int, work: Path) -> None:
    """Probe with progress on stderr."""
    from atlas.probe.probe import ProbeConfig, probe
    from atlas.probe.tasks import builtin_tasks

    probe(subject.checkpoint, subject.model, builtin_tasks(), work, ProbeConfig(seed=seed, stream=subject.stream), say)
