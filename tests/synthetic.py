"""Writes a small atlas with known content: rings, lines, silent and dense experts, and text that tries to break a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.store import write_atlas

MONTHS = tuple(
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
SPELLINGS = {
    " may": " May",
    " their": " The",
    " into": "##ber",
    " state": " Straße",
    " string": " STRASSE",
    " while": " ΟΔΟΣ",
    " module": "東京都",
}
"""Some words are written otherwise: one is a label, which the corpus so mentions; texts of others are equal once folded."""
VOCABULARY = [SPELLINGS.get(f" {word}", f" {word}") for word in dict.fromkeys(WORDS)] + [*HOSTILE]
FIRST_TOKENS = {"months": 1000, "numbers": 2000, "body_parts": 3000, "newline_80": 4000}
"""The token of each labelled task's first label."""
BODY_PARTS = tuple("head face neck shoulder chest back arm elbow wrist hand abdomen hip leg knee ankle foot".split())
CELLS = {"T cell": "#1f77b4", "B cell": "#ffff00", "monocyte": "#101010", "platelet": "#ff69b4"}
"""Labels of a task without text, with colours; two of these cannot be seen on a light or a dark page as they are."""
SEASONS = ("winter", "spring", "summer", "autumn")
THRESHOLD = 1.0
CORPORA = (("synthetic", "Words at random", 318_402, 104_551), ("second", "More words at random", 96_000, 32_000))
"""Name, title, tokens and held-out tokens of each corpus that an atlas may hold."""
STRONGEST = 20
SAMPLED_TOKENS = 50
NEIGHBOURS = 5
"""Of those that fire together; of the other kinds 20."""


@dataclass(frozen=True)
class Size:
    """How much to write; the default is enough for every test and takes milliseconds."""

    experts: int = 40
    windows: int = 30
    window_tokens: int = 64
    points: int = 120
    month_templates: int = 10
    number_templates: int = 6
    part_templates: int = 6
    logged_steps: int = 2_000
    corpora: int = 1
    """One or two; the labelled tasks follow them."""
    more_tasks: bool = False
    """Behind months and numbers also body parts (no hypothesis), cells (no text), and a place in a line (measures of its own)."""
    d_code: int = 3
    """Below 3 the clouds are flattened onto their first axes; above, the axes behind the third hold little."""


Corpus = list[npt.NDArray[Any]]
"""The token ids of each window."""
LABELS = {"months": MONTHS, "numbers": tuple(str(number) for number in range(100))}


@dataclass(frozen=True)
class Labelled:
    """A labelled task as the atlas states it."""

    name: str
    title: str
    family: str
    description: str
    labels: tuple[str, ...]
    templates: int
    cyclic: bool = False
    values: tuple[float, ...] = ()
    """From 0 if none are given."""
    colours: tuple[str, ...] = ()
    needs: str = ""


def labelled_tasks(size: Size) -> list[Labelled]:
    """Return the labelled tasks of an atlas of this size, in order."""
    few = [
        Labelled("months", "Months", "calendar", "The twelve months in sentences.", MONTHS, size.month_templates, cyclic=True),
        Labelled("numbers", "Numbers 0–99", "number", "Numbers below a hundred.", LABELS["numbers"], size.number_templates),
    ]
    if not size.more_tasks:
        return few
    lines = tuple(str(end) for end in range(10, 81, 10))
    return [
        *few,
        Labelled("body_parts", "Body parts", "body", "Sixteen parts, head to foot.", BODY_PARTS, size.part_templates),
        Labelled("cells", "Cell types", "cell", "Four types of cells.", tuple(CELLS), 30, colours=tuple(CELLS.values())),
        Labelled(
            "newline_80",
            "Place in a line of 80 characters",
            "line",
            "Reflowed text.",
            lines,
            8,
            values=tuple(map(float, lines)),
            needs="It needs a tokenizer that keeps newlines.",
        ),
    ]


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
    tasks = labelled_tasks(size)
    labelled = [_sentences(random, number, task) for number, task in enumerate(tasks[:2], start=size.corpora)]
    # What an atlas of one corpus holds does not change with what was added later: that has a source of its own.
    others = [np.random.default_rng([seed, task]) for task in range(1, size.corpora)]
    draws = [random, *others]
    corpora = [[draw.integers(0, len(VOCABULARY), size.window_tokens) for _ in range(size.windows)] for draw in draws]
    firings = {
        expert: {0: _on_corpus(random, expert, size)}
        | {sentences.task: _on_sentences(random, expert, sentences, size.d_code) for sentences in labelled}
        | {task: _on_corpus(draw, expert, size) for task, draw in enumerate(others, start=1)}
        if kind(expert) != "silent"
        else {}
        for expert in range(size.experts)
    }
    more = np.random.default_rng([seed, 0, 4])
    labelled += [_sentences(more, number, task) for number, task in enumerate(tasks[2:], start=size.corpora + 2)]
    for expert in firings:
        if firings[expert]:
            firings[expert] |= {sentences.task: _on_sentences(more, expert, sentences, size.d_code) for sentences in labelled[2:]}
    tables: dict[str, dict[str, Any]] = {
        "provenance": _provenance(size),
        "experts": {
            "expert": np.arange(size.experts),
            "decoder_norm": random.uniform(0.8, 1.2, size.experts),
            "encoder_norm": random.uniform(0.8, 1.2, size.experts),
        },
        "tasks": _tasks(size),
        "labels": _labels(size),
        "hypotheses": _hypotheses(size),
        "baselines": _baselines(size),
        "windows": _windows(corpora, labelled),
        "vocabulary": _vocabulary(size),
        "absences": _absences(),
        "training_log": _training_log(size),
    }
    later = np.random.default_rng([seed, 0, 3])
    tables |= _per_expert(random, later, size, firings, corpora, labelled)
    tables |= _sampled(later, size, corpora)
    tables["evaluation"] = _evaluation(size, tables["expert_stats"])
    tables |= _prompts(size)
    tables |= _jointly(size)
    return tables | _geometry(np.random.default_rng([seed, 0, 5]), size, firings, labelled)


PROMPT_TOKENS = (
    tuple("the year of May and their first world".split()),
    (*(text.lstrip() for text in HOSTILE), "[SEP]", *WORDS[:64]),
)
"""Of each prompt: a short one, and one of two windows with tokens that a page must not trip over and a special one."""
PROMPT_WINDOW = 48
SPECIAL = "[SEP]"


