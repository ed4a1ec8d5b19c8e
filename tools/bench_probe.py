"""What the probes of a task cost beside a loop over experts with scikit-learn: the figures of docs/benchmarks/probe.md.

.venv/bin/python tools/bench_probe.py scores       # all scores of the twelve months' three hypotheses
.venv/bin/python tools/bench_probe.py reference    # the same hypotheses by the reference's protocol
.venv/bin/python tools/bench_probe.py null         # the label-order null of the two that have an order
.venv/bin/python tools/bench_probe.py growth       # all scores and nulls at 512 to 16,384 experts
.venv/bin/python tools/bench_probe.py tasks        # all that a probe computes of all built-in tasks but the rows
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from atlas.dictionary import Smixae, SmixaeConfig, Weights
from atlas.probe.config import ProbeConfig
from atlas.probe.found import find
from atlas.probe.rows import Probed, TaskRows
from atlas.probe.scores import Fired, Rows, class_scores, label_order, reference_firings, reference_scores, scores, sums
from atlas.probe.tasks import builtin_tasks

N_LABELS, N_ROWS, N_EXPERTS, D_CODE, RATE = 12, 1000, 2048, 3, 0.10
ROWS_PER_GROUP = 84
"""Seven templates with every month."""
D_IN = 384
N_LOOPED = 20
"""Experts that the loop is timed on."""
N_TURNS = 5


class Task(NamedTuple):
    """The twelve months, and made-up experts that tell them more or less well."""

    rows: Rows
    fired: Fired
    ring: np.ndarray
    """Per label; so are the others."""
    order: np.ndarray
    season: np.ndarray


def months(n_experts: int) -> Task:
    """Return a thousand rows in twelve groups, a third of them the report set, and experts that fire on a tenth of the rows."""
    rng = np.random.default_rng(0)
    row = np.arange(N_ROWS)
    template = row // N_LABELS
    fold = np.arange(template[-1] + 1) * N_LABELS // ROWS_PER_GROUP
    rows = Rows(row % N_LABELS, template, fold, fold % 3 == 1, N_LABELS)
    angle = 2 * np.pi * np.arange(N_LABELS) / N_LABELS
    expert, at = np.nonzero(rng.random((n_experts, N_ROWS)) < RATE)
    place = rng.standard_normal((n_experts, N_LABELS, D_CODE))
    noise = rng.uniform(0.2, 3, n_experts)[expert, None] * rng.standard_normal((len(at), D_CODE))
    code = (place[expert, rows.label[at]] + noise).astype(np.float32)
    ring = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return Task(rows, Fired(at, expert, code), ring, np.arange(12.0)[:, None], (np.arange(12) + 1) // 3 % 4)


def all_scores(task: Task, n_experts: int) -> None:
    """Compute every score of the three hypotheses."""
    given = sums(task.rows, task.fired, n_experts)
    scores(given, task.ring[task.rows.label], 0)
    scores(given, task.order[task.rows.label], 0)
    class_scores(task.rows, task.fired, n_experts, task.season[task.rows.label], 4, 0)


def by_reference(task: Task, n_experts: int) -> None:
    """Compute the reference's scores of the three hypotheses."""
    fired, _ = reference_firings(task.fired, N_ROWS, n_experts, 0)
    for of_label, kind in ((task.ring, "linear"), (task.order, "linear"), (task.season[:, None], "multinomial")):
        reference_scores(fired, n_experts, of_label[task.rows.label].astype(np.float64), kind)


def nulls(task: Task, n_experts: int) -> None:
    """Compute the label-order null of the ring and of the order."""
    given = sums(task.rows, task.fired, n_experts)
    for of_label in (task.ring, task.order):
        label_order(given, of_label, 0)


def looped_scores(task: Task, experts: range) -> None:
    """Fit what `all_scores` fits, by scikit-learn: without each group, to all ranking rows, and without each label.

    It makes no interval and no score where an expert fires.
    """
    rows, season = task.rows, task.season[task.rows.label]
    report, fold = rows.report[rows.template], rows.fold[rows.template]
    splits = [(~report & (fold != f), ~report & (fold == f)) for f in np.unique(fold[~report])]
    splits += [(~report, report), *((~report & (rows.label != k), report & (rows.label == k)) for k in range(N_LABELS))]
    for expert in experts:
        mine = task.fired.expert == expert
        active, code = np.zeros(N_ROWS, dtype=bool), np.zeros((N_ROWS, D_CODE))
        active[task.fired.row[mine]], code[task.fired.row[mine]] = True, task.fired.code[mine]
        for train, test in splits:
            for of_label in (task.ring, task.order):
                _regressed(code, active, of_label[rows.label], train, test)
            _classified(code, active, season, train, test)


def _regressed(code: np.ndarray, active: np.ndarray, truth: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Return the squared error on `test`."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(code[train & active], truth[train & active])
    told = np.tile(truth[train & ~active].mean(axis=0), (len(truth), 1))
    if (test & active).any():
        told[test & active] = model.predict(code[test & active])
    return float(((truth[test] - told[test]) ** 2).sum())


def _classified(code: np.ndarray, active: np.ndarray, truth: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Return how many of `test` are told right."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n = np.bincount(truth[train], minlength=4)
    weight = dict(enumerate(n.sum() / 4 / n))
    weight = {k: weight[k] for k in np.unique(truth[train & active])}
    told = np.full(len(truth), (np.bincount(truth[train & ~active], minlength=4) / n).argmax())
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight=weight, max_iter=1000))
    model.fit(code[train & active], truth[train & active])
    if (test & active).any():
        told[test & active] = model.predict(code[test & active])
    return float((told[test] == truth[test]).sum())


