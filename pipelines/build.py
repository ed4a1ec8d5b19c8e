"""`atlas build`."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines import bake, harvest, probe
from pipelines.options import (
    checkpoint_option,
    corpus_option,
    device_option,
    hook_option,
    model_option,
    out_option,
    work_option,
)


@click.command("build")
@checkpoint_option
@model_option
@hook_option
@corpus_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples, permutations and bootstrap.")
@device_option
@work_option
@out_option
def command(
    checkpoint: Path,
    model: str | None,
    hook: str | None,
    corpus: str,
    seed: int,
    device: str,
    work: Path,
    out: Path,
) -> None:
    """Map a dictionary: harvest, probe, assemble, bake; print the page to open.

    Stages that are finished for the same inputs are skipped.

    \b
    Example:
        atlas build --checkpoint work/train/checkpoint --out site
    """
    click.echo(run(checkpoint, model, hook, corpus, seed, device, work, out))


def run(
    checkpoint: Path, model: str | None, hook: str | None, corpus: str, seed: int, device: str, work: Path, out: Path
) -> Path:
    """Run the stages in order and return the page to open."""
    from atlas.assemble import assemble
    from atlas.stages import locked
    from pipelines.loading import load_subject

    with locked(work):
        subject = load_subject(checkpoint, model, hook, device)
        harvest.run(subject, corpus, 0, 1, seed, work)
        probe.run(subject, seed, work)
        return bake.run(assemble(work), out)
