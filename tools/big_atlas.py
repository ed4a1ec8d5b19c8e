"""Writes a synthetic atlas of many experts, by whole columns: what tools/bench_site.py bakes and times.

    .venv/bin/python tools/big_atlas.py 16384 /tmp/large/atlas.duckdb
    .venv/bin/python tools/big_atlas.py 2048 /tmp/full/atlas.duckdb --full   # with 3,000 more points of each expert

What a page is slow by is as in a real atlas: thirty thousand token texts used as unevenly as words are, experts that fire on a
few of them, contexts of varied words, titles that are mostly distinct, labels, scores, shapes, and a map with clusters. What is
the same for every expert (tasks, labels, hypotheses, the log of a training) comes from the small atlas of the tests.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.store import write_atlas

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from synthetic import LABELS, MONTHS, NULLS, SHAPE_OF, THRESHOLD, WORDS, Labelled, Size, labelled_tasks, synthetic_tables  # noqa: E402

Array = npt.NDArray[Any]
Columns = dict[str, Any]

KINDS = {"silent": 0.05, "dense": 0.03, "ring": 0.01, "line": 0.02, "task": 0.06, "clusters": 0.1, "ray": 0.73}
"""What experts are made to be, and how many of them."""
SENTENCES = Size(experts=20, more_tasks=True, month_templates=84, number_templates=10, part_templates=63)
"""About a thousand sentences of each labelled task."""
LIKES = {"months": ("ring", "task"), "numbers": ("line",), "body_parts": ("clusters",)}
"""The labelled tasks, and who fires on nearly every sentence of one; others do on few."""
WINDOWS, WIDTH = 8_192, 128
TOKENS, HELD_OUT = 10_000_000, 2_000_000
TEXTS = 30_000
FAVOURITES = (0.4, 0.15, 0.08, 0.05)
"""Shares of an expert's firings that are on its first tokens."""
SHOWN_TOKENS = 12
STRONGEST, OF_A_QUARTER = 20, 5
AROUND = (0.94, 0.02, 0.02, 0.02)
"""How often a token around a firing has each level of `around`."""
MEASURED = 5
"""Of so many firings on the corpus, the importance of one is measured."""
NEAR = 5
CLUSTERS = 60
MANY = 100_000
"""Experts; above it, 100 points are kept of each, below 1,000."""
CLASSED = 0.15
"""Share of clouds on the corpus that have a shape that is a claim."""


@dataclass(frozen=True)
class Experts:
    """Who there is, and what each fires on."""

    kind: Array
    fires: Array
    """Numbers of those that are not silent; every array below has a row for each of these."""
    tokens: Array
    """SHOWN_TOKENS of each, its favourites first."""
    xyz: Array
    norm: Array
    place: Array
    """Of each firing in the corpus, its windows end to end."""
    rate: Array
    random: np.random.Generator

    def are(self, *kinds: str) -> Array:
        """Return which of those that fire are of these kinds."""
        return np.isin(self.kind[self.fires], kinds)


@dataclass(frozen=True)
class Corpus:
    """A text as token ids, and where each token is in it."""

    texts: list[str]
    ids: Array
    starts: Array
    by_token: Array

    @classmethod
    def made(cls, random: np.random.Generator) -> Corpus:
        """Return a corpus whose words are used by Zipf's law."""
        often = 1 / (np.arange(TEXTS) + 2.7)
        ids = random.choice(TEXTS, WINDOWS * WIDTH, p=often / often.sum())
        counts = np.bincount(ids, minlength=TEXTS)
        return cls(token_texts(random), ids, np.append(0, np.cumsum(counts)), np.argsort(ids, kind="stable"))

    @property
    def counts(self) -> Array:
        """How often each token is in it."""
        return np.diff(self.starts)

    def places(self, random: np.random.Generator, tokens: Array) -> Array:
        """Return a place of each of these tokens; any place, where it is nowhere."""
        counts, chance = self.counts[tokens], random.random(tokens.shape)
        found = self.by_token[np.minimum(self.starts[tokens] + (chance * counts).astype(np.int64), len(self.ids) - 1)]
        return np.where(counts > 0, found, (chance * len(self.ids)).astype(np.int64))