def prompt_norm(expert: int, position: int) -> float:
    """Return an expert's norm on a token of any prompt: some never come near, some come near and never fire, others do."""
    if expert % 5 == 4:
        return 0.1
    if kind(expert) == "silent" or expert % 5 == 3:
        return 0.3 + (expert + position) % 6 / 10
    return (expert * 7 + position * 5) % 24 / 8 + (expert + 1) / 1000  # no two alike


def _prompts(size: Size) -> dict[str, dict[str, Any]]:
    tokens, norms = [], []
    for prompt, texts in enumerate(PROMPT_TOKENS):
        for position, text in enumerate(texts):
            special = text == SPECIAL
            tokens.append(
                (prompt, position, 5_000 + position, text if special else f" {text}", position // PROMPT_WINDOW, special)
            )
        for expert in range(size.experts):
            row = [0.0 if text == SPECIAL else prompt_norm(expert, position) for position, text in enumerate(texts)]
            if max(row) >= THRESHOLD / 2:
                norms.append((prompt, expert, row))
    columns = ("prompt", "position", "token", "text", "window", "special")
    return {
        "prompts": {"prompt": [0, 1], "text": [" ".join(texts) for texts in PROMPT_TOKENS]},
        "prompt_tokens": {name: [row[at] for row in tokens] for at, name in enumerate(columns)},
        "prompt_norms": {name: [row[at] for row in norms] for at, name in enumerate(("prompt", "expert", "norms"))},
    }


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
    name: str
    tokens: list[npt.NDArray[Any]]
    position: npt.NDArray[Any]
    label: npt.NDArray[Any]
    template: npt.NDArray[Any]


def _sentences(random: np.random.Generator, task: int, of: Labelled) -> Sentences:
    label = np.repeat(np.arange(len(of.labels)), of.templates)
    template = np.tile(np.arange(of.templates), len(of.labels))
    if of.name not in FIRST_TOKENS:  # rows that are no text
        no_text: list[npt.NDArray[Any]] = [np.empty(0, np.int64)] * len(label)
        return Sentences(task, of.name, no_text, np.zeros_like(label), label, template)
    plain = len(VOCABULARY) - len(HOSTILE)
    shapes = [random.integers(0, plain, random.integers(4, 12)) for _ in range(of.templates)]
    position = np.array([len(shapes[t]) // 2 for t in template])
    tokens = [
        np.insert(shapes[t], place, FIRST_TOKENS[of.name] + one) for t, place, one in zip(template, position, label, strict=True)
    ]
    return Sentences(task, of.name, tokens, position, label, template)


@dataclass(frozen=True)
class Fired:
    """What one expert did on one task."""

    window: npt.NDArray[Any]
    position: npt.NDArray[Any]
    label: npt.NDArray[Any] | None
    xyz: npt.NDArray[Any]
    norm: npt.NDArray[Any]


def _on_corpus(random: np.random.Generator, expert: int, size: Size) -> Fired:
    made, count = kind(expert), size.points
    if made == "clusters":
        centre = np.array([[2.5, 1.0, 0.0], [-1.5, 1.5, 0.5]])[random.integers(0, 2, count)]
        xyz = centre + random.normal(0, 0.25, (count, 3))
    elif made in ("ring", "task"):
        xyz = _on_ring(random, random.uniform(0, 12, count), noise=0.5)
    elif made == "line":
        xyz = _on_line(random, random.uniform(0, 100, count))
    else:
        xyz = np.outer(random.gamma(3, 1, count) + 1, [1.0, 0.15, 0.05]) + random.normal(0, 0.2, (count, 3))
    window, position = np.sort(random.integers(0, size.windows, count)), random.integers(0, size.window_tokens, count)
    return _fired(window, position, None, xyz, size.d_code)


def _fired(
    window: npt.NDArray[Any], position: npt.NDArray[Any], label: npt.NDArray[Any] | None, xyz: npt.NDArray[Any], d_code: int
) -> Fired:
    xyz[:, d_code:] = 0
    return Fired(window, position, label, xyz, np.linalg.norm(xyz, axis=1) + THRESHOLD)


def _on_sentences(random: np.random.Generator, expert: int, sentences: Sentences, d_code: int) -> Fired:
    made = kind(expert)
    likes = {"months": ("ring", "task"), "numbers": ("line",), "body_parts": ("clusters",), "cells": ("clusters", "line")}.get(
        sentences.name, ("ray",)
    )
    chance = 0.95 if made in likes else 0.03 if made != "dense" else 0.5
    rows = np.flatnonzero(random.random(len(sentences.label)) < chance)
    label = sentences.label[rows]
    if made == "ring" and sentences.name == "months":
        places = _on_ring(random, label.astype(float), noise=0.2)
    elif made == "line" and sentences.name == "numbers":
        places = _on_line(random, label.astype(float))
    else:
        places = random.normal([1.5, 0.5, 0], [0.8, 0.5, 0.3], (len(rows), 3))
    return _fired(rows, sentences.position[rows], label, places, d_code)


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
            "files": {"config.json": "7" * 64, "model.safetensors": "8" * 64, "tokenizer.json": "9" * 64},
        },
        "dictionary": {
            "architecture": "smixae",
            "n_experts": size.experts,
            "d_expert": 16,
            "d_code": size.d_code,
            "threshold": THRESHOLD,
            "sha256": "1" * 64,
            "files": {"cfg.json": "3" * 64, "sae_weights.safetensors": "4" * 64},
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
        "settings": {
            "harvest": {"seed": 0, "tokens": 2_000_000},
            "probe": {"seed": 0, "protocol": "atlas"},
            "evaluate": {"tokens": 250_000, "ce_tokens": 50_000},
        },
        "devices": {
            stage: {"type": "cpu", "dtype": "float32", "threads": 2, "block_rows": 256}
            for stage in ("harvest", "probe", "evaluate")
        },
        "tasks": {"months": {"sha256": "5" * 64, "files": {"months.toml": "6" * 64}, "own": False}},
        "asked": {"tasks": None, "own": [], "files": {}},
        "versions": {"expert-atlas": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "geometry": {
            "settings": {"shape": {"seed": 0}, "overview": {"seed": 0}},
            "versions": {"scikit-learn": "1.7.0", "scipy": "1.16.0", "gudhi": "3.11.0"},
            "overview": {
                "mix": "50% output overlap, 50% firing together on the token sample",
                "neighbours": 15,
                "trustworthiness": 0.941,
                "continuity": 0.927,
                "by_chance": 0.514,
                "experts": sum(kind(expert) != "silent" for expert in range(size.experts)),
                "left_out": sum(kind(expert) == "silent" for expert in range(size.experts)),
                "cluster_name_rule": "The task that at least half of the titles name, else the two most lifted tokens.",
            },
        },
    }
    facts["corpora"] = [{**facts["corpus"], "files": {"words.txt": "a" * 64}}]
    return {"key": list(facts), "value": [json.dumps(value) for value in facts.values()]}


def _tasks(size: Size) -> dict[str, Any]:
    corpora, labelled = CORPORA[: size.corpora], labelled_tasks(size)
    sentences = [len(task.labels) * task.templates for task in labelled]
    return {
        "task": np.arange(size.corpora + len(labelled)),
        "name": [*(name for name, *_ in corpora), *(task.name for task in labelled)],
        "title": [*(title for _, title, *_ in corpora), *(task.title for task in labelled)],
        "kind": ["corpus"] * size.corpora + ["labelled"] * len(labelled),
        "family": ["corpus"] * size.corpora + [task.family for task in labelled],
        "description": ["Frequent English words."] * size.corpora + [task.description for task in labelled],
        "cyclic": [False] * size.corpora + [task.cyclic for task in labelled],
        "tokens": [tokens for _, _, tokens, _ in corpora] + [9 * rows for rows in sentences],
        "held_out_tokens": [held_out for *_, held_out in corpora] + [9 * rows for rows in sentences],
        "importance_tokens": [held_out // 2 for *_, held_out in corpora] + [0] * len(labelled),
        "documents": [size.windows] * size.corpora + sentences,
        "rows": [tokens for _, _, tokens, _ in corpora] + sentences,
        "templates": [0] * size.corpora + [task.templates for task in labelled],
        "dropped": [0] * (size.corpora + len(labelled)),
        "needs": [""] * size.corpora + [task.needs for task in labelled],
    }


def _labels(size: Size) -> dict[str, Any]:
    rows: list[tuple[Any, ...]] = []
    for number, task in enumerate(labelled_tasks(size), start=size.corpora):
        for label, name in enumerate(task.labels):
            value = task.values[label] if task.values else float(label)
            colour = task.colours[label] if task.colours else None
            rows.append((number, label, name, value, colour, task.templates, 3 * label if task.name == "months" else None))
    names = ("task", "label", "name", "value", "colour", "rows", "training_occurrences")
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _hypotheses(size: Size) -> dict[str, Any]:
    months, numbers = size.corpora, size.corpora + 1
    turns, digits = 2 * np.pi * np.arange(12) / 12, 2 * np.pi * np.arange(100) / 10
    ring = np.stack([np.cos(turns), np.sin(turns)], 1).tolist()
    last_digit = np.stack([np.cos(digits), np.sin(digits)], 1).tolist()
    season = [[float((month + 1) % 12 // 3)] for month in range(12)]
    linear, r2 = "linear", "R²"
    rows: list[tuple[Any, ...]] = [
        (
            months,
            0,
            "cyc_12m",
            "12-month ring",
            "ring",
            linear,
            r2,
            "cosine and sine of the month",
            ring,
            [],
            3 / 11,
            0.0005,
            0.001,
            14,
        ),
        (
            *(months, 1, "season", "season", "classes", "multinomial", "balanced accuracy", "the season of the month"),
            *(season, [*SEASONS], 0.71, 0.002, 0.003, 14),
        ),
        (
            *(numbers, 0, "linear", "linear", "ordinal", linear, r2, "the number itself"),
            *([[float(number)] for number in range(100)], [], 3 / 99, 0.0005, 0.001, 9),
        ),
        (
            numbers,
            1,
            "mod_10",
            "last digit ring",
            "ring",
            linear,
            r2,
            "cosine and sine of the last digit",
            last_digit,
            [],
            3 / 99,
            0.4,
            0.4,
            9,
        ),
    ]
    if size.more_tasks:
        cells = size.corpora + 3
        places = [[0.0, 1.0], [0.2, 0.9], [1.0, 0.1], [0.7, 0.0]]
        rows += [
            (cells, 0, "lineage", "lineage", "map", linear, r2, "place among lineages", places, [], 0.9, 0.01, 0.02, 12),
            (cells, 1, "age", "age of the donor", "ordinal", linear, r2, "years, row by row", [], [], 0.0, None, None, 0),
        ]
    names = ("task", "hypothesis", "name", "title", "shape", "probe", "measure", "description", "targets", "classes", "chance")
    return {name: [row[at] for row in rows] for at, name in enumerate((*names, "p_smallest", "q", "testable"))}


def _baselines(size: Size) -> dict[str, Any]:
    references = ("chance", "random_projection", "top_components", "word_embedding")
    values: dict[tuple[int, int], tuple[float | None, ...]] = {
        (0, 0): (0.27, 0.58, 0.35, 0.81),
        (1, 0): (0.03, 0.66, 0.41, 0.9),
        (1, 1): (0.03, 0.22, 0.08, 0.77),
        (0, 1): (0.71, 0.84, 0.62, 0.97),
    }
    if size.more_tasks:
        values |= {(3, 0): (0.9, 0.4, 0.2, None), (3, 1): (None, 0.1, 0.05, None)}
    rows = [
        (size.corpora + task, hypothesis, name, value)
        for (task, hypothesis), row in values.items()
        for name, value in zip(references, row, strict=True)
    ]
    return {
        "task": [row[0] for row in rows],
        "hypothesis": [row[1] for row in rows],
        "reference": [row[2] for row in rows],
        "metric": ["all_rows"] * len(rows),
        "value": [row[3] for row in rows],
    }


def _absences() -> dict[str, Any]:
    rows = [
        ("letter_case", "Letter case", "task", "This tokenizer lowercases, so that the two cases are one."),
        ("numbers", "Numbers 0–99", "rows", "7 rows were left out: their label is empty."),
        ("numbers", "Numbers 0–99", "mentions", "No mentions in held-out documents; 50 are needed."),
    ]
    return {name: [row[at] for row in rows] for at, name in enumerate(("name", "title", "what", "reason"))}


def _jointly(size: Size) -> dict[str, dict[str, Any]]:
    """Return what several experts read together (a listed group of three, and a path that is none), and places in a line."""
    months, numbers = size.corpora, size.corpora + 1
    lines = [expert for expert in range(size.experts) if kind(expert) == "line"]
    rings = [expert for expert in range(size.experts) if kind(expert) == "ring"]
    rows: list[tuple[Any, ...]] = []
    for step, (expert, reached, added) in enumerate(zip(lines, (0.58, 0.71, 0.81), (0.58, 0.13, 0.1), strict=False)):
        rows.append((numbers, 0, step, expert, reached + 0.02, reached, reached - 0.06, reached + 0.05, added, len(lines) >= 3))
    for step, (expert, reached, added) in enumerate(zip(rings, (0.76, 0.78), (0.76, 0.02), strict=False)):
        rows.append((months, 0, step, expert, reached + 0.02, reached, reached - 0.06, reached + 0.05, added, False))
    names = ("task", "hypothesis", "step", "expert", "ranking", "all_rows", "all_rows_low", "all_rows_high", "added", "listed")
    tables: dict[str, dict[str, Any]] = {"shattered": {name: [row[at] for row in rows] for at, name in enumerate(names)}}
    tables["mention_sets"] = {
        "task": [months],
        **{"words": [91], "documents": [40], "report_words": [31], "report_documents": [13]},
    }
    if size.more_tasks:
        by_gain = [expert for expert in range(size.experts) if kind(expert) == "ray"]
        others = [expert for expert in range(size.experts) if kind(expert) != "ray"]
        gain = [0.06 / 2**rank for rank in range(len(by_gain))] + [-0.001] * len(others)
        tables["newline_scores"] = {
            "task": [size.corpora + 4] * size.experts,
            "expert": [*by_gain, *others],
            "rank": list(range(size.experts)),
            "rate": [0.03] * size.experts,
            "encode_linear_r2": [0.11] * size.experts,
            "encode_periodic_r2": [0.12 + max(one, 0.0) for one in gain],
            "periodic_gain": [0.01 + max(one, 0.0) for one in gain],
            "decode_r2": [0.31] * size.experts,
            "held_out_linear_r2": [0.1] * size.experts,
            "held_out_periodic_r2": [0.1 + one for one in gain],
            "held_out_gain": gain,
            "held_out_decode_r2": [0.28] * size.experts,
        }
    return tables


HELD_OUT_TOKENS = 104_551


def _evaluation(size: Size, expert_stats: dict[str, Any]) -> dict[str, Any]:
    """Return how faithful the dictionary is; PCA does better on the corpus, worse on months, and has no norm ratio."""
    first = np.array(expert_stats["task"]) == 0
    rates, silent, dense = (np.array(expert_stats[name])[first] for name in ("rate", "silent", "dense"))
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
    alone = {"silent": float(silent.sum()), "dense": float(dense.sum())}
    alone |= {f"rate_q{of}": float(np.quantile(rates, of / 100)) for of in (0, 10, 50, 90, 100)}
    rows += [(0, "dictionary", metric, value, HELD_OUT_TOKENS) for metric, value in alone.items()]
    months, numbers = size.corpora, size.corpora + 1
    rows += [(months, "dictionary", "fvu", 0.412, 120), (months, "pca", "fvu", 0.633, 120)]
    rows += [(numbers, "dictionary", "fvu", 1.62, 600), (numbers, "pca", "fvu", 0.588, 600)]
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


def _windows(corpora: list[Corpus], labelled: list[Sentences]) -> dict[str, Any]:
    report = [template % 3 == 0 for sentences in labelled for template in sentences.template]
    parts = [*corpora, *(sentences.tokens for sentences in labelled)]
    lengths = [len(part) for part in parts]
    before: list[Any] = [None] * sum(len(corpus) for corpus in corpora)
    return {
        "task": np.repeat(np.arange(len(parts)), lengths),
        "window": np.concatenate([np.arange(length) for length in lengths]),
        "document": np.concatenate([np.arange(length) for length in lengths]),
        "ordinal": np.zeros(sum(lengths), int),
        "tokens": [tokens for part in parts for tokens in part],
        "position": before + [place for sentences in labelled for place in sentences.position.tolist()],
        "label": before + [label for sentences in labelled for label in sentences.label.tolist()],
        "template": before + [template for sentences in labelled for template in sentences.template.tolist()],
        "report": before + report,
    }


def _vocabulary(size: Size) -> dict[str, Any]:
    rows = [(task, token, text) for task in range(size.corpora) for token, text in enumerate(VOCABULARY)]
    for number, task in enumerate(labelled_tasks(size), start=size.corpora):
        if task.name in FIRST_TOKENS:
            rows += [(number, token, text) for token, text in enumerate(VOCABULARY)]
            rows += [(number, FIRST_TOKENS[task.name] + label, f" {one}") for label, one in enumerate(task.labels)]
    return {
        "task": [row[0] for row in rows],
        "token": [row[1] for row in rows],
        "text": [row[2] for row in rows],
        "count": [100] * len(rows),
    }


def _per_expert(
    random: np.random.Generator,
    later: np.random.Generator,
    size: Size,
    firings: dict[int, dict[int, Fired]],
    corpora: list[Corpus],
    labelled: list[Sentences],
) -> dict[str, dict[str, Any]]:
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
    for expert in range(size.experts):
        made = kind(expert)
        drawn = {"silent": 0.0, "dense": 0.23}.get(made, float(random.gamma(1.2, 0.006)) + 1e-4)
        # A sample is no larger than what it was drawn from.
        rates = [max(drawn, size.points / tokens) if made != "silent" else 0.0 for _, _, tokens, _ in CORPORA]
        rate = rates[0]
        importance = 0.0 if made == "silent" else float(random.gamma(0.6, 0.004))
        rows["titles"].append(_title(expert, made, size.corpora))
        for task, kept in firings[expert].items():
            mean = importance / rates[task] if kept.label is None else 0.0
            for index in range(len(kept.window)):
                label = None if kept.label is None else int(kept.label[index])
                place = (int(kept.window[index]), int(kept.position[index]))
                point = (*map(float, kept.xyz[index]), float(kept.norm[index]))
                rows["points"].append((task, expert, *place, label, *point, _point_importance(kept, index, mean)))
            if task >= size.corpora and len(kept.window):
                rows["task_importance"].append(_task_importance(task, expert, kept, labelled[task - size.corpora]))
        for task, corpus in enumerate(corpora):
            fired = firings[expert].get(task)
            rows["expert_stats"].append(_stats(task, expert, made, rates[task], importance, fired, size.d_code))
            if fired is not None:
                _evidence(later, rows, (task, expert), round(rates[task] * CORPORA[task][2]), fired, corpus)
        for sentences in labelled:
            _probed(random, rows, expert, made, rate, sentences, firings[expert].get(sentences.task))
        for sentences in labelled:
            _beside(
                np.random.default_rng([expert, sentences.task]),
                rows,
                expert,
                made,
                sentences,
                firings[expert].get(sentences.task),
            )
    for table in ("points", "expert_stats", "task_importance", *_OF_CORPORA):
        rows[table].sort(key=lambda row: (row[0], row[1]))
    tables = {
        table: {name: [row[at] for row in rows[table]] for at, name in enumerate(names)} for table, names in _COLUMNS.items()
    }
    for table in ("scores", "mention_scores"):
        tables[table]["rank"] = _ranks(tables[table])
    return tables


def _ranks(scores: dict[str, list[Any]]) -> list[int]:
    """Return the place of each score of a hypothesis by its ranking score, from 0."""
    rows = list(zip(*(scores[name] for name in ("task", "hypothesis", "ranking")), strict=True))
    rank = [0] * len(rows)
    seen: dict[tuple[int, int], int] = {}
    for row in sorted(range(len(rows)), key=lambda row: -rows[row][2]):
        of = rows[row][:2]
        rank[row] = seen.setdefault(of, 0)
        seen[of] += 1
    return rank


MEASURED = 5
"""Of so many firings on a corpus, the importance of one is measured."""


def _point_importance(fired: Fired, index: int, mean: float) -> float | None:
    """Return how much one firing spares: stronger ones more, every seventh does harm. `mean` is that of a corpus' firings."""
    sign = -0.3 if index % 7 == 6 else 1.0
    if fired.label is not None:
        return sign * 0.004 * float(fired.norm[index]) ** 2
    return sign * mean * float(fired.norm[index] / fired.norm.mean()) if index % MEASURED == 0 else None


def _task_importance(task: int, expert: int, fired: Fired, sentences: Sentences) -> tuple[Any, ...]:
    n = len(sentences.label)
    return (task, expert, n, sum(_point_importance(fired, index, 0.0) or 0.0 for index in range(len(fired.norm))) / n)


def _stats(
    task: int, expert: int, made: str, rate: float, importance: float, fired: Fired | None, d_code: int
) -> tuple[Any, ...]:
    _, _, tokens, held_out = CORPORA[task]
    facts = (task, expert, round(rate * tokens), round(rate * held_out), rate)
    flags = (made == "silent", made == "dense")
    if fired is None:
        return (*facts, 0, importance, *[None] * 12, *flags)
    code = _codes(fired, d_code)
    norms = (fired.norm.mean(), fired.norm.max(), *np.quantile(fired.norm, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]))
    means = (code.mean(axis=0).tolist(), np.cov(code.T, bias=True).ravel().tolist())
    # What a ring keeps grows with two axes, what a line keeps with one; some have it all in their mean.
    kept = [0.94 if made == "ray" else 0.35, *(0.97 if axis or made != "ring" else 0.62 for axis in range(d_code - 1)), 1.0]
    needed = next(axes for axes, share in enumerate(kept) if share >= 0.9)
    return (*facts, len(np.unique(fired.window)), importance, *map(float, norms), *means, kept, needed, *flags)


def _codes(fired: Fired, d_code: int) -> npt.NDArray[Any]:
    """Return codes of the firings' norms, in their directions; what is not among their first three axes is 0."""
    code = np.zeros((len(fired.xyz), max(d_code, 3)))
    code[:, :3] = fired.xyz * (fired.norm / np.linalg.norm(fired.xyz, axis=1))[:, None]
    return code[:, :d_code]


def _score(expert: int) -> float:
    return 0.55 + 0.3 * (expert * 7 % 11) / 10


def _title(expert: int, made: str, months: int) -> tuple[Any, ...]:
    if made == "silent":
        return (expert, "silent", "silent", None, "firings", 0.0)
    if made == "ring":
        return (expert, "Months, in order", "order", months, "R² all rows", _score(expert))
    if made == "line":
        return (expert, "Numbers 0–99, in order", "order", months + 1, "R² all rows", _score(expert))
    if made == "task":
        return (expert, "Months", "task", months, "lift", 14.2)
    tokens = (VOCABULARY[expert % len(VOCABULARY)], HOSTILE[expert % len(HOSTILE)].strip(" ") or "the")
    return (expert, " · ".join(tokens), "tokens", None, "lift", 31.4 - expert / 1000)


def _evidence(
    later: np.random.Generator,
    rows: dict[str, list[tuple[Any, ...]]],
    of: tuple[int, int],
    firings: int,
    fired: Fired,
    corpus: Corpus,
) -> None:
    """Add what an expert's firings on a corpus show; `of` is the corpus and the expert."""
    by_norm = np.argsort(-fired.norm, kind="stable")
    quarters = [later.permutation(quarter) for quarter in np.array_split(by_norm, 4)]
    strata = {"top": by_norm[:STRONGEST]} | dict(zip(("q75", "q50", "q25", "q0"), quarters, strict=True))
    for stratum, chosen in strata.items():
        for rank, index in enumerate(chosen):
            place = (int(fired.window[index]), int(fired.position[index]))
            rows["top_firings"].append((*of, stratum, rank, *place, float(fired.norm[index]), _around(fired, int(index))))
    tokens = [int(corpus[window][position]) for window, position in zip(fired.window, fired.position, strict=True)]
    counted = sorted(((tokens.count(token), token) for token in set(tokens)), key=lambda pair: (-pair[0], pair[1]))
    for rank, (count, token) in enumerate(counted[:12]):
        share = count / len(tokens)
        interval = _wilson(count, len(tokens))
        rows["expert_tokens"].append((*of, rank, token, count, len(tokens), share, *interval, share * len(VOCABULARY)))
    bins = np.floor(8 * np.log2(fired.norm / THRESHOLD)).astype(int)
    seen = 0
    for place in np.unique(bins):
        until = round(firings * float((bins <= place).mean()))
        rows["norm_histogram"].append((*of, int(place), THRESHOLD * 2 ** (int(place) / 8), until - seen))
        seen = until
    width = len(corpus[0])
    per_position = CORPORA[of[0]][2] / width
    seen = 0
    for lower in (0, *(1 << power for power in range(width.bit_length()) if 1 << power < width)):
        upper = min(max(2 * lower - 1, lower), width - 1)
        until = round(firings * float((fired.position <= upper).mean()))
        rows["position_rates"].append((*of, lower, upper, until - seen, (until - seen) / (per_position * (upper - lower + 1))))
        seen = until


def _around(fired: Fired, index: int) -> list[int]:
    """Return how strongly the expert fires on the 12 tokens before and after one of its firings, in four levels."""
    middle = fired.norm[index]
    here = {
        int(position): norm
        for window, position, norm in zip(fired.window, fired.position, fired.norm, strict=True)
        if window == fired.window[index]
    }
    norms = [here.get(int(fired.position[index]) + step, 0.0) for step in range(-12, 13) if step]
    return [0 if not norm else 1 if norm < middle / 2 else 2 if norm < middle else 3 for norm in norms]


def _wilson(count: int, of: int) -> tuple[float, float]:
    z = 1.959964
    share = count / of
    centre, reach = share + z * z / (2 * of), z * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    return (centre - reach) / (1 + z * z / of), (centre + reach) / (1 + z * z / of)


def _sampled(later: np.random.Generator, size: Size, corpora: list[Corpus]) -> dict[str, dict[str, Any]]:
    """Return what is kept of corpora without regard to one expert: neighbours, a token sample, mentions of labels."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _SAMPLED_COLUMNS}
    loud = [expert for expert in range(size.experts) if kind(expert) not in ("silent", "dense")]
    for task, corpus in enumerate(corpora):
        for place, expert in enumerate(loud):
            near = [loud[(place + step) % len(loud)] for step in range(1, min(NEIGHBOURS, len(loud) - 1) + 1)]
            for rank, neighbour in enumerate(near):
                rows["co_firing"].append((task, expert, rank, neighbour, 100 - 10 * rank, 4.0 - rank / 2))
        _token_sample(later, rows, task, corpus, loud, size.d_code)
        _mentions(later, rows, task, corpus, loud, size.d_code)
    return {
        table: {name: [row[at] for row in rows[table]] for at, name in enumerate(names)}
        for table, names in _SAMPLED_COLUMNS.items()
    }


def _token_sample(
    later: np.random.Generator, rows: dict[str, list[tuple[Any, ...]]], task: int, corpus: Corpus, loud: list[int], d_code: int
) -> None:
    width = len(corpus[0])
    places = np.sort(later.choice(len(corpus) * width, SAMPLED_TOKENS, replace=False))
    for token, (window, position) in enumerate(zip(*np.divmod(places, width), strict=True)):
        rows["token_sample"].append((task, token, int(window), int(position), bool(window % 3 == 0)))
        rows["token_sample_firings"] += [(task, token, *firing) for firing in _some_firings(later, loud, d_code)]


def _mentions(
    later: np.random.Generator, rows: dict[str, list[tuple[Any, ...]]], task: int, corpus: Corpus, loud: list[int], d_code: int
) -> None:
    """Add the mentions of every label that a token of the corpus is."""
    mention = 0
    for name, labels in LABELS.items():
        for label, text in enumerate(labels):
            found = [
                (window, position)
                for window, tokens in enumerate(corpus)
                for position, token in enumerate(tokens)
                if VOCABULARY[token] == f" {text}"
            ]
            held_out = [window for window, _ in found if window % 3 == 0]
            documents = len({window for window, _ in found})
            rows["label_mentions"].append((task, name, label, text, len(found), len(held_out), documents))
            for window, position in sorted(found, key=lambda place: place[0] % 3 != 0):
                rows["mentions"].append((task, mention, name, label, window, position, window % 3 == 0))
                rows["mention_firings"] += [(task, mention, *firing) for firing in _some_firings(later, loud, d_code)]
                mention += 1


def _some_firings(later: np.random.Generator, loud: list[int], d_code: int) -> list[tuple[int, list[float]]]:
    """Return a few experts that fire on one token, with their codes."""
    experts = sorted(later.choice(loud, min(8, len(loud)), replace=False))
    return [(int(expert), _fires(later.normal(0, 2, d_code)).tolist()) for expert in experts]


def _fires(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a code made longer by the threshold, which so passes it."""
    return np.asarray(code * (1 + THRESHOLD / np.linalg.norm(code)))


SHAPE_OF = {"ring": "ring", "line": "curve", "task": "sheet", "ray": "line or ray", "clusters": "clusters", "dense": "unclear"}
"""What each kind of expert is called, on the corpus and where it fires on at least half of a task's labels."""
NOT_TOLD = 13
"""An expert that no class can be told of, for a reason that the atlas states."""
NULLS = {
    **{"loop": (1.6, 2.4), "gap": (0.21, 0.34), "local_dimension": (2.1, 1.8), "bend": (0.12, 0.31)},
    **{"thickness": (0.2, 0.18), "flatness": (0.2, 0.17)},
}
"""Median and limit of each statistic on clouds without structure, the last two at the boundary; limits of local_dimension and of
the last two are passed downwards."""
TOLD_BY = {
    "ring": ("loop", 6.3),
    "curve": ("local_dimension", 1.12),
    "sheet": ("flatness", 0.04),
    "line or ray": ("thickness", 0.11),
    "clusters": ("gap", 0.71),
}
"""The statistic that speaks for each class, with its value."""
KEPT_NEIGHBOURS = 20


def _geometry(
    random: np.random.Generator, size: Size, firings: dict[int, dict[int, Fired]], labelled: list[Sentences]
) -> dict[str, dict[str, Any]]:
    """Return what the geometry stage writes."""
    tables = _shapes(size, firings, labelled)
    tables["code_axes"] = _code_axes(size, firings)
    tables["neighbours"] = _neighbours(random, size)
    return tables | _map(random, size)


def _code_axes(size: Size, firings: dict[int, dict[int, Fired]]) -> dict[str, Any]:
    variance = np.zeros((size.experts, size.d_code))
    for expert, fired in firings.items():
        if fired:
            shown = np.sort(fired[0].xyz.var(axis=0))[::-1][: size.d_code]
            variance[expert, : len(shown)] = shown
            variance[expert, 3:] = shown[-1] * 0.5 ** np.arange(1, size.d_code - 2)
    total = variance.sum(axis=1, keepdims=True)
    return {
        "expert": np.repeat(np.arange(size.experts), size.d_code),
        "axis": np.tile(np.arange(size.d_code), size.experts),
        "code": np.tile(np.eye(size.d_code), (size.experts, 1)).tolist(),
        "variance": variance.ravel(),
        "share": (variance / np.where(total > 0, total, 1)).ravel(),
    }


def _shapes(size: Size, firings: dict[int, dict[int, Fired]], labelled: list[Sentences]) -> dict[str, dict[str, Any]]:
    labels = {sentences.task: len(np.unique(sentences.label)) for sentences in labelled}
    shapes: list[tuple[Any, ...]] = []
    tests: list[tuple[Any, ...]] = []
    classes: list[tuple[Any, ...]] = []
    for task in (*range(size.corpora), *labels):
        called: list[str] = []
        for expert in range(size.experts):
            fired = firings[expert].get(task)
            if fired is None or (fired.label is not None and 2 * len(np.unique(fired.label)) < labels[task]):
                continue
            points = len(fired.norm)
            if expert == NOT_TOLD:
                shapes.append((task, expert, points, None, "All of its contributions are the same.", *[None] * 8))
                continue
            shape = SHAPE_OF[kind(expert)]
            if size.d_code == 1 and shape != "clusters":
                shape = "line or ray"
            if size.d_code == 2 and shape == "sheet":
                shape = "unclear"
            called.append(shape)
            variance = np.sort(fired.xyz.var(axis=0))[::-1][: size.d_code].tolist()
            variance += [variance[-1] / 2 ** (axis - 2) for axis in range(3, size.d_code)]
            spectrum = np.array(variance) / sum(variance)
            described = (
                spectrum.tolist(),
                float(1 / (spectrum**2).sum()),
                sum(variance) ** 0.5,
                1.0 + (shape == "unclear"),
                0.25,
            )
            stands_out, beyond = TOLD_BY.get(shape, ("", 0.0))
            # One axis can have gaps only, and two have no third.
            told = ("gap",) if size.d_code == 1 else tuple(NULLS)[:5] if size.d_code == 2 else tuple(NULLS)
            rests_on = stands_out if stands_out in told else None
            parts = (int(shape == "ring"), 1 + (shape == "clusters"))
            shapes.append((task, expert, points, shape, None, rests_on, *described, *parts))
            for statistic in told:
                median, limit = NULLS[statistic]
                found = (beyond, median, limit, 2e-5, 0.001) if statistic == stands_out else (median, median, limit, 0.5, 1.0)
                tests.append((task, expert, statistic, *found))
        for shape in dict.fromkeys(SHAPE_OF.values()):
            expected = 0.4 if shape != "unclear" else len(called) - 2.0
            classes.append((task, shape, called.count(shape), len(called), expected))
    rows = {"shapes": shapes, "shape_tests": tests, "shape_classes": classes}
    return {
        table: {name: [row[at] for row in rows[table]] for at, name in enumerate(names)}
        for table, names in _SHAPE_COLUMNS.items()
    }


def _neighbours(random: np.random.Generator, size: Size) -> dict[str, Any]:
    """Return neighbours in the order of a shuffled circle, a different one for each kind: what is silent neither writes nor has
    contexts, and a few fire on too little of the sample for the latter.
    """
    fires = [expert for expert in range(size.experts) if kind(expert) != "silent"]
    those = {"output": fires, "encoder": range(size.experts), "context": [expert for expert in fires if expert % 5 != 1]}
    columns: dict[str, list[Any]] = {name: [] for name in ("expert", "kind", "rank", "neighbour", "value")}
    for name, experts in those.items():
        circle = random.permutation(np.array(experts))
        ranks = np.arange(min(KEPT_NEIGHBOURS, len(circle) - 1))
        order = np.argsort(circle)
        near = circle[(order[:, None] + 1 + ranks) % len(circle)]
        columns["expert"] += np.repeat(circle[order], len(ranks)).tolist()
        columns["kind"] += [name] * near.size
        columns["rank"] += np.tile(ranks, len(circle)).tolist()
        columns["neighbour"] += near.ravel().tolist()
        columns["value"] += np.tile(0.9 * 0.93**ranks, len(circle)).tolist()
    return columns


def _map(random: np.random.Generator, size: Size) -> dict[str, dict[str, Any]]:
    """Return places: months on one side, those that tokens name on the other, the rest round about, silent ones nowhere."""
    sides = {"months": ("ring", "task"), "tokens": ("ray",)}
    members = {side: [expert for expert in range(size.experts) if kind(expert) in made] for side, made in sides.items()}
    largest_first = sorted((side for side in sides if members[side]), key=lambda side: -len(members[side]))
    middles = {"months": (-20.0, 6.0), "tokens": (18.0, -9.0)}
    places: dict[str, list[Any]] = {name: [] for name in ("expert", "x", "y", "cluster")}
    for expert in range(size.experts):
        if kind(expert) == "silent":
            continue
        side = next((side for side in largest_first if expert in members[side]), None)
        x, y = random.normal(middles[side], 2.0) if side else random.uniform(-30, 30, 2)
        row = (expert, float(x), float(y), largest_first.index(side) if side else None)
        for column, one in zip(places.values(), row, strict=True):
            column.append(one)
    names = {"months": ("Months", "title"), "tokens": (f"{VOCABULARY[5].strip()} · {HOSTILE[0]}", "tokens")}
    found: dict[str, list[Any]] = {name: [] for name in ("cluster", "name", "basis", "experts", "named", "x", "y")}
    for cluster, side in enumerate(largest_first):
        told = (cluster, *names[side], len(members[side]), (2 * len(members[side]) + 2) // 3, *middles[side])
        for column, value in zip(found.values(), told, strict=True):
            column.append(value)
    return {"overview": places, "overview_clusters": found}


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
                (
                    sentences.task,
                    int(label),
                    expert,
                    int(here.sum()),
                    fires,
                    float(smoothed / rate),
                    _preference(fired, sentences, label),
                    *mean,
                )
            )
    covered = int(sum((fired.label == label).sum() >= of / 2 for label, of in zip(labels, counts, strict=True)))
    testable = len(fired.label) >= 50
    for hypothesis in {"months": (0,), "numbers": (0, 1)}.get(sentences.name, ()):
        supported = hypothesis == 0 and (made, sentences.name) in {("ring", "months"), ("line", "numbers")}
        value = float(_score(expert) if supported else random.uniform(-0.05, 0.3))
        p = 0.002 if supported else float(random.uniform(0.2, 1))
        rings = (sentences.name, hypothesis) != ("numbers", 0)  # of two targets, one is read worse than both
        rows["scores"].append(
            (sentences.task, hypothesis, expert, expert, value + 0.01, value, value - 0.07, value + 0.06)
            + (value + 0.05, len(fired.label) // 3, value - 0.1, value - (0.15 if rings else 0.1))
            + (covered, 0.9 if covered else None)
            + (
                len(fired.label),
                testable,
                p if testable else None,
                p if testable else None,
                supported,
                0.001 if supported else None,
            )
        )


def _preference(fired: Fired, sentences: Sentences, label: int) -> float:
    """Return how often the norm at a row of the label is above that at another row; half where they are equal."""
    norm = np.zeros(len(sentences.label))
    norm[fired.window] = fired.norm
    own, other = norm[sentences.label == label][:, None], norm[sentences.label != label][None, :]
    return float((own > other).mean() + (own == other).mean() / 2)


def _beside(
    random: np.random.Generator,
    rows: dict[str, list[tuple[Any, ...]]],
    expert: int,
    made: str,
    sentences: Sentences,
    fired: Fired | None,
) -> None:
    """Add what schema 4 says of an expert and a task beside its orders."""
    if fired is None or fired.label is None or len(fired.label) < 50:
        return
    covered = min(12, len(np.unique(sentences.label)))
    rows["task_stats"].append((sentences.task, expert, len(fired.label), 14.2, covered, 0.9, 0.0005, 0.07))
    n, ring, line = len(fired.label) // 3, made == "ring", made == "line"
    of = (sentences.task, expert)
    if sentences.name == "months":
        value, p = (0.94, 0.004) if ring else (0.31 + 0.1 * random.random(), 0.6)
        rows["scores"].append(_scored(of, 1, (value, value - 0.05, value + 0.04), (0.55, None), (n, 12, 0.9), p))
        if ring:
            rows["mention_scores"].append(_scored(of, 0, (0.41, 0.2, 0.6), (0.38, 0.2), (n, 3, 0.6), 0.03))
    if sentences.name == "cells":
        value, p = (0.93, 0.01) if line else (0.2, 0.7)
        rows["scores"].append(_scored(of, 0, (value, value - 0.05, value + 0.04), (0.3, 0.1), (n, 4, 0.9), p, supported=line))
        rows["scores"].append(_scored(of, 1, (0.14, 0.05, 0.22), (None, None), (n, 4, 0.9), None))


def _scored(
    of: tuple[int, int],
    hypothesis: int,
    all_rows: tuple[float, float, float],
    left_out: tuple[float | None, float | None],
    fires: tuple[int, int, float],
    p: float | None,
    *,
    supported: bool = False,
) -> tuple[Any, ...]:
    """Return a row of scores: of a task and expert, with an interval, on left-out labels and directions, on report rows that it
    fires on and labels that it covers; testable if there is a p.
    """
    (task, expert), (value, *_), (n, *covered) = of, all_rows, fires
    where = (value + 0.02, *all_rows, value + 0.05, n, *left_out, *covered)
    return (task, hypothesis, expert, expert, *where, 3 * n, p is not None, p, p, supported, None)


EVALUATION_COLUMNS = ("task", "subject", "metric", "value", "tokens")
_SCORES = (
    *("task", "hypothesis", "expert", "rank", "ranking", "all_rows", "all_rows_low", "all_rows_high", "where_it_fires"),
    *(
        "n_where_it_fires",
        "left_out_label",
        "left_out_direction",
        "covered",
        "covered_least",
        "active_rows",
        "testable",
        "p_order",
    ),
    *("p_order_adjusted", "order_supported", "p_within_halves"),
)
_COLUMNS = {
    "titles": ("expert", "title", "basis", "task", "measure", "value"),
    "expert_stats": (
        *("task", "expert", "firings", "held_out_firings", "rate", "documents", "importance", "mean_norm", "max_norm"),
        *("norm_q10", "norm_q25", "norm_q50", "norm_q75", "norm_q90", "norm_q99", "mean_code", "code_covariance"),
        *("importance_kept", "dimensions_needed", "silent", "dense"),
    ),
    "points": ("task", "expert", "window", "position", "label", "x", "y", "z", "norm", "importance"),
    "top_firings": ("task", "expert", "stratum", "rank", "window", "position", "norm", "around"),
    "task_importance": ("task", "expert", "rows", "importance"),
    "expert_tokens": (*("task", "expert", "rank", "token", "count", "sampled", "share", "share_low", "share_high", "lift"),),
    "norm_histogram": ("task", "expert", "bin", "lower", "count"),
    "position_rates": ("task", "expert", "lower", "upper", "firings", "rate"),
    "label_stats": ("task", "label", "expert", "fired", "fires", "lift", "preference", "x", "y", "z"),
    "task_stats": ("task", "expert", "active_rows", "lift", "covered", "covered_least", "p_label", "preference_band"),
    "scores": _SCORES,
    "mention_scores": _SCORES,
}
_SHAPE_COLUMNS = {
    "shapes": (
        *("task", "expert", "points", "class", "absent", "statistic", "spectrum", "effective_dimension", "rms"),
        *("local_dimension", "local_radius", "loops", "clusters"),
    ),
    "shape_tests": ("task", "expert", "statistic", "value", "null_median", "null_limit", "p", "p_adjusted"),
    "shape_classes": ("task", "class", "experts", "tested", "expected"),
}
_OF_CORPORA = ("top_firings", "expert_tokens", "norm_histogram", "position_rates")
_SAMPLED_COLUMNS = {
    "co_firing": ("task", "expert", "rank", "neighbour", "tokens", "log_odds"),
    "token_sample": ("task", "token", "window", "position", "held_out"),
    "token_sample_firings": ("task", "token", "expert", "code"),
    "label_mentions": ("task", "labelled", "label", "name", "mentions", "held_out", "documents"),
    "mentions": ("task", "mention", "labelled", "label", "window", "position", "held_out"),
    "mention_firings": ("task", "mention", "expert", "code"),
}