def looped_reference(task: Task, experts: range) -> None:
    """Run the reference's own pipelines with scikit-learn, expert by expert."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for expert in experts:
        mine = task.fired.expert == expert
        row, code = task.fired.row[mine], task.fired.code[mine].astype(np.float64)
        label = task.rows.label[row]
        for of_label in (task.ring, task.order):
            cross_val_score(make_pipeline(StandardScaler(), LinearRegression()), code, of_label[label], cv=KFold(5), scoring="r2")
        folds = StratifiedKFold(int(np.clip(np.bincount(task.season[label]).min(), 2, 5)))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        cross_val_score(model, code, task.season[label], cv=folds, scoring="f1_macro")


def tasks() -> None:
    """Print what everything beside the language model takes, of each built-in task: made-up rows, a random dictionary."""
    smixae = random_dictionary()
    config = ProbeConfig()
    total = 0.0
    for task in builtin_tasks():
        n = len(task.sentences)
        generator = torch.Generator().manual_seed(0)
        place = torch.randn(len(task.labels), D_IN, generator=generator)
        label = torch.tensor([one.label for one in task.sentences])
        x = place[label] + torch.randn(n, D_IN, generator=generator)
        probed = [Probed(one, [0], 0, [one.label]) for one in task.sentences]
        run = TaskRows(probed, x, np.arange(n), 0)
        begun = time.perf_counter()
        found = find(task, run, smixae, place[label].numpy(), "None.", None, config)
        took = time.perf_counter() - begun
        total += took
        rate = len(found.sentences.fired.row) / n / N_EXPERTS
        print(
            f"{task.name:15} {n:6,} rows, {len(task.labels):3} labels, {len(task.hypotheses)} hypotheses, "
            f"{len(found.sentences.experts):5,} experts probed, rate {rate:.2f}: {took:6.1f} s",
            flush=True,
        )
    print(f"{total:.0f} s in all")


def random_dictionary() -> Smixae:
    """Return 2,048 random experts that fire on about a tenth of random rows."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    config = SmixaeConfig(D_IN, N_EXPERTS, 8, D_CODE, rescale_by_decoder_norm=False)
    hidden = config.d_hidden
    weights = Weights(
        W_enc=normal(D_IN, hidden, scale=D_IN**-0.5),
        b_enc=torch.zeros(hidden),
        W_bottleneck=normal(N_EXPERTS, 8, D_CODE),
        W_latent_dec=normal(N_EXPERTS, D_CODE, 8),
        W_dec=normal(hidden, D_IN, scale=D_IN**-0.5),
        b_dec=torch.zeros(D_IN),
    )
    rows = normal(1024, D_IN, scale=2**0.5)
    norms = Smixae(config, weights, 0.0).norms(rows)
    return Smixae(config, weights, float(norms.flatten()[::7].quantile(1 - RATE)))


def timed(work: Callable[..., Any], *given: Any) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started


def beside(ours: Callable[[Task, int], None], loop: Callable[[Task, range], None]) -> None:
    """Print time per expert, ours for all experts at once and the loop's for a few, in turns; the quickest turn of each."""
    task = months(N_EXPERTS)
    ours(task, N_EXPERTS)
    loop(task, range(2))
    turns = [(timed(ours, task, N_EXPERTS), timed(loop, task, range(k * N_LOOPED, (k + 1) * N_LOOPED))) for k in range(N_TURNS)]
    batched, looped = (min(column) for column in zip(*turns, strict=True))
    each, alone = 1e3 * batched / N_EXPERTS, 1e3 * looped / N_LOOPED
    print(f"{N_EXPERTS:,} experts, {len(task.fired.row):,} firings on {N_ROWS:,} rows: {batched:.2f} s, {each:.3f} ms an expert")
    print(f"scikit-learn, {N_LOOPED} experts: {looped:.2f} s, {alone:.1f} ms an expert, {alone / each:.0f} times as long")
    ratios = sorted((b / N_LOOPED) / (a / N_EXPERTS) for a, b in turns)
    print(f"  turn by turn {', '.join(f'{ratio:.0f}' for ratio in ratios)} times")


def null() -> None:
    """Print the time of the two nulls."""
    task = months(N_EXPERTS)
    spent = min(timed(nulls, task, N_EXPERTS) for _ in range(N_TURNS))
    print(f"{N_EXPERTS:,} experts, 2 hypotheses, 2,000 permutations: {spent:.2f} s, {1e3 * spent / N_EXPERTS:.3f} ms an expert")


def growth() -> None:
    """Print times by number of experts."""
    for n_experts in (512, 2048, 8192, 16_384):
        task = months(n_experts)
        parts = [timed(work, task, n_experts) for work in (all_scores, by_reference, nulls)]
        print(f"{n_experts:6,} experts: scores {parts[0]:6.2f} s, reference {parts[1]:6.2f} s, nulls {parts[2]:6.2f} s")


if __name__ == "__main__":
    known: dict[str, Callable[[], None]] = {
        "scores": lambda: beside(all_scores, looped_scores),
        "reference": lambda: beside(by_reference, looped_reference),
        "null": null,
        "growth": growth,
        "tasks": tasks,
    }
    if len(sys.argv) == 2 and sys.argv[1] in known:
        known[sys.argv[1]]()
    else:
        sys.exit(__doc__)
