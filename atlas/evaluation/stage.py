"""The evaluate stage: how faithfully a dictionary rebuilds text that it was not trained on, beside plain principal components.

Held-out rows come from documents of the fifth that a hash chooses, so that they are the same for every dictionary; those that
this one was trained on are left out. Documents outside the fifth give the principal components, and the mean of mean-ablation.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel, Specials
from atlas.activations.stream import PADDING_STEP, blocks, chunk_windows, padded, row_blocks
from atlas.dictionary import Checkpoint
from atlas.dictionary.training_log import read_log
from atlas.errors import CorpusError, DictionarySilent
from atlas.evaluation.cross_entropy import CrossEntropies, cross_entropies
from atlas.evaluation.fidelity import Components, Fidelity, Measured, principal_components, ratio
from atlas.evaluation.text import EvaluatedText, EvaluationConfig, HeldOut, held_out_text, is_outside
from atlas.harvest.harvest import SILENT_TOKENS, require_same_width
from atlas.harvest.inputs import describe_run, require_same_threads
from atlas.probe.rows import task_rows
from atlas.probe.tasks import Task
from atlas.stages import Column, Stage, fingerprint, finished, is_finished, require_same_inputs

STAGE = "evaluate"

DENSE_RATE = 0.1
"""An expert that fires on more than this share of tokens is dense."""

RATE_QUANTILES = (0, 10, 50, 90, 100)
"""Percentiles over experts at which the firing rate is kept."""

TASK_ROWS = 1000
"""Rows of a labelled task that FVU is measured on at most, evenly over them."""

CE_PASSES = 5
"""Forward passes of the whole model over the tokens of cross-entropy."""

TIMED_WINDOWS = 8
"""Windows that an evaluation's time is estimated from."""


def evaluate(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    work: Path,
    config: EvaluationConfig,
    tasks: Sequence[Task],
    plan: HeldOut | None = None,
    counted: Callable[[int], None] = lambda _: None,
) -> list[Measured]:
    """Measure a dictionary's fidelity, keep the figures in `work/evaluate`, and return them in reading order.

    Of a corpus that is too small to hold text out there are none.

    `plan` is what `held_out_text` gave where it has been called already; `counted` is told the tokens of every block, once for
    each forward pass, as `passed_tokens` counts them.

    Raises:
        WorkOccupied: the folder holds an evaluation of other inputs, or the harvest of another dictionary or model.
        CorpusError: the corpus has too little text to hold some of it out.
        ModelError: the model's width is not the dictionary's, or it returns a value that is not finite.
        DictionarySilent: no expert fires on thousands of tokens.
    """
    require_same_width(checkpoint, model)
    plan = plan or held_out_text(checkpoint, corpus, model.tokenizer, config)
    inputs = evaluation_inputs(checkpoint, model, corpus, plan, config, tasks)
    stage = Stage(work, STAGE, inputs)
    if is_evaluated(work, inputs):
        return measured(work)
    require_same_threads(work, inputs["device"])
    text_origin = corpus.origin(plan.files)
    log = _log_columns(read_log(checkpoint.path))
    origin = {"settings": {"evaluate": inputs["settings"]}, "devices": {STAGE: inputs["device"]}}
    if not plan.suffices:
        stage.finish({"evaluation": _columns([]), "training_log": log}, origin)
        return []
    text = EvaluatedText(corpus, checkpoint, plan, model, config, counted)
    smixae = checkpoint.smixae

    outside = text.blocks(is_outside, config.pca_rows, plan.pca_share)
    pca = principal_components((x[:n] for x, n in outside), smixae)
    on_corpus = Fidelity(smixae, pca)
    for x, n in text.blocks(text.is_held_out, config.tokens):
        on_corpus.update(x, n)
    if not on_corpus.tokens or not pca.rows:
        raise CorpusError(
            f"The corpus '{corpus.name}' holds no token but special ones in its documents held out, or in the others."
        )
    if on_corpus.tokens >= SILENT_TOKENS and not on_corpus.firings.any():
        raise DictionarySilent(
            f"No expert fires on any of {on_corpus.tokens:,} held-out tokens; the threshold is {smixae.threshold:.3g}. It is "
            "probably the wrong layer or model: check --model and --hook."
        )
    coordinates = float(on_corpus.firings.sum()) / on_corpus.tokens * smixae.d_code
    # Rounded from what is reported, so that both rebuild a token from equally many numbers; a basis has no more than d_in.
    n_components = min(round(coordinates), smixae.d_in)

    found = _corpus_figures(on_corpus, n_components)
    entropies = None
    if model.has_head:
        entropies = cross_entropies(text, smixae, pca, n_components)
        found += _entropy_figures(entropies)
    for number, task in enumerate(tasks, start=1):
        x = task_rows(_measured_rows(task), model, config.stream).x
        on_task = Fidelity(smixae, pca)
        for block, n in row_blocks(x):
            on_task.update(block, n)
        found += on_task.figures(number, n_components, ("fvu",))
        counted(len(x) * PADDING_STEP)
    about = {
        "corpus": corpus.title,
        "documents": plan.documents,
        "tokens": on_corpus.tokens,
        "pca_rows": pca.rows,
        "pca_components": n_components,
        "ce_tokens": entropies.tokens if entropies else None,
        "sha256": plan.sha256,
        **text_origin,
    }
    stage.finish(
        {"evaluation": _columns(found), "training_log": log},
        {"evaluation": about, **origin},
    )
    return measured(work)


