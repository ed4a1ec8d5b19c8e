"""Writes a small atlas with known content: rings, lines, silent and dense experts, and text that tries to break a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.store import write_atlas

MONTHS = (
    "January February March April May June July August September October November December".split()
)  # fmt: skip
WORDS = """
 the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one
 you were all her she there would their we him been has when who will no more if out so up said what its about than
 into them can only other time new some could these two may first then do any like my now over such our man me even
 most made after also did many off before must well back through years much where your way down should because long
 each just state people those too mr how little good world make very year still see work life get here between both
 being under never day same another know while last might us great old off go come since against came right used take
 function value returns list string object method class module file error type argument default name key sequence
""".split()
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    " <b>bold</b>",
    " שלום",
    " مرحبا",
    " 👩‍🔬",
    "\u200b",
    "\u202e",
    "\u2028",
    "\n",
    "\t",
    " ",
    "__proto__",
    "&amp;",
    "\\",
)
SPELLINGS = {" their": " The", " into": "##ber", " state": " Straße", " string": " STRASSE", " while": " ΟΔΟΣ"}
"""Some words are written otherwise, so that texts of tokens repeat once they are folded for the search."""
VOCABULARY = [SPELLINGS.get(f" {word}", f" {word}") for word in dict.fromkeys(WORDS)] + [*HOSTILE]
FIRST_LABEL_TOKEN = 1000
THRESHOLD = 1.0


@dataclass(frozen=True)
class Size:
    """How much to write; the default is enough for every test and takes milliseconds."""

    experts: int = 40
    windows: int = 30
    window_tokens: int = 64
    points: int = 120
    month_templates: int = 10
    number_templates: int = 6
    logged_steps: int = 2_000


def kind(expert: int) -> str:
    """Return what the expert was made to be."""
    if expert % 20 == 3:
        return "silent"
    if expert % 20 == 11:
        return "dense"
    return ("ring", "line", "task", "ray", "clusters", "ray", "ray", "ring")[expert % 8]


def write_synthetic(path: Path, *, seed: int = 0, size: Size | None = None) -> Path:
    """Write the atlas and return its path."""
    write_atlas(path, synthetic_tables(seed=seed, size=size or Size()))
    return path


def synthetic_tables(*, seed: int = 0, size: Size | None = None) -> dict[str, dict[str, Any]]:
    """Return every table that the schema knows but run_log, by column."""
    size = size or Size()
    random = np.random.default_rng(seed)
    months, numbers = (
        _sentences(random, 1, MONTHS, size.month_templates),
        _sentences(random, 2, [str(number) for number in range(100)], size.number_templates),
    )
    corpus = [random.integers(0, len(VOCABULARY), size.window_tokens) for _ in range(size.windows)]
    firings = {expert: _firings(random, expert, size, months, numbers) for expert in range(size.experts)}
    tables: dict[str, dict[str, Any]] = {
        "provenance": _provenance(size),
        "experts": {
            "expert": np.arange(size.experts),
            "decoder_norm": random.uniform(0.8, 1.2, size.experts),
            "encoder_norm": random.uniform(0.8, 1.2, size.experts),
        },
        "tasks": _tasks(size),
        "labels": _labels(size),
        "hypotheses": _hypotheses(),
        "baselines": _baselines(),
        "windows": _windows(corpus, months, numbers),
        "vocabulary": _vocabulary(),
        "training_log": _training_log(size),
    }
    tables |= _per_expert(random, size, firings, corpus, months, numbers)
    tables["evaluation"] = _evaluation(tables["expert_stats"])
    return tables


def with_cross_entropy(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the tables of an atlas of a causal model: cross-entropy beside the rest, the mean ablation not measured."""
    nats = {"model": 2.34, "dictionary": 2.61, "pca": 2.55, "zero": 12.45, "mean": None}
    rows = [(0, subject, "cross_entropy", value, 49_152) for subject, value in nats.items()]
    for subject in ("dictionary", "pca"):
        rows.append((0, subject, "cross_entropy_score", (12.45 - (nats[subject] or 0.0)) / (12.45 - 2.34), 49_152))
    evaluation = tables["evaluation"]
    return tables | {
        "evaluation": {name: [*evaluation[name], *(row[at] for row in rows)] for at, name in enumerate(EVALUATION_COLUMNS)}
    }


