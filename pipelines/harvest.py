"""`atlas harvest`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from atlas.errors import ConfigError
from pipelines.options import SubjectOptions, TextOptions, seed_option, subject_options, text_options, work_option
from pipelines.progress import bar, duration, say, stoppable

if TYPE_CHECKING:
    from atlas.activations.corpus import Corpus
    from atlas.harvest.config import HarvestConfig
    from atlas.harvest.harvest import Standing
    from atlas.harvest.mentions import Words
    from atlas.harvest.parts import Shard
    from atlas.harvest.survey import Survey
    from atlas.probe.tasks import Task
    from pipelines.loading import NamedSubject, Subject


class Chosen(NamedTuple):
    """What is to be harvested, found to be there; the model is not loaded yet."""

    corpora: Sequence[Corpus]
    tokens: int
    subject: NamedSubject
    words: Words


class Ready(NamedTuple):
    """What is harvested."""

    corpora: Sequence[Corpus]
    plans: Sequence[Survey]
    subject: Subject
    config: HarvestConfig
    words: Words


@click.command("harvest")
@subject_options
@text_options
@click.option(
    "--shard",
    help="Which part to run, as i/N with i from 0; `atlas merge` puts the parts together.  [default: everything, or what "
    "torchrun gives this process]",
)
@seed_option("the hash that chooses samples")
@work_option
def command(subject: SubjectOptions, text: TextOptions, shard: str | None, seed: int, work: Path) -> None:
    """Run a corpus through the model and the dictionary, and keep what every expert does; print the folder it is in.

    Stopped half-way, it goes on from the last chunk it saved when it is run again.

    \b
    Example:
        atlas harvest --checkpoint work/train/checkpoint --corpus text.jsonl --preview
        torchrun --no-python --nproc-per-node 8 atlas harvest --checkpoint owner/repo --corpus text.jsonl && atlas merge
    """
    from atlas.harvest.parts import STAGE
    from atlas.stages import EVERYTHING, locked

    part, is_shown = chosen_shard(shard)
    # Shards share the work folder, each with files of its own, so each holds a lock of its own.
    held = EVERYTHING if part.count == 1 else f"harvest-{part.index}-of-{part.count}"
    with stoppable(f"Chunks that were saved are kept in '{work}'; the same command goes on from there."):
        chosen = choose(subject, text)
        with locked(work, held):
            ready = prepare(chosen, seed, work)
            found = announce(ready, part, work) if is_shown else standing_of(ready, part, work)
            run(ready, found, part, work, is_shown)
    if is_shown:
        click.echo(work / STAGE)


def chosen_shard(given: str | None) -> tuple[Shard, bool]:
    """Return the shard that the option or torchrun names, and whether this process is the one that talks.

    Raises:
        ConfigError: both name one, or the text is no shard.
    """
    from atlas.harvest.parts import WHOLE, Shard

    rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or world is None:
        return Shard.parse(given) if given is not None else WHOLE, True
    if given is not None:
        raise ConfigError(f"--shard says {given}, and torchrun gives this process {rank}/{world}; leave out --shard.")
    return Shard.parse(f"{rank}/{world}"), rank == "0"


def choose(subject: SubjectOptions, text: TextOptions, labelled: Sequence[Task] = ()) -> Chosen:
    """Return what the options name, refused now if that can be known without a model."""
    from atlas.harvest.inputs import require_distinct
    from pipelines.loading import named_subject, readable_corpus

    limit = text.limit
    corpora = [readable_corpus(corpus) for corpus in text.corpus]
    words = label_words(labelled)
    require_distinct(corpora, words)
    return Chosen(corpora, limit, named_subject(subject), words)


def label_words(labelled: Sequence[Task]) -> Words:
    """Return the labels whose mentions are kept: of every task that comes with Atlas, chosen or not, and of the given others."""
    from atlas.probe.tasks import builtin_tasks

    tasks = {task.name: task for task in (*builtin_tasks(), *labelled)}
    return {name: task.labels for name, task in tasks.items() if task.natural_mentions}


def prepare(chosen: Chosen, seed: int, work: Path) -> Ready:
    """Read each corpus to the end of what is harvested, see that the work folder is free for it, and load the model."""
    from atlas.harvest.config import HarvestConfig
    from atlas.harvest.harvest import require_own
    from atlas.harvest.inputs import known_inputs, survey_for
    from pipelines.loading import load_subject, stream_config, tokenizer_of

    config = HarvestConfig(seed=seed, tokens=chosen.tokens, stream=stream_config(chosen.subject.checkpoint))
    words = chosen.words
    tokenizer = tokenizer_of(chosen.subject.model)
    plans = [survey_for(chosen.subject.checkpoint, corpus, tokenizer, config) for corpus in chosen.corpora]
    require_own(work, known_inputs(chosen.subject.checkpoint, chosen.corpora, plans, config, words))
    return Ready(chosen.corpora, plans, load_subject(chosen.subject), config, words)


def standing_of(ready: Ready, shard: Shard, work: Path) -> Standing:
    """Return what is done already."""
    from atlas.harvest.harvest import standing
    from atlas.harvest.inputs import harvest_inputs

    corpora, plans, (checkpoint, model, _), config, words = ready
    return standing(work, harvest_inputs(checkpoint, model, corpora, plans, config, words), shard, plans)


def announce(ready: Ready, shard: Shard, work: Path) -> Standing:
    """Say what will be done and about how long it takes, and return what is done already."""
    from atlas.harvest.timing import timed
    from pipelines.loading import said_corpus, said_model

    corpora, plans, (checkpoint, model, _), config, _ = ready
    found = standing_of(ready, shard, work)
    for corpus, plan in zip(corpora, plans, strict=True):
        say(said_corpus(corpus, plan))
    say(f"{said_model(model)}; dictionary: {checkpoint.smixae.n_experts:,} experts that read {checkpoint.smixae.d_in:,} numbers")
    left, chunks = sum(found.left), sum(plan.chunks for plan in plans)
    if found.finished or not left:
        done = (
            "already finished, skipped"
            if found.finished
            else f"shard {shard} is already run"
            if any(map(shard.has, range(chunks)))
            else f"shard {shard} has no chunks"
        )
        say(f"Harvest: {done}")
        return found
    speed = timed(checkpoint, model, corpora[0], config)
    share = f"{left:,} of {chunks:,} chunks, " if left < chunks else ""
    going_on = "goes on, " if found.is_begun else ""
    time = duration(speed.seconds_for(_tokens_left(ready, found)))
    say(f"Harvest: {going_on}{share}about {time}, from {speed.windows:,} window{'s' if speed.windows != 1 else ''} timed")
    return found


def run(ready: Ready, found: Standing, shard: Shard, work: Path, is_shown: bool = True) -> None:
    """Harvest with progress on stderr."""
    from atlas.harvest.harvest import harvest
    from atlas.harvest.parts import STAGE, discard_parts

    if found.finished:
        if shard.count == 1:
            # What a run that was killed at its very end has left.
            discard_parts(work / STAGE)
        return
    corpora, plans, (checkpoint, model, _), config, words = ready
    with bar("Harvesting", "tokens", _tokens_left(ready, found), is_shown=is_shown and any(found.left)) as shown:
        done = harvest(checkpoint, model, corpora, work, config, shard, words, plans=plans, counted=shown.update)
        shown.total = shown.n
    if not done and is_shown:
        say(f"Shard {shard} is run. When all {shard.count} are, `atlas merge` puts them together.")


def _tokens_left(ready: Ready, found: Standing) -> int:
    """Return about how many tokens a shard has yet to run."""
    return round(sum(plan.tokens * left / plan.chunks for plan, left in zip(ready.plans, found.left, strict=True)))