def token_texts(random: np.random.Generator) -> list[str]:
    """Return distinct texts: frequent words, labels, then words of random syllables; some are parts of words."""
    starts, vowels, ends = (part.split() for part in ("b br c ch d f fl g gr h j k l m n p pr qu r s sh st t th v w z",
                                                      "a e i o u ai ea io ou", "b d g l m n nd r rt s st t x"))  # fmt: skip
    texts = dict.fromkeys(f" {word}" for word in (*WORDS, *MONTHS, *(text for few in LABELS.values() for text in few)))
    while len(texts) < TEXTS:
        syllables = [random.choice(part, (4_000, 3)) for part in (starts, vowels)]
        for onset, vowel, end, length in zip(*syllables, random.choice(ends, 4_000), random.integers(1, 4, 4_000), strict=True):
            word = "".join(map("".join, zip(onset[:length], vowel[:length], strict=True))) + end
            texts[word if len(texts) % 5 == 4 else f" {word}"] = None
    return list(texts)[:TEXTS]


def made_experts(random: np.random.Generator, corpus: Corpus, count: int, points: int) -> Experts:
    """Return experts that each fire on a few tokens most of the time, with clouds of several forms."""
    kind = random.choice(list(KINDS), count, p=list(KINDS.values()))
    fires = np.flatnonzero(kind != "silent")
    of = kind[fires]
    favoured = (np.arange(TEXTS) + 50.0) ** -0.7
    tokens = random.choice(TEXTS, (len(fires), SHOWN_TOKENS), p=favoured / favoured.sum())
    which = np.searchsorted(np.cumsum(FAVOURITES), random.random((len(fires), points)))
    somewhere = random.integers(0, len(corpus.ids), which.shape)
    liked = np.take_along_axis(tokens, np.minimum(which, len(FAVOURITES) - 1), 1)
    place = np.where(which < len(FAVOURITES), corpus.places(random, liked), somewhere)
    xyz = random.normal(0, 0.25, (len(fires), points, 3)).astype(np.float32)
    straight = np.isin(of, ("ray", "dense"))
    along = random.gamma(3, 1, (straight.sum(), points)).astype(np.float32) + 1
    xyz[straight] += along[..., None] * np.array([1.0, 0.15, 0.05], np.float32)
    turn = random.uniform(0, 2 * np.pi, (np.isin(of, ("ring", "task")).sum(), points))
    xyz[np.isin(of, ("ring", "task"))] += on_ring(turn)
    xyz[of == "line"] += on_line(random.uniform(-1, 1, ((of == "line").sum(), points)))
    centres = np.array([[2.5, 1.0, 0.0], [-1.5, 1.5, 0.5]], np.float32)
    xyz[of == "clusters"] += centres[random.integers(0, 2, ((of == "clusters").sum(), points))]
    # No two are of one size and one flatness.
    xyz *= random.lognormal(0, 0.4, (len(fires), 1, 3)).astype(np.float32)
    rate = np.zeros(count)
    rate[fires] = np.where(of == "dense", random.uniform(0.11, 0.4, len(fires)), random.gamma(1.2, 0.006, len(fires)) + 1e-3)
    rate = np.minimum(rate, np.where(kind == "dense", 1.0, 0.099))
    norm = np.linalg.norm(xyz, axis=2) + np.float32(THRESHOLD)
    return Experts(kind, fires, tokens, xyz, norm, np.sort(place, axis=1), rate, random)


def on_ring(turn: Array) -> Array:
    return np.stack([3 * np.cos(turn), 2.4 * np.sin(turn), np.full_like(turn, 1.5)], -1).astype(np.float32)


def on_line(along: Array) -> Array:
    return np.stack([4 * along, 1.6 * along**2, np.full_like(along, 0.4)], -1).astype(np.float32)


