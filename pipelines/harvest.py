"""`atlas harvest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import checkpoint_option, corpus_option, device_option, hook_option, model_option, work_option
from pipelines.progress import bar, say

if TYPE_CHECKING:
    from pipelines.loading import Subject


@click.command("harvest")
@checkpoint_option
@model_option
@hook_option
@corpus_option
@click.option("--shard", default="0/1", show_default=True, help="Which part to run, as i/N with i from 0; the last one merges.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the hash that chooses samples.")
@device_option
@work_option
def command(
    checkpoint: Path,
    model: str | None,
    hook: str | None,
    corpus: str,
    shard: str,
    seed: int,
    device: str,
    work: Path,
) -> None:
    """Run a corpus through the model and the dictionary, and keep what every expert does.

    Stopped half-way, it goes on from the last chunk it saved when it is run again.

    \b
    Example:
        atlas harvest --checkpoint work/train/checkpoint --corpus text.jsonl --shard 0/2
    """
    from atlas.harvest.harvest import Shard
    from atlas.stages import locked
    from pipelines.loading import load_subject

    part = Shard.parse(shard)
    # Shards share the work folder, each with files of its own, so each holds a lock of its own.
    with locked(work, "all" if part.count == 1 else f"harvest-{part.index}-of-{part.count}"):
        run(load_subject(checkpoint, model, hook, device), corpus, part.index, part.count, seed, work)


def run(subject: Subject, corpus: str, shard: int, shards: int, seed: int, work: Path) -> None:
    """Harvest with progress on stderr."""
    from atlas.activations.corpus import load_corpus
    from atlas.harvest.harvest import HarvestConfig, Shard, harvest

    config = HarvestConfig(seed=seed, stream=subject.stream)
    with bar("Harvesting", "chunks") as shown:

        def progress(*, chunks: int, of: int, tokens: int) -> None:
            shown.total = of
            shown.set_postfix_str(f"{tokens:,} tokens", refresh=False)
            shown.update(chunks - shown.n)

        done = harvest(subject.checkpoint, subject.model, load_corpus(corpus), work, config, Shard(shard, shards), progress)
    if not done:
        say(f"Part {shard} of {shards} is finished; the harvest is, once every other part is.")
