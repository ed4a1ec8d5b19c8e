"""`atlas evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from atlas.rebuild import MOST_EVALUATED, MOST_PREDICTED
from pipelines.options import SubjectOptions, corpus_option, subject_options, work_option
from pipelines.progress import bar, duration, say, stoppable

if TYPE_CHECKING:
    from atlas.activations.corpus import Corpus
    from atlas.evaluation import EvaluationConfig, HeldOut, Measured
    from atlas.probe.tasks import Task
    from pipelines.loading import NamedSubject, Subject

DEFAULT_TOKENS = MOST_EVALUATED
DEFAULT_CE_TOKENS = MOST_PREDICTED
SUBJECTS = {"dictionary": "dictionary", "pca": "PCA", "model": "kept", "zero": "zeroed", "mean": "mean"}
"""What the columns of the table are of, and what they are called."""


class Ready(NamedTuple):
    """What is evaluated."""

    corpus: Corpus
    plan: HeldOut
    config: EvaluationConfig
    tasks: Sequence[Task]


@click.command("evaluate")
@subject_options
@corpus_option
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=DEFAULT_TOKENS,
    show_default=True,
    help="About how many held-out tokens of the corpus to measure on.",
)
@click.option(
    "--ce-tokens",
    type=click.IntRange(min=1),
    default=DEFAULT_CE_TOKENS,
    show_default=True,
    help="Of these, most tokens to measure cross-entropy on, where the model predicts tokens: it runs five times over them.",
)
@work_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of the rows of the table 'evaluation', in its order.")
def command(subject: SubjectOptions, corpus: str, tokens: int, ce_tokens: int, work: Path, as_json: bool) -> None:
    """Measure how faithfully a dictionary rebuilds text it was not trained on; print a table with it beside plain PCA.

    It takes the documents of the fifth that `atlas train` leaves out.

    \b
    Example:
        atlas evaluate --checkpoint work/train/checkpoint --corpus text.jsonl
    """
    from atlas.evaluation import EvaluationConfig, known_inputs, require_enough, require_own
    from atlas.stages import locked
    from pipelines.loading import load_subject, named_subject, readable_corpus, said_model

    with stoppable(f"'{work}' is as it was; the same command begins the evaluation again."):
        text = readable_corpus(corpus)
        named = named_subject(subject)
        with locked(work):
            ready = prepare(text, named, EvaluationConfig(tokens=tokens, ce_tokens=ce_tokens))
            require_enough(text, ready.plan)
            require_own(work, known_inputs(named.checkpoint, *ready))
            loaded = load_subject(named)
            say(said_model(loaded.model))
            announce(ready, loaded, work)
            found = run(ready, loaded, work)
    click.echo(json.dumps([_record(one) for one in found], indent=1) if as_json else table(found, ready.tasks))


def config_for(limit: int) -> EvaluationConfig:
    """Return how an evaluation goes with a build that reads about so many tokens: of no more held-out ones than these hold."""
    from atlas.evaluation import EvaluationConfig
    from atlas.rebuild import evaluated_tokens

    return EvaluationConfig(tokens=evaluated_tokens(limit), ce_tokens=DEFAULT_CE_TOKENS)


def prepare(corpus: Corpus, named: NamedSubject, config: EvaluationConfig) -> Ready:
    """Read the corpus to the end of what is measured: whether it is enough is known before the model is loaded."""
    from atlas.evaluation import held_out_text
    from atlas.probe.tasks import builtin_tasks, model_facts, unmet
    from pipelines.loading import stream_config, tokenizer_of

    config = replace(config, stream=stream_config(named.checkpoint))
    tokenizer = tokenizer_of(named.model)
    plan = held_out_text(named.checkpoint, corpus, tokenizer, config)
    # None of those that come with Atlas asks for a head that predicts tokens, which only the loaded model can tell.
    facts = model_facts(tokenizer, is_causal=False)
    return Ready(corpus, plan, config, [task for task in builtin_tasks() if unmet(task.needs, facts) is None])


def announce(ready: Ready, subject: Subject, work: Path) -> None:
    """Say what will be done, and about how long it takes."""
    from atlas.evaluation import estimated_seconds, evaluation_inputs, is_evaluated

    corpus, plan, config, tasks = ready
    checkpoint, model, _ = subject
    if is_evaluated(work, evaluation_inputs(checkpoint, model, *ready)):
        say("Evaluate: already finished, skipped")
        return
    if not plan.suffices:
        say(f"Evaluate: {corpus.title} is too small to hold some of it out, so fidelity is not measured")
        return
    entropy = f"cross-entropy on {min(plan.tokens, config.ce_tokens):,} of them" if model.has_head else "no cross-entropy"
    sentences = sum(len(task.sentences) for task in tasks)
    say(
        f"Evaluate: about {plan.tokens:,} held-out tokens of {corpus.title}, {entropy}, {plan.pca_rows:,} other tokens for PCA, "
        f"{sentences:,} sentences: about {duration(estimated_seconds(checkpoint, model, *ready))}"
    )


def run(ready: Ready, subject: Subject, work: Path) -> list[Measured]:
    """Evaluate with progress on stderr, and return the figures."""
    from atlas.evaluation import STAGE, evaluate, measured, passed_tokens
    from atlas.stages import is_finished

    if is_finished(work, STAGE):
        return measured(work)
    corpus, plan, config, tasks = ready
    checkpoint, model, _ = subject
    if not plan.suffices:
        return evaluate(checkpoint, model, corpus, work, config, tasks, plan)
    with bar("Evaluating", "tokens", passed_tokens(model, plan, config, tasks)) as shown:
        found = evaluate(checkpoint, model, corpus, work, config, tasks, plan, shown.update)
        shown.total = shown.n
    return found


def table(found: Sequence[Measured], tasks: Sequence[Task]) -> str:
    """Return figures as lines of text: a line for each metric of each task, a column for each thing that was measured."""
    subjects = [name for name in SUBJECTS if any(one.subject == name for one in found)]
    lines: dict[tuple[int, str], dict[str, str]] = {}
    for one in found:
        lines.setdefault((one.task, one.metric), {"tokens": f"{one.tokens:,}"})[one.subject] = _figure(one)
    rows = [["metric", *(SUBJECTS[name] for name in subjects), "tokens"]]
    for (task, metric), figures in lines.items():
        name = f"{metric}, {tasks[task - 1].title}" if task else metric
        rows.append([name, *(figures.get(column, "") for column in (*subjects, "tokens"))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in rows
    )


def _figure(one: Measured) -> str:
    if math.isnan(one.value):
        return "not measured"
    return f"{one.value:,.0f}" if one.metric in ("silent", "dense") else f"{one.value:,.4f}"


def _record(one: Measured) -> dict[str, Any]:
    return {**one._asdict(), "value": None if math.isnan(one.value) else one.value}
