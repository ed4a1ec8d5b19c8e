"""`atlas probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import checkpoint_option, device_option, hook_option, model_option, work_option
from pipelines.progress import say

if TYPE_CHECKING:
    from pipelines.loading import Subject


@click.command("probe")
@checkpoint_option
@model_option
@hook_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of permutations, bootstrap and random projections.")
@device_option
@work_option
def command(checkpoint: Path, model: str | None, hook: str | None, seed: int, device: str, work: Path) -> None:
    """Score every expert on every hypothesis about months, weekdays, numbers and years.

    \b
    Example:
        atlas probe --checkpoint work/train/checkpoint
    """
    from atlas.stages import locked
    from pipelines.loading import load_subject

    with locked(work):
        run(load_subject(checkpoint, model, hook, device), seed, work)


def run(subject: Subject, seed: int, work: Path) -> None:
    """Probe with progress on stderr."""
    from atlas.probe.probe import ProbeConfig, probe
    from atlas.probe.tasks import builtin_tasks

    probe(subject.checkpoint, subject.model, builtin_tasks(), work, ProbeConfig(seed=seed, stream=subject.stream), say)
