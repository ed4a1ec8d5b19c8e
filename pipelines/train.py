"""`atlas train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipelines.options import (
    SEED,
    Option,
    corpus_option,
    device_map_option,
    device_option,
    dtype_option,
    trained_hook_option,
    trained_model_option,
    trust_option,
    work_option,
)
from pipelines.progress import bar, saving, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable

    from atlas.train import TrainConfig

POSITIVE = click.IntRange(min=1)


class Outlook(NamedTuple):
    """How a training is watched; none of it changes the dictionary."""

    log_every: int = 10
    save_every: int | None = None
    wandb: str | None = None


UNWATCHED = Outlook()


def _recipe(name: str, kind: click.ParamType[Any], of: str, help: str) -> Option:
    """Return an option whose default the recipe has: `of` is the setting of TrainingConfig that it changes."""
    return click.option(name, of, type=kind, help=f"{help}  [default: the recipe's]")


@click.command("train")
@trained_model_option
@trained_hook_option
@corpus_option
@click.option(
    "--recipe",
    type=click.Choice(["atlas", "reference"]),
    default="atlas",
    show_default=True,
    help="Settings to start from: ours, or those of the published dictionaries (arXiv 2605.09224).",
)
@_recipe("--experts", POSITIVE, "n_experts", "Experts in the dictionary: 256, reference 2,048.")
@_recipe("--width", POSITIVE, "d_expert", "Encoder units per expert: 8, reference 16.")
@_recipe("--bottleneck", POSITIVE, "d_code", "Numbers in an expert's code: 3.")
@_recipe("--k", POSITIVE, "k", "Experts that fire per token, on average: 12, reference 64.")
@_recipe("--steps", POSITIVE, "steps", "Optimiser steps: 400, reference 61,035.")
@_recipe("--batch", POSITIVE, "batch", "Tokens per step: 2,048, reference 8,192.")
@_recipe("--learning-rate", click.FloatRange(0, min_open=True), "learning_rate", "Of Adam, after warm-up: 4e-3, reference 5e-4.")
@_recipe("--warmup-steps", click.IntRange(min=0), "warmup_steps", "Steps of linear warm-up: 40, reference 500.")
@_recipe(
    "--auxiliary",
    click.Choice(["auxk", "residual", "shortfall"]),
    "auxiliary",
    "What revives dead experts: auxk, reference shortfall; docs/training.md says what each does.",
)
@_recipe("--seed", SEED, "seed", "Of the initial weights and the order of tokens: 0, reference 42.")
@click.option("--window-tokens", type=click.IntRange(min=8), default=128, show_default=True, help="Tokens per window.")
@click.option(
    "--buffer-rows", type=POSITIVE, default=524_288, show_default=True, help="Tokens whose rows are held and shuffled at once."
)
@click.option(
    "--carrier-share",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of training tokens from carrier sentences (months, weekdays, numbers, years in use).",
)
@click.option("--log-every", type=POSITIVE, default=10, show_default=True, help="Steps between two lines of the log.")
@click.option("--save-every", type=POSITIVE, help="Steps between two checkpoints.  [default: a twentieth of --steps]")
@click.option("--wandb", metavar="PROJECT", help="Send the log to this Weights & Biases project too.  [default: nothing is sent]")
@device_option
@dtype_option
@device_map_option
@trust_option
@work_option
def command(
    model: str,
    hook: str,
    corpus: str,
    recipe: str,
    window_tokens: int,
    buffer_rows: int,
    carrier_share: float,
    log_every: int,
    save_every: int | None,
    wandb: str | None,
    device: str,
    dtype: str,
    device_map: str,
    trust_remote_code: bool,
    work: Path,
    **given: Any,
) -> None:
    """Train a SMIXAE on a model's residual stream; print the folder of its checkpoint.

    Stopped half-way, it goes on from the last checkpoint it saved when it is run again.

    \b
    Example:
        atlas train --model gpt2 --hook transformer.h.6 --corpus text.jsonl
    """
    from atlas.activations.stream import StreamConfig
    from atlas.dictionary.training import TrainingConfig
    from atlas.train import TrainConfig

    changes = {name: value for name, value in given.items() if value is not None}
    training = TrainingConfig.reference(**changes) if recipe == "reference" else TrainingConfig(**changes)
    config = TrainConfig(carrier_share, buffer_rows, StreamConfig(window_tokens=window_tokens), training)
    outlook = Outlook(log_every, save_every, wandb)
    click.echo(run(model, hook, corpus, config, device, dtype, work, outlook, device_map, trust_remote_code))


def run(
    model: str,
    hook: str,
    corpus: str,
    config: TrainConfig,
    device: str,
    dtype: str,
    work: Path,
    outlook: Outlook = UNWATCHED,
    device_map: str = "none",
    trust_remote_code: bool = False,
) -> Path:
    """Train with progress on stderr and return the checkpoint's folder."""
    from atlas.activations.model import DTYPES
    from atlas.harvest.survey import survey
    from atlas.stages import locked
    from atlas.train import Watch, is_trained, require_documents, require_own, steps_taken, train_stage
    from pipelines.loading import NamedModel, load_model, readable_corpus, said_corpus, said_model, tokenizer_of, torch_device

    left = f"'{work}' keeps what was saved; the same command goes on from there."
    with stoppable(left), _sender(outlook, config) as send:
        named = NamedModel(model, hook, None, torch_device(device), DTYPES[dtype], device_map, trust_remote_code)
        text = readable_corpus(corpus)
        plan = survey(text, tokenizer_of(named), config.surveyed_tokens)
        require_documents(text, plan)
        require_own(work, text, plan, config)
        with locked(work):
            language_model = load_model(named)
            say(said_corpus(text, plan))
            say(said_model(language_model))
            if is_trained(language_model, text, plan, work, config):
                say("Training: already finished, skipped")
                return train_stage(language_model, text, work, config, plan=plan)
            training, taken = config.training, steps_taken(work)
            goes_on = f", goes on from step {taken:,}" if taken else ""
            say(f"Training: {training.n_experts:,} experts, {training.steps:,} steps of {training.batch:,} tokens{goes_on}")
            with bar("Reading rows", "tokens") as rows, bar("Training", "steps", training.steps) as steps, saving(left) as asked:

                def reading(n: int) -> None:
                    # A new pool begins at its first rows again.
                    if n < rows.n:
                        rows.reset()
                    rows.update(n - rows.n)

                def stepped(n: int) -> None:
                    steps.update(n - steps.n)

                def logged(step: int, metrics: Mapping[str, float]) -> None:
                    steps.set_postfix_str(f"unexplained {metrics['fvu']:.3f}, dead {metrics['dead']:.0f}", refresh=False)
                    send(step, metrics)

                watch = Watch(reading, stepped, logged, asked.pending)
                folder = train_stage(language_model, text, work, config, watch, plan, outlook.log_every, outlook.save_every)
    say(f"The dictionary is in {folder}")
    return folder


@contextmanager
def _sender(outlook: Outlook, config: TrainConfig) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Give what sends logged steps to Weights & Biases, where that is asked for."""
    if outlook.wandb is None:
        yield lambda _step, _metrics: None
        return
    import wandb

    sent = wandb.init(project=outlook.wandb, config=asdict(config), job_type="train")
    try:
        yield lambda step, metrics: sent.log(dict(metrics), step=step)
    finally:
        sent.finish()
