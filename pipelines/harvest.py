"""`atlas harvest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from pipelines.options import SubjectOptions, TextOptions, seed_option, subject_options, text_options, work_option
from pipelines.progress import bar, duration, say, stoppable

if TYPE_CHECKING:
    from atlas.activations.corpus import Corpus
    from atlas.harvest.harvest import HarvestConfig, Shard, Standing, Survey
    from pipelines.loading import NamedSubject, Subject


class Chosen(NamedTuple):
    """What is to be harvested, found to be there; the model is not loaded yet."""

    corpus: Corpus
    tokens: int
    subject: NamedSubject


class Ready(NamedTuple):
    """What is harvested."""

    corpus: Corpus
    plan: Survey
    subject: Subject
    config: HarvestConfig


@click.command("harvest")
@subject_options
@text_options
@click.option("--shard", default="0/1", show_default=True, help="Which part to run, as i/N with i from 0; the last one merges.")
@seed_option("the hash that chooses samples")
@work_option
def command(subject: SubjectOptions, text: TextOptions, shard: str, seed: int, work: Path) -> None:
    """Run a corpus through the model and the dictionary, and keep what every expert does; print the folder it is in.

    Stopped half-way, it goes on from the last chunk it saved when it is run again.

    \b
    Example:
        atlas harvest --checkpoint work/train/checkpoint --corpus text.jsonl --preview
    """
    from atlas.harvest.harvest import STAGE, Shard
    from atlas.stages import EVERYTHING, locked

    part = Shard.parse(shard)
    # Shards share the work folder, each with files of its own, so each holds a lock of its own.
    held = EVERYTHING if part.count == 1 else f"harvest-{part.index}-of-{part.count}"
    with stoppable(f"Chunks that were saved are kept in '{work}'; the same command goes on from there."):
        chosen = choose(subject, text)
        with locked(work, held):
            ready = prepare(chosen, seed, work)
            run(ready, announce(ready, part, work), part, work)
    click.echo(work / STAGE)


def choose(subject: SubjectOptions, text: TextOptions) -> Chosen:
    """Return what the options name, refused now if that can be known without a model."""
    from pipelines.loading import named_subject, readable_corpus

    limit = text.limit
    return Chosen(readable_corpus(text.corpus), limit, named_subject(subject))


def prepare(chosen: Chosen, seed: int, work: Path) -> Ready:
    """Read the corpus to the end of what is harvested, see that the work folder is free for it, and load the model."""
    from atlas.activations.model import load_tokenizer
    from atlas.harvest.harvest import HarvestConfig, known_inputs, require_own, survey
    from pipelines.loading import load_subject, stream_config

    config = HarvestConfig(seed=seed, tokens=chosen.tokens, stream=stream_config(chosen.subject.checkpoint))
    plan = survey(chosen.corpus, load_tokenizer(chosen.subject.model.name), config.tokens)
    require_own(work, known_inputs(chosen.subject.checkpoint, chosen.corpus, plan, config))
    return Ready(chosen.corpus, plan, load_subject(chosen.subject), config)


def announce(ready: Ready, shard: Shard, work: Path) -> Standing:
    """Say what will be done and about how long it takes, and return what is done already."""
    from atlas.harvest.harvest import harvest_inputs, standing
    from atlas.harvest.timing import timed
    from pipelines.loading import said_corpus, said_model

    corpus, plan, (checkpoint, model, _), config = ready
    found = standing(work, harvest_inputs(checkpoint, model, corpus, plan, config), shard, plan)
    say(said_corpus(corpus, plan))
    say(f"{said_model(model)}; dictionary: {checkpoint.smixae.n_experts:,} experts that read {checkpoint.smixae.d_in:,} numbers")
    if found.finished or not found.left:
        say("Harvest: already finished, skipped" if found.finished else f"Harvest: part {shard.index} is already finished")
        return found
    speed = timed(checkpoint, model, corpus, config)
    begins = f"goes on from chunk {found.first + 1} of {plan.chunks}, " if found.first else ""
    chunks = f"{found.left:,} of {plan.chunks:,} chunks, " if shard.count > 1 else ""
    time = duration(speed.seconds_for(_tokens_left(plan, found)))
    say(f"Harvest: {begins}{chunks}about {time}, from {speed.windows:,} windows timed")
    return found


def run(ready: Ready, found: Standing, shard: Shard, work: Path) -> None:
    """Harvest with progress on stderr."""
    from atlas.harvest.harvest import harvest

    if found.finished:
        return
    corpus, plan, (checkpoint, model, _), config = ready
    if found.left:
        with bar("Harvesting", "tokens", _tokens_left(plan, found)) as shown:
            done = harvest(checkpoint, model, corpus, work, config, shard, plan=plan, counted=shown.update)
            shown.total = shown.n
    else:
        done = harvest(checkpoint, model, corpus, work, config, shard, plan=plan)
    if not done:
        say(f"Part {shard.index} of {shard.count} is finished; the harvest is, once every other part is.")


def _tokens_left(plan: Survey, found: Standing) -> int:
    """Return about how many tokens a shard has yet to run."""
    return round(plan.tokens * found.left / plan.chunks)