def big_tables(count: int, points: int, *, full: bool) -> dict[str, Columns]:
    """Return the tables of an atlas of `count` experts; of a `full` one all that fire do so on nearly every sentence."""
    random = np.random.default_rng([count, points])
    small = {name: of_first_tasks(columns) for name, columns in synthetic_tables(size=SENTENCES).items()}
    tasks = labelled_tasks(SENTENCES)[: len(LIKES)]
    corpus = Corpus.made(random)
    experts = made_experts(random, corpus, count, points)
    numbers = np.arange(count)
    stats, order = expert_stats(experts)
    tables = {name: small[name] for name in ("labels", "hypotheses", "baselines", "absences", "training_log", "evaluation")} | {
        "provenance": provenance(small["provenance"], experts),
        "tasks": small["tasks"] | {name: corrected(small["tasks"][name], amount) for name, amount in CORPUS_AMOUNTS.items()},
        "windows": windows(small["windows"], corpus),
        "vocabulary": vocabulary(small["vocabulary"], corpus),
        "experts": {name: random.uniform(0.8, 1.2, count) for name in ("decoder_norm", "encoder_norm")} | {"expert": numbers},
        "expert_stats": stats,
        "top_firings": top_firings(experts, order),
        "expert_tokens": expert_tokens(experts, corpus),
        "norm_histogram": norm_histogram(experts),
        "position_rates": position_rates(experts),
        "co_firing": co_firing(experts),
        "neighbours": neighbours(experts),
        "code_axes": code_axes(experts),
    }
    tables |= token_sample(experts, corpus) | overview(experts, corpus)
    labelled = [on_sentences(experts, number, task, full=full) for number, task in enumerate(tasks, start=1)]
    tables |= of_labels(experts, labelled) | of_scores(experts, labelled, small["hypotheses"]) | of_shapes(experts, labelled)
    tables["points"] = stacked([corpus_points(experts), *(one.points for one in labelled)])
    tables["titles"] = titles(experts, corpus)
    return tables


CORPUS_AMOUNTS = {
    "tokens": TOKENS,
    "rows": TOKENS,
    "held_out_tokens": HELD_OUT,
    "importance_tokens": HELD_OUT // 2,
    "documents": WINDOWS,
}


def of_first_tasks(columns: Columns) -> Columns:
    """Return the rows of the corpus and of the labelled tasks that there are."""
    if "task" not in columns:
        return columns
    kept = [row for row, task in enumerate(columns["task"]) if task is None or task <= len(LIKES)]
    return {name: [values[row] for row in kept] for name, values in columns.items()}


def corrected(values: list[Any], first: int) -> list[Any]:
    return [first, *values[1:]]


def stacked(parts: list[Columns]) -> Columns:
    """Return rows one below the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def provenance(small: Columns, experts: Experts) -> Columns:
    facts = {key: json.loads(value) for key, value in zip(small["key"], small["value"], strict=True)}
    facts["dictionary"]["n_experts"] = len(experts.kind)
    facts["corpus"] |= {"documents": WINDOWS, "tokens": TOKENS, "held_out_tokens": HELD_OUT}
    facts["geometry"]["overview"] |= {"experts": len(experts.fires), "left_out": len(experts.kind) - len(experts.fires)}
    return {"key": list(facts), "value": [json.dumps(value) for value in facts.values()]}


def windows(small: Columns, corpus: Corpus) -> Columns:
    labelled = [row for row, task in enumerate(small["task"]) if task > 0]
    number = np.arange(WINDOWS)
    own = {
        "task": 0 * number,
        "window": number,
        "document": number,
        "ordinal": 0 * number,
        "tokens": corpus.ids.reshape(WINDOWS, WIDTH),
    }
    none = [None] * WINDOWS
    return {name: [*own.get(name, none), *(column[row] for row in labelled)] for name, column in small.items()}


def vocabulary(small: Columns, corpus: Corpus) -> Columns:
    own = {
        "task": [0] * TEXTS,
        "token": range(TEXTS),
        "text": corpus.texts,
        "count": (corpus.counts * (TOKENS // len(corpus.ids))).tolist(),
    }
    labelled = [row for row, task in enumerate(small["task"]) if task > 0]
    return {name: [*own[name], *(column[row] for row in labelled)] for name, column in small.items()}


def expert_stats(experts: Experts) -> tuple[Columns, Array]:
    """Return the table, and the places of each expert's firings from the strongest."""
    count, random = len(experts.kind), experts.random
    order = np.argsort(-experts.norm, axis=1, kind="stable")
    down = np.take_along_axis(experts.norm, order, 1)
    firings = np.rint(experts.rate * TOKENS).astype(np.int64)
    fires = experts.kind != "silent"
    code = experts.xyz * (experts.norm / np.linalg.norm(experts.xyz, axis=2))[..., None]
    mean = code.mean(axis=1)
    covariance = np.einsum("epi,epj->eij", code, code) / code.shape[1] - mean[:, :, None] * mean[:, None, :]
    by_kind = np.where(experts.are("ray", "dense"), 0.94, 0.35)
    kept = np.stack([by_kind, *(np.maximum(by_kind, share + 0 * by_kind) for share in (0.85, 0.97, 1.0))], axis=1)
    norms = {
        f"norm_q{of}": down[:, min(round((1 - of / 100) * down.shape[1]), down.shape[1] - 1)] for of in (10, 25, 50, 75, 90, 99)
    }
    placed = {"mean_norm": down.mean(axis=1), "max_norm": down[:, 0], **norms, "dimensions_needed": (kept < 0.9).sum(axis=1)}
    lists = {"mean_code": mean, "code_covariance": covariance.reshape(-1, 9), "importance_kept": kept}
    table = {
        "task": np.zeros(count, int),
        "expert": np.arange(count),
        "firings": firings,
        "held_out_firings": firings // 5,
        "rate": experts.rate,
        "documents": np.minimum(firings, WINDOWS),
        "importance": np.where(fires, random.gamma(0.6, 0.004, count), 0),
        "silent": ~fires,
        "dense": experts.kind == "dense",
    }
    return table | {name: at_experts(experts, values) for name, values in (placed | lists).items()}, order