def _measured_rows(task: Task) -> Task:
    """Return a task with at most `TASK_ROWS` of its rows."""
    chosen = np.linspace(0, len(task.sentences) - 1, min(len(task.sentences), TASK_ROWS)).round().astype(int).tolist()
    return replace(task, sentences=tuple(task.sentences[row] for row in chosen))


def passed_tokens(model: LanguageModel, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]) -> int:
    """Return about how many tokens go through the model, once for each pass; a task's sentence counts as what it is padded to."""
    sentences = sum(len(_measured_rows(task).sentences) for task in tasks)
    return plan.pca_rows + plan.tokens + sentences * PADDING_STEP + _predicted_tokens(model, plan, config)


def estimated_seconds(
    checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]
) -> float:
    """Return about how long an evaluation takes, by the longest windows of the corpus' first chunk, run once to warm up."""
    smixae = checkpoint.smixae
    windows = chunk_windows(next(corpus.chunks()), model.tokenizer, config.stream)
    longest = sorted(windows, key=lambda window: -len(window.token_ids))[:TIMED_WINDOWS]
    if not longest:
        return 0.0
    basis = torch.eye(smixae.d_in, dtype=torch.float64, device=smixae.device)
    fidelity = Fidelity(smixae, Components(torch.zeros_like(basis[0]), basis, 0))

    def rebuild() -> None:
        for x, tokens in blocks(longest, model, config.stream):
            fidelity.update(x, len(tokens.document))

    def predict() -> None:
        ids, attended, _ = padded(longest, Specials(model.tokenizer))
        model.logits(ids.to(model.device), attended.to(model.device))

    n = sum(len(window.token_ids) for window in longest)
    predicted = _predicted_tokens(model, plan, config)
    seconds = _seconds(rebuild, model) / n * (passed_tokens(model, plan, config, tasks) - predicted)
    return seconds + (_seconds(predict, model) / n * predicted if predicted else 0.0)


def _predicted_tokens(model: LanguageModel, plan: HeldOut, config: EvaluationConfig) -> int:
    return CE_PASSES * min(plan.tokens, config.ce_tokens) if model.has_head else 0


def _seconds(work: Callable[[], None], model: LanguageModel) -> float:
    """Return how long some work takes the second time."""
    started = 0.0
    for _ in range(2):
        started = time.perf_counter()
        work()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
    return time.perf_counter() - started


def measured(work: Path) -> list[Measured]:
    """Return the figures of the finished evaluation in a work folder, in reading order.

    Raises:
        StageMissing: there is none.
    """
    columns = finished(work, STAGE).tables["evaluation"]
    rows = zip(*(columns[name] for name in Measured._fields), strict=True)
    return [Measured(int(task), subject, metric, float(value), int(tokens)) for task, subject, metric, value, tokens in rows]