@dataclass(frozen=True)
class Sentences:
    """The rows of a labelled task."""

    task: int
    tokens: list[npt.NDArray[Any]]
    position: npt.NDArray[Any]
    label: npt.NDArray[Any]
    template: npt.NDArray[Any]


def _sentences(random: np.random.Generator, task: int, labels: list[str] | tuple[str, ...], templates: int) -> Sentences:
    plain = len(VOCABULARY) - len(HOSTILE)
    shapes = [random.integers(0, plain, random.integers(4, 12)) for _ in range(templates)]
    label = np.repeat(np.arange(len(labels)), templates)
    template = np.tile(np.arange(templates), len(labels))
    position = np.array([len(shapes[t]) // 2 for t in template])
    tokens = [
        np.insert(shapes[t], place, FIRST_LABEL_TOKEN * task + name)
        for t, place, name in zip(template, position, label, strict=True)
    ]
    return Sentences(task, tokens, position, label, template)


@dataclass(frozen=True)
class Fired:
    """What one expert did on one task."""

    window: npt.NDArray[Any]
    position: npt.NDArray[Any]
    label: npt.NDArray[Any] | None
    xyz: npt.NDArray[Any]
    norm: npt.NDArray[Any]


def _firings(random: np.random.Generator, expert: int, size: Size, months: Sentences, numbers: Sentences) -> dict[int, Fired]:
    made = kind(expert)
    if made == "silent":
        return {}
    count = size.points
    if made == "clusters":
        centre = np.array([[2.5, 1.0, 0.0], [-1.5, 1.5, 0.5]])[random.integers(0, 2, count)]
        xyz = centre + random.normal(0, 0.25, (count, 3))
    elif made in ("ring", "task"):
        xyz = _on_ring(random, random.uniform(0, 12, count), noise=0.5)
    elif made == "line":
        xyz = _on_line(random, random.uniform(0, 100, count))
    else:
        xyz = np.outer(random.gamma(3, 1, count) + 1, [1.0, 0.15, 0.05]) + random.normal(0, 0.2, (count, 3))
    fired = {
        0: Fired(
            np.sort(random.integers(0, size.windows, count)),
            random.integers(0, size.window_tokens, count),
            None,
            xyz,
            np.linalg.norm(xyz, axis=1) + THRESHOLD,
        )
    }
    for sentences in (months, numbers):
        likes = {1: ("ring", "task"), 2: ("line",)}[sentences.task]
        chance = 0.95 if made in likes else 0.03 if made != "dense" else 0.5
        rows = np.flatnonzero(random.random(len(sentences.label)) < chance)
        label = sentences.label[rows]
        if made == "ring" and sentences.task == 1:
            places = _on_ring(random, label.astype(float), noise=0.2)
        elif made == "line" and sentences.task == 2:
            places = _on_line(random, label.astype(float))
        else:
            places = random.normal([1.5, 0.5, 0], [0.8, 0.5, 0.3], (len(rows), 3))
        norm = np.linalg.norm(places, axis=1) + THRESHOLD
        fired[sentences.task] = Fired(rows, sentences.position[rows], label, places, norm)
    return fired


def _on_ring(random: np.random.Generator, month: npt.NDArray[Any], *, noise: float) -> np.ndarray[Any, Any]:
    turn = 2 * np.pi * month / 12
    ring = np.stack([3 * np.cos(turn), 2.4 * np.sin(turn), np.full_like(turn, 1.5)], axis=1)
    return ring + random.normal(0, noise, ring.shape)


def _on_line(random: np.random.Generator, number: npt.NDArray[Any]) -> np.ndarray[Any, Any]:
    along = number / 50 - 1
    line = np.stack([4 * along, 1.6 * along**2, 0.4 + 0 * along], axis=1)
    return line + random.normal(0, 0.15, line.shape)


def _provenance(size: Size) -> dict[str, Any]:
    facts = {
        "model": {
            "id": "tiny-synthetic",
            "hook": "blocks.3.hook_resid_post",
            "class": "BertModel",
            "d_in": 384,
            "revision_or_sha256": "0" * 64,
            "note": "a bidirectional encoder: every token sees what follows it",
        },
        "dictionary": {
            "architecture": "smixae",
            "n_experts": size.experts,
            "d_expert": 16,
            "d_code": 3,
            "threshold": THRESHOLD,
            "sha256": "1" * 64,
        },
        "corpus": {
            "name": "synthetic",
            "title": "Words at random",
            "documents": size.windows,
            "tokens": 318_402,
            "held_out_tokens": 104_551,
            "description": "Frequent English words in no order, with a few tokens that a page must not trip over.",
            "sha256": "2" * 64,
        },
        "training": {"tokens": 2_000_000, "carrier_share": 0.048, "steps": 4_000, "k": 8},
        "fidelity": {"fvu_held_out": 0.274, "firings_per_token": 8.3, "held_out_tokens": HELD_OUT_TOKENS},
        "settings": {"seed": 0},
        "versions": {"atlas": "0.1.0"},
    }
    return {"key": list(facts), "value": [json.dumps(value) for value in facts.values()]}


def _tasks(size: Size) -> dict[str, Any]:
    return {
        "task": [0, 1, 2],
        "name": ["synthetic", "months", "numbers"],
        "title": ["Words at random", "Months", "Numbers 0–99"],
        "kind": ["corpus", "labelled", "labelled"],
        "family": ["corpus", "calendar", "number"],
        "description": ["Frequent English words.", "The twelve months in sentences.", "Numbers below a hundred."],
        "cyclic": [False, True, False],
        "tokens": [318_402, 12 * size.month_templates * 9, 100 * size.number_templates * 9],
        "held_out_tokens": [104_551, 12 * size.month_templates * 9, 100 * size.number_templates * 9],
        "rows": [318_402, 12 * size.month_templates, 100 * size.number_templates],
        "templates": [0, size.month_templates, size.number_templates],
        "dropped": [0, 0, 0],
    }


def _labels(size: Size) -> dict[str, Any]:
    return {
        "task": [1] * 12 + [2] * 100,
        "label": [*range(12), *range(100)],
        "name": [*MONTHS, *map(str, range(100))],
        "value": [float(value) for value in (*range(12), *range(100))],
        "rows": [size.month_templates] * 12 + [size.number_templates] * 100,
        "training_occurrences": [3 * month for month in range(12)] + [None] * 100,
    }


def _hypotheses() -> dict[str, Any]:
    turns = 2 * np.pi * np.arange(12) / 12
    digits = 2 * np.pi * np.arange(100) / 10
    return {
        "task": [1, 2, 2],
        "hypothesis": [0, 0, 1],
        "name": ["cyc_12m", "linear", "mod_10"],
        "title": ["12-month ring", "linear", "last digit ring"],
        "shape": ["ring", "ordinal", "ring"],
        "description": ["cosine and sine of the month", "the number itself", "cosine and sine of the last digit"],
        "targets": [
            np.stack([np.cos(turns), np.sin(turns)], 1).tolist(),
            [[float(number)] for number in range(100)],
            np.stack([np.cos(digits), np.sin(digits)], 1).tolist(),
        ],
        "chance": [3 / 11, 3 / 99, 3 / 99],
        "p_smallest": [0.0005, 0.0005, 0.4],
        "q": [0.001, 0.001, 0.4],
        "testable": [14, 9, 9],
    }


def _baselines() -> dict[str, Any]:
    references = ("chance", "random_projection", "top_components", "word_embedding")
    values = {(1, 0): (0.27, 0.58, 0.35, 0.81), (2, 0): (0.03, 0.66, 0.41, 0.9), (2, 1): (0.03, 0.22, 0.08, 0.77)}
    rows = [(*key, name, value) for key, row in values.items() for name, value in zip(references, row, strict=True)]
    return {
        "task": [row[0] for row in rows],
        "hypothesis": [row[1] for row in rows],
        "reference": [row[2] for row in rows],
        "metric": ["r2_all"] * len(rows),
        "value": [row[3] for row in rows],
    }


HELD_OUT_TOKENS = 104_551


def _evaluation(expert_stats: dict[str, Any]) -> dict[str, Any]:
    """Return how faithful the dictionary is; PCA does better on the corpus, worse on months, and has no norm ratio."""
    rates = np.array(expert_stats["rate"])
    both: dict[str, tuple[float, float | None]] = {
        "fvu": (0.274, 0.251),
        "fvu_uncentred": (0.1933, 0.1771),
        "cosine": (0.8947, 0.9058),
        "norm_ratio": (0.8861, None),
        "normalised_mse": (0.1989, 0.1802),
        "experts_per_token": (8.3, None),
        "coordinates_per_token": (24.9, 25.0),
    }
    rows: list[tuple[Any, ...]] = []
    for metric, (dictionary, pca) in both.items():
        rows.append((0, "dictionary", metric, dictionary, HELD_OUT_TOKENS))
        if metric != "experts_per_token":
            rows.append((0, "pca", metric, pca, HELD_OUT_TOKENS))
    alone = {"silent": float(sum(expert_stats["silent"])), "dense": float(sum(expert_stats["dense"]))}
    alone |= {f"rate_q{of}": float(np.quantile(rates, of / 100)) for of in (0, 10, 50, 90, 100)}
    rows += [(0, "dictionary", metric, value, HELD_OUT_TOKENS) for metric, value in alone.items()]
    rows += [(1, "dictionary", "fvu", 0.412, 120), (1, "pca", "fvu", 0.633, 120)]
    rows += [(2, "dictionary", "fvu", 1.62, 600), (2, "pca", "fvu", 0.588, 600)]
    return {name: [row[at] for row in rows] for at, name in enumerate(EVALUATION_COLUMNS)}


def _training_log(size: Size) -> dict[str, Any]:
    """Return a log of every tenth step, with one step where the loss stands far above all others."""
    random = np.random.default_rng(5)
    step = 10 * np.arange(1, size.logged_steps + 1)
    fall = np.exp(-np.arange(size.logged_steps) / (size.logged_steps / 6))
    loss = 110 + 260 * fall + random.normal(0, 3, size.logged_steps)
    if size.logged_steps > 0:
        loss[size.logged_steps // 3] = 900.0
    metrics = {
        "loss": loss,
        "fvu": loss / 384,
        "reconstruction_loss": loss - 2,
        "auxiliary_loss": 0.3 * (loss + random.normal(0, 4, size.logged_steps)),
        "dead": np.round(14 * fall + random.uniform(0, 2, size.logged_steps)),
        "threshold": 1.0 - 0.8 * fall,
        "experts_above_threshold": 8 + fall,
        "gradient_norm": 0.4 + fall,
        "learning_rate": 1e-3 * np.minimum(1, 5 * (1 - np.arange(size.logged_steps) / size.logged_steps)),
    }
    # Step by step, as a log is written.
    return {
        "step": np.repeat(step, len(metrics)),
        "metric": list(metrics) * size.logged_steps,
        "value": np.stack(list(metrics.values()), axis=1).reshape(-1),
    }


def _windows(corpus: list[npt.NDArray[Any]], months: Sentences, numbers: Sentences) -> dict[str, Any]:
    report = [template % 3 == 0 for sentences in (months, numbers) for template in sentences.template]
    lengths = [len(corpus), len(months.tokens), len(numbers.tokens)]
    return {
        "task": np.repeat([0, 1, 2], lengths),
        "window": np.concatenate([np.arange(length) for length in lengths]),
        "document": np.concatenate([np.arange(length) for length in lengths]),
        "ordinal": np.zeros(sum(lengths), int),
        "tokens": [*corpus, *months.tokens, *numbers.tokens],
        "position": [None] * len(corpus) + [*months.position.tolist(), *numbers.position.tolist()],
        "label": [None] * len(corpus) + [*months.label.tolist(), *numbers.label.tolist()],
        "template": [None] * len(corpus) + [*months.template.tolist(), *numbers.template.tolist()],
        "report": [None] * len(corpus) + report,
    }


def _vocabulary() -> dict[str, Any]:
    rows = [(0, token, text) for token, text in enumerate(VOCABULARY)]
    for task, names in ((1, MONTHS), (2, [str(number) for number in range(100)])):
        rows += [(task, token, text) for token, text in enumerate(VOCABULARY)]
        rows += [(task, FIRST_LABEL_TOKEN * task + label, f" {name}") for label, name in enumerate(names)]
    return {
        "task": [row[0] for row in rows],
        "token": [row[1] for row in rows],
        "text": [row[2] for row in rows],
        "count": [100] * len(rows),
    }


def _per_expert(
    random: np.random.Generator,
    size: Size,
    firings: dict[int, dict[int, Fired]],
    corpus: list[npt.NDArray[Any]],
    months: Sentences,
    numbers: Sentences,
) -> dict[str, dict[str, Any]]:
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
    for expert in range(size.experts):
        made = kind(expert)
        rate = {"silent": 0.0, "dense": 0.23}.get(made, float(random.gamma(1.2, 0.006)) + 1e-4)
        importance = 0.0 if made == "silent" else float(random.gamma(0.6, 0.004))
        rows["titles"].append(_title(expert, made))
        fired = firings[expert].get(0)
        rows["expert_stats"].append(
            (0, expert, round(rate * 318_402), round(rate * 104_551), rate, importance)
            + ((None, None) if fired is None else (float(fired.norm.mean()), float(fired.norm.max())))
            + (made == "silent", made == "dense")
        )
        for task, kept in firings[expert].items():
            for index in range(len(kept.window)):
                label = None if kept.label is None else int(kept.label[index])
                place = (int(kept.window[index]), int(kept.position[index]))
                point = (*map(float, kept.xyz[index]), float(kept.norm[index]))
                rows["points"].append((task, expert, *place, label, *point))
        if fired is not None:
            _evidence(rows, expert, fired, corpus)
        for sentences in (months, numbers):
            _probed(random, rows, expert, made, rate, sentences, firings[expert].get(sentences.task))
    rows["points"].sort(key=lambda row: (row[0], row[1]))
    return {table: dict(zip(_COLUMNS[table], map(list, zip(*rows[table], strict=True)), strict=True)) for table in _COLUMNS}


def _score(expert: int) -> float:
    return 0.55 + 0.3 * (expert * 7 % 11) / 10


def _title(expert: int, made: str) -> tuple[Any, ...]:
    if made == "silent":
        return (expert, "silent", "silent", None, "firings", 0.0)
    if made == "ring":
        return (expert, "Months, in order", "order", 1, "R² all rows", _score(expert))
    if made == "line":
        return (expert, "Numbers 0–99, in order", "order", 2, "R² all rows", _score(expert))
    if made == "task":
        return (expert, "Months", "task", 1, "lift", 14.2)
    tokens = (VOCABULARY[expert % len(VOCABULARY)], HOSTILE[expert % len(HOSTILE)].strip(" ") or "the")
    return (expert, " · ".join(tokens), "tokens", None, "lift", 31.4 - expert / 1000)


def _evidence(rows: dict[str, list[tuple[Any, ...]]], expert: int, fired: Fired, corpus: list[Any]) -> None:
    strongest = np.argsort(-fired.norm, kind="stable")[:20]
    for rank, index in enumerate(strongest):
        place = (int(fired.window[index]), int(fired.position[index]))
        rows["top_firings"].append((0, expert, "top", rank, *place, float(fired.norm[index])))
    tokens = [int(corpus[window][position]) for window, position in zip(fired.window, fired.position, strict=True)]
    counted = sorted(((tokens.count(token), token) for token in set(tokens)), key=lambda pair: (-pair[0], pair[1]))
    for rank, (count, token) in enumerate(counted[:12]):
        share = count / len(tokens)
        rows["expert_tokens"].append((0, expert, rank, token, count, len(tokens), share, share * len(VOCABULARY)))
    bins = np.floor(8 * np.log2(fired.norm / THRESHOLD)).astype(int)
    for place in np.unique(bins):
        lower = THRESHOLD * 2 ** (int(place) / 8)
        rows["norm_histogram"].append((0, expert, int(place), lower, int((bins == place).sum())))


def _probed(
    random: np.random.Generator,
    rows: dict[str, list[tuple[Any, ...]]],
    expert: int,
    made: str,
    rate: float,
    sentences: Sentences,
    fired: Fired | None,
) -> None:
    if fired is None or fired.label is None:
        return
    labels, counts = np.unique(sentences.label, return_counts=True)
    for label, of in zip(labels, counts, strict=True):
        here = fired.label == label
        if here.any():
            fires = float(here.sum() / of)
            mean = map(float, fired.xyz[here].mean(axis=0))
            smoothed = (here.sum() + 20 * rate) / (of + 20)
            rows["label_stats"].append(
                (sentences.task, int(label), expert, int(here.sum()), fires, float(smoothed / rate), *mean)
            )
    covered = int(sum((fired.label == label).sum() >= of / 2 for label, of in zip(labels, counts, strict=True)))
    testable = len(fired.label) >= 50
    for hypothesis in (0,) if sentences.task == 1 else (0, 1):
        supported = hypothesis == 0 and (made, sentences.task) in {("ring", 1), ("line", 2)}
        value = float(_score(expert) if supported else random.uniform(-0.05, 0.3))
        p = 0.002 if supported else float(random.uniform(0.2, 1))
        rows["scores"].append(
            (sentences.task, hypothesis, expert, expert, value + 0.01, value, value - 0.07, value + 0.06)
            + (value + 0.05, len(fired.label) // 3, value - 0.1, covered, 0.9 if covered else None)
            + (len(fired.label), testable, p if testable else None, p if testable else None, supported)
        )


EVALUATION_COLUMNS = ("task", "subject", "metric", "value", "tokens")
_COLUMNS = {
    "titles": ("expert", "title", "basis", "task", "measure", "value"),
    "expert_stats": (
        *("task", "expert", "firings", "held_out_firings", "rate", "importance", "mean_norm", "max_norm"),
        *("silent", "dense"),
    ),
    "points": ("task", "expert", "window", "position", "label", "x", "y", "z", "norm"),
    "top_firings": ("task", "expert", "stratum", "rank", "window", "position", "norm"),
    "expert_tokens": ("task", "expert", "rank", "token", "count", "sampled", "share", "lift"),
    "norm_histogram": ("task", "expert", "bin", "lower", "count"),
    "label_stats": ("task", "label", "expert", "fired", "fires", "lift", "x", "y", "z"),
    "scores": (
        *("task", "hypothesis", "expert", "rank", "r2_ranking", "r2_all", "r2_all_low", "r2_all_high", "r2_fires"),
        *("rows_fires", "r2_left_out_label", "covered", "covered_least", "active_rows", "testable", "p_order"),
        *("p_order_adjusted", "order_supported"),
    ),
}