def at_experts(experts: Experts, values: Array) -> pl.Series:
    """Return values of those that fire as a column over all experts, with nothing where an expert is silent."""
    every = np.full((len(experts.kind), *values.shape[1:]), np.nan)
    every[experts.fires] = values
    column = pl.Series(every)
    return pl.select(pl.when(pl.lit(pl.Series(experts.kind != "silent"))).then(pl.lit(column))).to_series()


def corpus_points(experts: Experts) -> Columns:
    each = experts.norm.shape[1]
    window, position = np.divmod(experts.place.ravel(), WIDTH)
    return {
        "task": np.zeros(len(window), np.int32),
        "expert": np.repeat(experts.fires, each).astype(np.int32),
        "window": window.astype(np.int32),
        "position": position.astype(np.int32),
        "label": np.full(len(window), np.nan, np.float32),
        **dict(zip("xyz", experts.xyz.reshape(-1, 3).T, strict=True)),
        "norm": experts.norm.ravel(),
        "importance": np.where(np.arange(len(window)) % MEASURED == 0, 0.01 * experts.norm.ravel() ** 2, np.nan).astype(
            np.float32
        ),
    }


def top_firings(experts: Experts, order: Array) -> Columns:
    """Return the strongest of each, and a few of each quarter."""
    each = order.shape[1]
    quarters = [start + np.arange(OF_A_QUARTER) * (each // 4) // OF_A_QUARTER for start in np.arange(4) * each // 4]
    strata = {"top": np.arange(STRONGEST)} | dict(zip(("q75", "q50", "q25", "q0"), quarters, strict=True))
    chosen = order[:, np.concatenate(list(strata.values()))]
    window, position = np.divmod(np.take_along_axis(experts.place, chosen, 1).ravel(), WIDTH)
    names = pl.Series([name for name, places in strata.items() for _ in places])
    return {
        "task": np.zeros(len(window), int),
        "expert": np.repeat(experts.fires, chosen.shape[1]),
        "stratum": names.gather(np.tile(np.arange(len(names)), len(chosen))),
        "rank": np.tile(np.concatenate([np.arange(len(places)) for places in strata.values()]), len(chosen)),
        "window": window,
        "position": position,
        "norm": np.take_along_axis(experts.norm, chosen, 1).ravel(),
        "around": np.random.default_rng(0).choice(4, (len(window), 24), p=AROUND).astype(np.uint8),
    }


def expert_tokens(experts: Experts, corpus: Corpus) -> Columns:
    tokens, sampled, z = experts.tokens, 1_000, 1.959964
    rare = 0.02 * 0.8 ** np.arange(SHOWN_TOKENS - len(FAVOURITES))
    share = np.array([*FAVOURITES, *rare]) * experts.random.uniform(0.7, 1.2, tokens.shape)
    count = np.maximum(np.rint(share * sampled), 1)
    share = count / sampled
    new = np.stack([(tokens[:, :column] != tokens[:, [column]]).all(axis=1) for column in range(SHOWN_TOKENS)], axis=1)
    middle, reach = share + z * z / (2 * sampled), z * np.sqrt(share * (1 - share) / sampled + (z / (2 * sampled)) ** 2)
    base = np.maximum(corpus.counts, 1) / len(corpus.ids)
    columns = {
        "expert": np.repeat(experts.fires[:, None], SHOWN_TOKENS, 1),
        "rank": np.cumsum(new, axis=1) - 1,
        "token": tokens,
        "count": count.astype(int),
        "sampled": np.full(tokens.shape, sampled),
        "share": share,
        "share_low": (middle - reach) / (1 + z * z / sampled),
        "share_high": (middle + reach) / (1 + z * z / sampled),
        "lift": share / base[tokens],
        "task": np.zeros(tokens.shape, int),
    }
    return {name: values[new] for name, values in columns.items()}


def norm_histogram(experts: Experts) -> Columns:
    each = experts.norm.shape[1]
    bins = np.floor(8 * np.log2(experts.norm / THRESHOLD)).astype(np.int64).clip(0, 63)
    found, counts = np.unique(experts.fires[:, None] * 64 + bins, return_counts=True)
    expert, place = np.divmod(found, 64)
    return {
        "task": np.zeros(len(found), int),
        "expert": expert,
        "bin": place,
        "lower": THRESHOLD * 2 ** (place / 8),
        "count": np.maximum(np.rint(counts * experts.rate[expert] * TOKENS / each), 1).astype(np.int64),
    }


def position_rates(experts: Experts) -> Columns:
    lower = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    upper = np.array([0, 1, 3, 7, 15, 31, 63, 127])
    rate = experts.rate[experts.fires][:, None] * np.linspace(0.7, 1.1, len(lower))
    return {
        "task": np.zeros(rate.size, int),
        "expert": np.repeat(experts.fires, len(lower)),
        "lower": np.tile(lower, len(rate)),
        "upper": np.tile(upper, len(rate)),
        "firings": np.rint(rate * (TOKENS // WIDTH) * (upper - lower + 1)).astype(np.int64).ravel(),
        "rate": rate.ravel(),
    }


def ringed(numbers: Array) -> tuple[Array, Array, Array]:
    """Return each with the next few: who, how near, and whom."""
    rank = np.arange(min(NEAR, len(numbers) - 1))
    near = numbers[(np.arange(len(numbers))[:, None] + 1 + rank) % len(numbers)]
    return np.repeat(numbers, len(rank)), np.tile(rank, len(numbers)), near.ravel()


def co_firing(experts: Experts) -> Columns:
    expert, rank, near = ringed(experts.fires[~experts.are("dense")])
    return {
        "task": 0 * expert,
        "expert": expert,
        "rank": rank,
        "neighbour": near,
        "tokens": 100 - 10 * rank,
        "log_odds": 4.0 - rank / 2,
    }


def neighbours(experts: Experts) -> Columns:
    kinds = {"output": experts.fires, "encoder": np.arange(len(experts.kind)), "context": experts.fires[1:]}
    parts = []
    for kind, numbers in kinds.items():
        expert, rank, near = ringed(numbers)
        parts.append(
            {"expert": expert, "kind": np.full(len(expert), kind), "rank": rank, "neighbour": near, "value": 0.9 * 0.93**rank}
        )
    return stacked(parts)


def code_axes(experts: Experts) -> Columns:
    variance = np.zeros((len(experts.kind), 3))
    variance[experts.fires] = -np.sort(-experts.xyz.var(axis=1), axis=1)
    total = variance.sum(axis=1, keepdims=True)
    return {
        "expert": np.repeat(np.arange(len(variance)), 3),
        "axis": np.tile(np.arange(3), len(variance)),
        "code": np.tile(np.eye(3), (len(variance), 1)),
        "variance": variance.ravel(),
        "share": (variance / np.where(total > 0, total, 1)).ravel(),
    }


def token_sample(experts: Experts, corpus: Corpus) -> dict[str, Columns]:
    random, count, each = experts.random, 2_000, 16
    token = np.arange(count)
    window, position = np.divmod(np.sort(random.choice(len(corpus.ids), count, replace=False)), WIDTH)
    firing = np.repeat(token, each)
    return {
        "token_sample": {"task": 0 * token, "token": token, "window": window, "position": position, "held_out": window % 3 == 0},
        "token_sample_firings": {
            "task": 0 * firing,
            "token": firing,
            "expert": np.sort(random.choice(experts.fires, (count, each)), axis=1).ravel(),
            "code": random.normal(0, 2, (len(firing), 3)),
        },
    }


def overview(experts: Experts, corpus: Corpus) -> dict[str, Columns]:
    """Return places: clusters of uneven size round a spiral, and a third of the experts anywhere."""
    random, count = experts.random, len(experts.fires)
    weight = 1 / np.arange(3, CLUSTERS + 3)
    cluster = random.choice(CLUSTERS, count, p=weight / weight.sum())
    _, cluster, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    largest_first = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    cluster, found = largest_first[cluster], len(sizes)
    turn = 2.4 * np.arange(found)
    middle = np.sqrt(np.arange(found) + 0.5)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1) * 4
    at = middle[cluster] + random.normal(0, 1.1, (count, 2))
    anywhere = random.random(count) < 1 / 3
    at[anywhere] = random.normal(0, 16, (int(anywhere.sum()), 2))
    members = np.bincount(cluster[~anywhere], minlength=found)
    first = corpus.texts[200:]
    return {
        "overview": {"expert": experts.fires, "x": at[:, 0], "y": at[:, 1], "cluster": np.where(anywhere, np.nan, cluster)},
        "overview_clusters": {
            "cluster": np.arange(found),
            "name": [f"{first[2 * one].strip()} · {first[2 * one + 1].strip()}" for one in range(found)],
            "basis": ["tokens"] * found,
            "experts": members,
            "named": members * 2 // 3,
            "x": middle[:, 0],
            "y": middle[:, 1],
        },
    }


@dataclass(frozen=True)
class OnSentences:
    """What all experts do on one labelled task."""

    task: int
    of: Labelled
    points: Columns
    active: Array
    """Of those that fire at all, rows that each fires on."""
    fired: Array
    """Of those, and of each label, rows."""


def on_sentences(experts: Experts, number: int, task: Labelled, *, full: bool) -> OnSentences:
    random, labels = experts.random, len(task.labels)
    liked = full | experts.are(*LIKES[task.name])
    chance = np.where(liked, 0.95, np.where(experts.are("dense"), 0.5, 0.03))
    who, row = np.nonzero(random.random((len(experts.fires), labels * task.templates), np.float32) < chance[:, None])
    label = row // task.templates
    xyz = random.normal([1.5, 0.5, 0], [0.8, 0.5, 0.3], (len(who), 3)).astype(np.float32)
    ordered = experts.are("ring" if task.name == "months" else "line")[who]
    noise = random.normal(0, 0.2, (int(ordered.sum()), 3)).astype(np.float32)
    drawn = on_ring(2 * np.pi * label[ordered] / 12) if task.name == "months" else on_line(label[ordered] / 50 - 1)
    xyz[ordered] = drawn + noise
    points = {
        "task": np.full(len(who), number, np.int32),
        "expert": experts.fires[who].astype(np.int32),
        "window": row.astype(np.int32),
        "position": np.full(len(who), 2, np.int32),
        "label": label.astype(np.float32),
        **dict(zip("xyz", xyz.T, strict=True)),
        "norm": np.linalg.norm(xyz, axis=1) + np.float32(THRESHOLD),
    }
    points["importance"] = np.float32(0.004) * points["norm"] ** 2
    fired = np.bincount(who * labels + label, minlength=len(experts.fires) * labels).reshape(-1, labels)
    return OnSentences(number, task, points, fired.sum(axis=1), fired)


def of_labels(experts: Experts, labelled: list[OnSentences]) -> dict[str, Columns]:
    rate = experts.rate[experts.fires]
    label_stats, task_stats = [], []
    for one in labelled:
        who, label = np.nonzero(one.fired)
        order = np.lexsort((who, label))
        who, label = who[order], label[order]
        count, of = one.fired[who, label], one.of.templates
        fires, overall = count / of, one.active / one.fired.shape[1] / of
        place = {"x": 1.5 + 0.1 * np.cos(label), "y": 0.5 + 0.1 * np.sin(label), "z": 0.0 * label}
        table = {
            "task": np.full(len(who), one.task),
            "label": label,
            "expert": experts.fires[who],
            "fired": count,
            "fires": fires,
        }
        lift = (count + 20 * rate[who]) / (of + 20) / rate[who]
        label_stats.append(table | {"lift": lift, "preference": 0.5 + (fires - overall[who]) / 2, **place})
        much = np.flatnonzero(one.active >= 50)
        constant = {"covered_least": 0.9, "p_label": 0.0005, "preference_band": 0.07}
        task_stats.append(
            {
                "task": np.full(len(much), one.task),
                "expert": experts.fires[much],
                "active_rows": one.active[much],
                "lift": overall[much] / rate[much],
                "covered": covered(one)[much],
                **{name: np.full(len(much), value) for name, value in constant.items()},
            }
        )
    tables = {"label_stats": label_stats, "task_stats": task_stats, "task_importance": [task_importance(one) for one in labelled]}
    return {name: stacked(parts) for name, parts in tables.items()}


def task_importance(one: OnSentences) -> Columns:
    rows = len(one.of.labels) * one.of.templates
    expert, at = np.unique(one.points["expert"], return_inverse=True)
    total = np.bincount(at, weights=one.points["importance"])
    return {
        "task": np.full(len(expert), one.task),
        "expert": expert,
        "rows": np.full(len(expert), rows),
        "importance": total / rows,
    }


def covered(one: OnSentences) -> Array:
    return (2 * one.fired >= one.of.templates).sum(axis=1)


def of_scores(experts: Experts, labelled: list[OnSentences], hypotheses: Columns) -> dict[str, Columns]:
    """Return scores of every hypothesis; a task's first is an order, supported for those made to have it."""
    parts = []
    for one in labelled:
        for hypothesis in range(hypotheses["task"].count(one.task)):
            who = np.flatnonzero(one.active > 0)
            ordered = experts.are("ring" if one.of.name == "months" else "line")[who] & (hypothesis == 0)
            value = np.where(ordered, experts.random.uniform(0.55, 0.9, len(who)), experts.random.uniform(-0.05, 0.3, len(who)))
            value = value + (0.3 if one.of.name == "months" and hypothesis == 1 else 0)
            testable = one.active[who] >= 50
            ordered &= testable
            p = np.where(testable, np.where(ordered, 0.002, 0.6), np.nan)
            order = np.argsort(-value, kind="stable")
            columns = {
                "expert": experts.fires[who],
                "ranking": value + 0.01,
                "all_rows": value,
                "all_rows_low": value - 0.07,
                "all_rows_high": value + 0.06,
                "where_it_fires": value + 0.05,
                "n_where_it_fires": one.active[who] // 3,
                "left_out_label": value - 0.1,
                "left_out_direction": value - 0.15,
                "covered": covered(one)[who],
                "covered_least": np.where(covered(one)[who] > 0, 0.9, np.nan),
                "active_rows": one.active[who],
                "testable": testable,
                "p_order": p,
                "p_order_adjusted": p,
                "p_within_halves": np.where(ordered, 0.001, np.nan),
                "order_supported": ordered,
            }
            placed = {
                "task": np.full(len(who), one.task),
                "hypothesis": np.full(len(who), hypothesis),
                "rank": np.arange(len(who)),
            }
            parts.append(placed | {name: values[order] for name, values in columns.items()})
    return {"scores": stacked(parts)}


def of_shapes(experts: Experts, labelled: list[OnSentences]) -> dict[str, Columns]:
    """Return a class for every cloud on the corpus, and on tasks for those that fire on half the labels."""
    called = np.array([SHAPE_OF[kind] for kind in experts.kind[experts.fires]])
    classed = experts.random.random(len(called)) < CLASSED
    sources = {0: (np.arange(len(called)), np.where(classed, called, "unclear"))}
    for one in labelled:
        who = np.flatnonzero(2 * (one.fired > 0).sum(axis=1) >= one.fired.shape[1])
        sources[one.task] = (who, np.where(np.isin(called[who], ("ring", "curve", "clusters")), called[who], "unclear"))
    variance = -np.sort(-experts.xyz.var(axis=1), axis=1)
    spectrum = variance / variance.sum(axis=1, keepdims=True)
    shapes, tests, classes = [], [], []
    for task, (who, named) in sources.items():
        of = {"task": np.full(len(who), task), "expert": experts.fires[who]}
        shapes.append(
            of
            | {
                "points": np.full(len(who), experts.norm.shape[1] if task == 0 else 100),
                "class": named.astype(object),
                "absent": np.full(len(who), None),
                "statistic": np.where(named == "unclear", None, "loop"),
                "spectrum": spectrum[who],
                "effective_dimension": 1 / (spectrum[who] ** 2).sum(axis=1),
                "rms": np.sqrt(variance[who].sum(axis=1)),
                "local_dimension": np.full(len(who), 1.5),
                "local_radius": np.full(len(who), 0.25),
                "loops": (named == "ring").astype(int),
                "clusters": 1 + (named == "clusters"),
            }
        )
        for statistic, (median, limit) in NULLS.items():
            values = {"value": median, "null_median": median, "null_limit": limit, "p": 0.5, "p_adjusted": 1.0}
            told = {name: np.full(len(who), value) for name, value in values.items()}
            tests.append(of | {"statistic": np.full(len(who), statistic)} | told)
        for shape in dict.fromkeys(SHAPE_OF.values()):
            classes.append((task, shape, int((named == shape).sum()), len(who), 0.4 if shape != "unclear" else len(who) - 2.0))
    together = stacked(tests)
    by_expert = np.lexsort((together["expert"], together["task"]))
    names = ("task", "class", "experts", "tested", "expected")
    return {
        "shapes": {name: values.tolist() if values.dtype == object else values for name, values in stacked(shapes).items()},
        "shape_tests": {name: values[by_expert] for name, values in together.items()},
        "shape_classes": {name: [row[at] for row in classes] for at, name in enumerate(names)},
    }


def titles(experts: Experts, corpus: Corpus) -> Columns:
    rows: list[tuple[int, str, str, int | None, str, float]] = []
    tokens = dict(zip(experts.fires.tolist(), experts.tokens[:, :3].tolist(), strict=True))
    plain = {
        "silent": ("silent", "silent", None, "firings", 0.0),
        "ring": ("Months, in order", "order", 1, "R² all rows", 0.7),
        "line": ("Numbers 0–99, in order", "order", 2, "R² all rows", 0.7),
        "task": ("Months", "task", 1, "lift", 14.2),
    }
    for expert, kind in enumerate(experts.kind.tolist()):
        named = " · ".join(dict.fromkeys(corpus.texts[token].strip() for token in tokens.get(expert, ())))
        rows.append((expert, *plain.get(kind, (named, "tokens", None, "lift", 31.4))))
    return {name: [row[at] for row in rows] for at, name in enumerate(("expert", "title", "basis", "task", "measure", "value"))}


def write_big_atlas(path: Path, experts: int, *, full: bool = False) -> None:
    """Write an atlas of so many experts; the same number gives the same rows.

    In a full one each expert that fires has about 1,000 points on each of three tasks, beside those on the corpus; in others few.
    """
    write_atlas(path, big_tables(experts, 100 if experts > MANY else 1_000, full=full))


if __name__ == "__main__":
    write_big_atlas(Path(sys.argv[2]), int(sys.argv[1]), full="--full" in sys.argv)