def is_evaluated(work: Path, inputs: Mapping[str, Any]) -> bool:
    """Return whether the work folder holds the evaluation that these inputs give.

    Raises:
        WorkOccupied: it holds one of other inputs, or the harvest of another dictionary or model.
    """
    require_own(work, inputs)
    return is_finished(work, STAGE)


def require_own(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of an evaluation's inputs with the evaluation and the harvest in the work folder.

    Raises:
        WorkOccupied: they differ; of a harvest, in the dictionary or the model.
    """
    wanted = json.loads(json.dumps(known))
    for stage, keys in ((STAGE, wanted), ("harvest", wanted.keys() & {"checkpoint", "model"})):
        if is_finished(work, stage):
            inputs = fingerprint(work, stage)
            require_same_inputs(work / stage, {key: inputs.get(key) for key in keys}, {key: wanted[key] for key in keys})


def known_inputs(
    checkpoint: Checkpoint, corpus: Corpus, plan: HeldOut, config: EvaluationConfig, tasks: Sequence[Task]
) -> dict[str, Any]:
    """Return those inputs of an evaluation that are known before its model is loaded."""
    log = read_log(checkpoint.path)
    return {
        "checkpoint": checkpoint.sha256,
        "trained_on": checkpoint.trained_on.sha256 if checkpoint.trained_on else None,
        "training_log": hashlib.sha256(json.dumps(log).encode()).hexdigest() if log else None,
        "corpus": {"name": corpus.name, "sha256": plan.sha256},
        "tasks": {task.name: task.fingerprint() for task in tasks},
        "settings": asdict(config),
    }


def evaluation_inputs(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpus: Corpus,
    plan: HeldOut,
    config: EvaluationConfig,
    tasks: Sequence[Task],
) -> dict[str, Any]:
    """Return everything that determines the result of an evaluation."""
    return {
        **known_inputs(checkpoint, corpus, plan, config, tasks),
        **describe_run(model),
    }


def _corpus_figures(on_corpus: Fidelity, n_components: int) -> list[Measured]:
    """Return what is measured on the corpus without a language-model head."""
    tokens = on_corpus.tokens
    rates = on_corpus.firings.cpu().numpy() / tokens
    d_code = on_corpus.smixae.d_code
    found = on_corpus.figures(0, n_components, ("fvu", "fvu_uncentred", "cosine", "norm_ratio", "normalised_mse"))
    experts = float(rates.sum())
    of_dictionary = {
        "experts_per_token": experts,
        "coordinates_per_token": experts * d_code,
        "silent": float((rates == 0).sum()),
        "dense": float((rates > DENSE_RATE).sum()),
        **{f"rate_q{q}": float(np.quantile(rates, q / 100)) for q in RATE_QUANTILES},
    }
    for metric, value in of_dictionary.items():
        found.append(Measured(0, "dictionary", metric, value, tokens))
        if metric == "coordinates_per_token":
            found.append(Measured(0, "pca", metric, float(n_components), tokens))
    return found


def _entropy_figures(found: CrossEntropies) -> list[Measured]:
    """Return the cross-entropies, and for what rebuilds rows the share of the zeroed model's loss that it avoids."""
    values = found._asdict()
    del values["tokens"]
    figures = [Measured(0, subject, "cross_entropy", value, found.tokens) for subject, value in values.items()]
    for subject in ("dictionary", "pca"):
        score = ratio(found.zero - values[subject], found.zero - found.model)
        figures.append(Measured(0, subject, "cross_entropy_score", score, found.tokens))
    return figures


def _columns(found: Sequence[Measured]) -> dict[str, Column]:
    return {
        "task": np.array([one.task for one in found], dtype=np.int32),
        "subject": [one.subject for one in found],
        "metric": [one.metric for one in found],
        "value": np.array([one.value for one in found]),
        "tokens": np.array([one.tokens for one in found], dtype=np.int64),
    }


def _log_columns(log: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    """Return a training's log with a row for every figure of every step; one that is not a number has none."""
    rows = [
        (int(entry["step"]), metric, float(value))
        for entry in log
        for metric, value in entry.items()
        if metric != "step" and np.isfinite(value)
    ]
    return {
        "step": np.array([step for step, _, _ in rows], dtype=np.int64),
        "metric": [metric for _, metric, _ in rows],
        "value": np.array([value for _, _, value in rows], dtype=np.float64),
    }
