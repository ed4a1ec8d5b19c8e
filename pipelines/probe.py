"""`atlas probe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import SubjectOptions, TaskOptions, seed_option, subject_options, task_options, work_option
from pipelines.progress import say, stoppable

if TYPE_CHECKING:
    from atlas.probe.available import Absence, Available, Chosen
    from atlas.probe.config import ProbeConfig
    from pipelines.loading import Subject


@click.command("probe")
@subject_options
@task_options
@seed_option("permutations, bootstrap and random projections")
@work_option
def command(subject: SubjectOptions, labelled: TaskOptions, seed: int, work: Path) -> None:
    """Score every expert on every hypothesis of every labelled task; print the folder of the scores.

    It needs a finished harvest in the work folder. Stopped half-way, it goes on behind the last task it finished; tasks that
    were probed before are not probed again. `atlas scores` prints the best experts.

    \b
    Example:
        atlas probe --checkpoint work/train/checkpoint --task feelings.csv
    """
    from atlas.probe.stage import STAGE, require_harvest
    from atlas.stages import locked
    from pipelines.loading import load_subject, named_subject, said_model

    with stoppable(f"Tasks that were finished are kept in '{work}'; the same command goes on from there."):
        chosen = choose(labelled)
        named = named_subject(subject)
        require_harvest(work, {"checkpoint": named.checkpoint.sha256, "dtype": subject.dtype})
        with locked(work):
            ready = load_subject(named)
            say(said_model(ready.model))
            config = config_for(ready, labelled, seed)
            tasks = announce(ready, chosen, config, work)
            unusable = run(ready, tasks, config, work, labelled)
    click.echo(work / STAGE)
    require_usable(chosen, unusable)


def choose(labelled: TaskOptions) -> Chosen:
    """Return the tasks that the options name, saying which of the user's own cannot be used and what was left out of others."""
    from atlas.probe.available import choose as choose_tasks

    chosen = choose_tasks(labelled.names, labelled.task)
    for refused in chosen.refused:
        say(f"{refused.name} is left out: {refused.reason}")
    for task in chosen.tasks:
        for remark in (*task.assumptions, *task.remarks):
            say(f"{task.title}: {remark}")
    return chosen


def require_usable(chosen: Chosen, unusable: Sequence[Absence]) -> None:
    """Raise TaskError if one of the tasks could not be used: the others are done, and a script should know."""
    from atlas.errors import TaskError

    missing = [(one.name, one.reason) for one in chosen.refused] + [(one.name, one.reason) for one in unusable]
    if missing:
        raise TaskError(f"All else is done, without {', '.join(name for name, _ in missing)}: {missing[0][1]}")


def config_for(subject: Subject, labelled: TaskOptions, seed: int) -> ProbeConfig:
    """Return how experts are probed."""
    from atlas.probe.config import ProbeConfig

    return ProbeConfig(seed=seed, protocol=labelled.protocol, stream=subject.stream)


def announce(subject: Subject, chosen: Chosen, config: ProbeConfig, work: Path) -> Available:
    """Say what will be done, and return the tasks that the model can be probed with."""
    from atlas.probe.available import available
    from atlas.probe.stage import unprobed

    tasks = available(chosen, subject.model, config.stream, config.seed)
    for absent in tasks.absent[len(chosen.refused) :]:
        say(f"Without {absent.title}: {absent.reason}")
    left = unprobed(subject.checkpoint, subject.model, *tasks, work, config)
    if left is None:
        say("Probe: already finished, skipped")
        return tasks
    if not left:
        say(f"Probe: all {len(tasks.tasks)} tasks finished before, put together anew")
        return tasks
    rows = sum(len(task.sentences) for task in left)
    done = len(tasks.tasks) - len(left)
    kept = f", {done} finished before" if done else ""
    say(f"Probe: {len(left)} task{'s' if len(left) != 1 else ''}{kept}: {rows:,} rows, then scores; its time is not estimated")
    return tasks


def is_done(subject: Subject, tasks: Available, config: ProbeConfig, work: Path) -> bool:
    """Return whether the work folder holds the probe that these give."""
    from atlas.probe.stage import unprobed

    return unprobed(subject.checkpoint, subject.model, *tasks, work, config) is None


def run(subject: Subject, tasks: Available, config: ProbeConfig, work: Path, labelled: TaskOptions) -> list[Absence]:
    """Probe with progress on stderr, and return the tasks that turned out unusable."""
    from atlas.origins import hashed
    from atlas.probe.stage import probe
    from atlas.probe.tasks import source_files, without_folder

    files = hashed(path for source in labelled.task for path in source_files(source))
    asked = {"tasks": labelled.names, "own": [without_folder(source) for source in labelled.task], "files": files}
    return probe(subject.checkpoint, subject.model, *tasks, work, config, say, asked)
