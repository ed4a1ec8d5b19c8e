"""`atlas train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import (
    corpus_option,
    device_option,
    dtype_option,
    seed_option,
    trained_hook_option,
    trained_model_option,
    work_option,
)
from pipelines.progress import bar, say, stoppable

if TYPE_CHECKING:
    from atlas.dictionary.training import Step
    from atlas.train import TrainConfig


@click.command("train")
@trained_model_option
@trained_hook_option
@corpus_option
@click.option("--experts", type=click.IntRange(min=1), default=256, show_default=True, help="Experts in the dictionary.")
@click.option("--width", type=click.IntRange(min=1), default=8, show_default=True, help="Encoder units per expert.")
@click.option("--bottleneck", type=click.IntRange(min=1), default=3, show_default=True, help="Numbers in an expert's code.")
@click.option("--k", type=click.IntRange(min=1), default=12, show_default=True, help="Experts that fire per token, on average.")
@click.option("--steps", type=click.IntRange(min=1), default=400, show_default=True, help="Optimiser steps.")
@click.option("--batch", type=click.IntRange(min=1), default=2048, show_default=True, help="Tokens per step.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=4e-3,
    show_default=True,
    help="Of Adam, after warm-up.",
)
@click.option("--window-tokens", type=click.IntRange(min=8), default=128, show_default=True, help="Tokens per window.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="Tokens held in memory.")
@click.option(
    "--carrier-share",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of training tokens from carrier sentences (months, weekdays, numbers, years in use).",
)
@seed_option("the initial weights and the order of tokens")
@device_option
@dtype_option
@work_option
def command(
    model: str,
    hook: str,
    corpus: str,
    experts: int,
    width: int,
    bottleneck: int,
    k: int,
    steps: int,
    batch: int,
    learning_rate: float,
    window_tokens: int,
    max_tokens: int,
    carrier_share: float,
    seed: int,
    device: str,
    dtype: str,
    work: Path,
) -> None:
    """Train a SMIXAE on a model's residual stream; print the folder of its checkpoint.

    \b
    Example:
        atlas train --model gpt2 --hook transformer.h.6 --corpus text.jsonl
    """
    from atlas.activations.stream import StreamConfig
    from atlas.dictionary.training import TrainingConfig
    from atlas.train import TrainConfig

    training = TrainingConfig(
        n_experts=experts,
        d_expert=width,
        d_code=bottleneck,
        k=k,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
    )
    config = TrainConfig(carrier_share, max_tokens, StreamConfig(window_tokens=window_tokens), training)
    click.echo(run(model, hook, corpus, config, device, dtype, work))


def run(model: str, hook: str, corpus: str, config: TrainConfig, device: str, dtype: str, work: Path) -> Path:
    """Train with progress on stderr and return the checkpoint's folder."""
    from atlas.activations.model import DTYPES, load_tokenizer
    from atlas.harvest.harvest import survey
    from atlas.stages import locked
    from atlas.train import CHECKPOINT, STAGE, is_trained, require_documents, require_own, train_stage
    from pipelines.loading import NamedModel, load_model, readable_corpus, said_corpus, said_model, torch_device

    with stoppable(f"'{work}' is as it was; the same command begins the training again."):
        named = NamedModel(model, hook, None, torch_device(device), DTYPES[dtype])
        text = readable_corpus(corpus)
        plan = survey(text, load_tokenizer(model), config.max_tokens)
        require_documents(text, plan)
        require_own(work, text, plan, config)
        with locked(work):
            language_model = load_model(named)
            say(said_corpus(text, plan))
            say(said_model(language_model))
            if is_trained(language_model, text, plan, work, config):
                say("Training: already finished, skipped")
                return work / STAGE / CHECKPOINT
            training = config.training
            n = min(plan.tokens, config.max_tokens)
            say(
                f"Training: {training.n_experts:,} experts, {training.steps:,} steps of {training.batch:,}, of about {n:,} tokens"
            )
            with bar("Reading rows", "tokens", n) as rows:
                with bar("Training", "steps", training.steps) as steps:

                    def stepped(step: Step) -> None:
                        steps.set_postfix_str(f"unexplained {step.fvu:.3f}, dead {step.dead}", refresh=False)
                        steps.update(step.step - steps.n)

                    def gathered(n: int) -> None:
                        rows.update(n - rows.n)

                    folder = train_stage(language_model, text, work, config, gathered, stepped, plan)
                    rows.total = rows.n
    say(f"The dictionary is in {folder}")
    return folder
