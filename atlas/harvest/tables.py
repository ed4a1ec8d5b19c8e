"""What a harvest kept, as the tables of the atlas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from numpy.typing import NDArray

from atlas.dictionary.smixae import code_norms
from atlas.geometry.contribution import coordinates, frames
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.accumulators import BINS_PER_DOUBLING, FIXED_POINT, Errors
from atlas.harvest.around import CONTEXT_TOKENS, unpacked
from atlas.harvest.config import Shape
from atlas.harvest.dimensions import dimensions_needed, importance_kept
from atlas.harvest.neighbours import co_firing
from atlas.harvest.parts import Arrays, Part, Subject
from atlas.harvest.samples import FiredTokens, ranks
from atlas.stages import Column, Ragged, stacked

SHOWN_CONTEXTS = 24
"""Strongest firings written per expert."""

SHOWN_OF_BAND = 8
"""Firings written per quantile band of an expert."""

BANDS = ("q0", "q25", "q50", "q75")
"""Quarters of an expert's sampled firings by norm, weakest first."""

SHOWN_TOKENS = 24
"""Tokens written per expert."""

SAME_TOKENS = 5
"""Two firings with the same tokens this far to each side are one context."""

PRIOR_WEIGHT = 20
"""Firings' worth of base rate that a lift is smoothed with."""

DENSE_RATE = 0.1
"""Firing rate above which an expert counts as dense."""

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

NORMAL_95 = 1.959963984540054
"""Standard deviations that hold 95 % of a normal distribution."""

Tables = dict[str, dict[str, Column]]


class Made(NamedTuple):
    """The tables of a harvest and what it found of the whole dictionary."""

    tables: Tables
    provenance: dict[str, Any]


def tables(subject: Subject, kept: Sequence[Accumulated], parts: Sequence[Sequence[Part]]) -> Made:
    """Return the tables of all corpora, one below the other.

    With them come, for later stages, the `codes` of the points, row by row, and the `frames` that contributions are drawn in: the
    principal axes of the first corpus' samples.
    """
    shape = Shape(**subject.about["shape"])
    made: list[Tables] = []
    found: list[dict[str, Any]] = []
    frame: NDArray[Any] | None = None
    for task, (whole, of_corpus) in enumerate(zip(kept, parts, strict=True)):
        sample = arrays(whole.sample.firings())
        if frame is None:
            frame = frames(subject.arrays["gram"], sample["expert"], sample["code"])
        described = subject.about["corpora"][task]
        of_task, found_here = _corpus_tables(task, whole, sample, _spooled(of_corpus, described["chunks"]), frame, shape, subject)
        made.append(of_task)
        found.append({**described, **found_here})
    experts: dict[str, Column] = {
        "expert": np.arange(shape.n_experts, dtype=np.int32),
        "decoder_norm": subject.arrays["decoder_norm"],
        "encoder_norm": subject.arrays["encoder_norm"],
    }
    assert frame is not None
    return Made(
        {
            **{name: stacked([of_task[name] for of_task in made]) for name in made[0]},
            "experts": experts,
            "frames": {"frame": frame},
        },
        {
            **subject.about["provenance"],
            "corpus": found[0],
            "corpora": found,
            "fidelity": found[0]["fidelity"],
        },
    )


def _corpus_tables(
    task: int,
    kept: Accumulated,
    sample: Arrays,
    spool: Iterator[Arrays],
    frame: Float[np.ndarray, "expert d_code 3"],
    shape: Shape,
    subject: Subject,
) -> tuple[Tables, dict[str, Any]]:
    """Return one corpus' tables, and what was found of the dictionary on it."""
    n = shape.n_experts
    totals, errors = arrays(kept.totals.state()), Errors.values(arrays(kept.errors.state()))
    top, token_sample, mentions = arrays(kept.top.firings()), arrays(kept.token_sample.state()), arrays(kept.mentions.state())
    counts, histogram = kept.vocabulary.counts.cpu().numpy(), kept.histogram.counts.cpu().numpy()
    fired, norm = arrays(kept.fired_tokens.firings()), code_norms(torch.from_numpy(sample["code"]), dim=1).numpy()
    tokens, held_out = int(totals["tokens"][0]), int(totals["held_out_tokens"][0])
    described = subject.about["corpora"][task]

    windows = Windows(spool, [sample, top, token_sample, mentions])
    top = windows.distinct_contexts(top, n, shape.window_width)
    bands = quantile_bands(sample, norm, n)
    used = windows.used([sample, top, token_sample, mentions])
    vocabulary = np.unique(np.concatenate([windows.token_ids(used).values, np.flatnonzero(counts)]))
    xyz = coordinates(frame, sample["expert"], sample["code"])
    stats = expert_stats(totals, errors, histogram, subject.arrays["gram"], shape)

    def places(firings: Arrays) -> dict[str, Column]:
        return {"window": np.searchsorted(used, windows.index(firings)).astype(np.int32), "position": firings["position"]}

    def evidence(stratum: str, firings: Arrays, norm: NDArray[Any]) -> dict[str, Column]:
        return {
            "expert": firings["expert"].astype(np.int32),
            "stratum": [stratum] * len(norm),
            "rank": _ranks(firings["expert"], n).astype(np.int32),
            **places(firings),
            "norm": norm,
            "around": _equally_long(unpacked(firings["around"])),
        }

    made: Tables = {
        "tasks": {
            "name": [described["name"]],
            "title": [described["title"]],
            "kind": ["corpus"],
            "family": ["corpus"],
            "description": [described["description"]],
            "cyclic": [False],
            "tokens": [tokens],
            "held_out_tokens": [held_out],
            "importance_tokens": [int(errors["tokens"][0])],
            "documents": [int(totals["documents"][0])],
            "rows": [tokens],
            "templates": [0],
            "dropped": [0],
            "needs": [""],
        },
        "windows": {
            "window": np.arange(len(used), dtype=np.int32),
            "document": windows.document[used],
            "ordinal": windows.ordinal[used],
            "tokens": windows.token_ids(used),
        },
        "vocabulary": {
            "token": vocabulary.astype(np.int32),
            "text": [subject.texts[token] for token in vocabulary.tolist()],
            "count": counts[vocabulary],
        },
        "expert_stats": stats,
        "points": {
            "expert": sample["expert"].astype(np.int32),
            **places(sample),
            "x": xyz[:, 0],
            "y": xyz[:, 1],
            "z": xyz[:, 2],
            "norm": norm,
            "importance": point_importance(sample["gain"], errors),
        },
        "codes": {"code": sample["code"]},
        "top_firings": stacked([evidence("top", top, top["norm"]), *(evidence(*band) for band in bands)]),
        "expert_tokens": expert_tokens(fired["expert"], FiredTokens.token_ids(fired["firing"]), counts, n),
        "norm_histogram": norm_histogram(histogram, shape.threshold),
        "position_rates": position_rates(totals, shape),
        "co_firing": co_firing(kept.co_firing, totals, token_sample, np.asarray(stats["dense"])),
        "token_sample": {
            "token": np.arange(len(token_sample["key"]), dtype=np.int32),
            **places(token_sample),
            "held_out": token_sample["held_out"].tolist(),
        },
        "token_sample_firings": {"token": token_sample["token"], **_coded(token_sample)},
        "label_mentions": _label_mentions(kept, subject.about["words"]),
        "mentions": _mentions(mentions, subject.about["words"], places(mentions)),
        "mention_firings": {"mention": mentions["token"], **_coded(mentions)},
    }
    made = {name: {"task": _same(task, columns), **columns} for name, columns in made.items()}
    variance = _variance(errors)
    return made, {
        "co_firing": {
            "exact": kept.co_firing.is_exact,
            "tokens": tokens if kept.co_firing.is_exact else len(token_sample["key"]),
        },
        "fidelity": {
            "fvu_held_out": float(errors["residual_squared"][0]) / variance if variance else None,
            "firings_per_token": int(totals["firings"].sum()) / max(tokens, 1),
            "held_out_tokens": int(errors["tokens"][0]),
        },
    }


def arrays(state: dict[str, torch.Tensor]) -> Arrays:
    """Return tensors as arrays."""
    return {name: value.cpu().numpy() for name, value in state.items()}


def expert_stats(
    totals: Arrays,
    errors: Arrays,
    histogram: Int64[np.ndarray, "expert bin"],
    gram: Float[np.ndarray, "expert d_code d_code"],
    shape: Shape,
) -> dict[str, Column]:
    """Return each expert's counts, rate, importance, norms and moments of its code from the sums of a pass; `gram` is D·Dᵀ."""
    firings, held_out = totals["firings"], totals["held_out_firings"]
    rate = firings / max(int(totals["tokens"][0]), 1)
    variance = _variance(errors)
    fired = firings > 0
    mean_norm, mean, covariance = code_moments(totals["moments"], firings, shape)
    importance = errors["gain"] / variance if variance else np.zeros(len(firings))
    # Sums are of codes in units of the threshold, and of lengths in the unit of rows.
    kept = importance_kept(gram * ((shape.threshold or 1.0) / shape.unit) ** 2, errors["pairs"], errors["gain"])
    kept[importance <= 0] = np.nan
    quantiles = norm_quantiles(histogram, shape.threshold, totals["max_norm"])
    return {
        "expert": np.arange(len(firings), dtype=np.int32),
        "firings": firings,
        "held_out_firings": held_out,
        "rate": rate,
        "documents": totals["documents_fired"],
        "importance": importance,
        "importance_kept": _lists(kept, importance > 0),
        "dimensions_needed": dimensions_needed(kept),
        "mean_norm": mean_norm,
        "max_norm": np.where(fired, totals["max_norm"].astype(np.float64), np.nan),
        **{f"norm_q{round(100 * q)}": column for q, column in zip(QUANTILES, quantiles.T, strict=True)},
        "mean_code": _lists(mean, fired),
        "code_covariance": _lists(covariance, fired),
        # Where nothing is held out, all tokens are what there is to fire on.
        "silent": (held_out if totals["held_out_tokens"][0] else firings) == 0,
        "dense": rate > DENSE_RATE,
    }


def point_importance(gain: Float[np.ndarray, "firing"], errors: Arrays) -> Float[np.ndarray, "firing"]:
    """Return what firings spare over the mean of ‖x - x̄‖²: an expert's importance is the sum of its firings' over the rows.

    NaN where it is not measured, and where the rows have no variance.
    """
    return (gain * (int(errors["tokens"][0]) / (_variance(errors) or np.nan))).astype(np.float32)


def _lists(values: NDArray[Any], present: NDArray[Any]) -> Ragged:
    """Return each expert's numbers as a list, empty where there are none."""
    n = int(np.prod(values.shape[1:]))
    return Ragged(values[present].reshape(int(present.sum()) * n), np.concatenate([[0], np.cumsum(present * n)]))


def code_moments(
    moments: Int64[np.ndarray, "expert moment"], firings: Int64[np.ndarray, "expert"], shape: Shape
) -> tuple[Float[np.ndarray, "expert"], Float[np.ndarray, "expert d_code"], Float[np.ndarray, "expert d_code d_code"]]:
    """Return mean norm, mean code and covariance of the code over each expert's firings; NaN where it has none."""
    d, unit = shape.d_code, shape.threshold or 1.0
    n = np.where(firings > 0, firings, np.nan)[:, None]
    means = moments / FIXED_POINT / n
    mean = means[:, 1 : 1 + d] * unit
    second = np.empty((len(firings), d, d))
    row, column = np.triu_indices(d)
    second[:, row, column] = second[:, column, row] = means[:, 1 + d :] * unit**2
    return means[:, 0] * unit, mean, second - mean[:, :, None] * mean[:, None, :]


def norm_quantiles(
    histogram: Int64[np.ndarray, "expert bin"], threshold: float, largest: Float[np.ndarray, "expert"]
) -> Float[np.ndarray, "expert quantile"]:
    """Return the quantiles of each expert's norms from their logarithmic bins; NaN where it never fires.

    Without a threshold there are no bins, and none is known.

    Norms are taken to lie evenly, on the logarithmic scale, in the bin; the last bin reaches to the largest that was met.
    """
    n = histogram.sum(axis=1)
    below = np.cumsum(histogram, axis=1)
    found = np.full((len(histogram), len(QUANTILES)), np.nan)
    for i, q in enumerate(QUANTILES):
        wanted = q * n
        at = (below < wanted[:, None]).sum(axis=1).clip(max=histogram.shape[1] - 1)
        inside = np.take_along_axis(histogram, at[:, None], 1)[:, 0]
        before = np.take_along_axis(below, at[:, None], 1)[:, 0] - inside
        share = np.divide(wanted - before, inside, out=np.zeros(len(n)), where=inside > 0)
        lower = threshold * 2.0 ** (at / BINS_PER_DOUBLING)
        is_last = at == histogram.shape[1] - 1
        width = np.where(is_last, np.log2(np.maximum(largest, lower) / lower) if threshold > 0 else 0.0, 1 / BINS_PER_DOUBLING)
        found[:, i] = np.where((n > 0) & (threshold > 0), np.minimum(lower * 2.0 ** (share * width), largest), np.nan)
    return found


def quantile_bands(sample: Arrays, norm: Float[np.ndarray, "firing"], n_experts: int) -> list[tuple[str, Arrays, NDArray[Any]]]:
    """Return, per quarter of each expert's sampled firings by norm, the first few of it in the order of the hash.

    An expert with fewer than four sampled firings has no quarters.
    """
    expert = sample["expert"]
    sampled = np.bincount(expert, minlength=n_experts)
    by_norm = np.lexsort((sample["key"], norm, expert))
    rank = np.empty(len(expert), dtype=np.int64)
    rank[by_norm] = _ranks(expert[by_norm], n_experts)
    band = rank * len(BANDS) // np.maximum(sampled[expert], 1)
    found = []
    for number, name in reversed(list(enumerate(BANDS))):
        inside = np.flatnonzero((band == number) & (sampled[expert] >= len(BANDS)))
        shown = inside[_ranks(expert[inside], n_experts) < SHOWN_OF_BAND]
        found.append((name, {key: column[shown] for key, column in sample.items()}, norm[shown]))
    return found


def expert_tokens(
    expert: Int64[np.ndarray, "firing"],
    token_id: Int[np.ndarray, "firing"],
    counts: Int64[np.ndarray, "vocabulary"],
    n_experts: int,
) -> dict[str, Column]:
    """Return the tokens that each expert's sampled firings are on, with share, its interval, and lift.

    Tokens stand in the order of share · log(lift), their part of the divergence of the expert's tokens from the corpus'; only
    those with lift above 1 are given. The lift is smoothed with `PRIOR_WEIGHT` firings at the base rate.
    """
    sampled = np.bincount(expert, minlength=n_experts)
    pair, count = np.unique(expert * len(counts) + token_id, return_counts=True)
    owner, token = pair // len(counts), pair % len(counts)
    base = counts[token] / counts.sum()
    share = count / sampled[owner]
    lift = (count + PRIOR_WEIGHT * base) / (sampled[owner] + PRIOR_WEIGHT) / base
    order = np.lexsort((token, -share * np.log(lift), owner))
    order = order[lift[order] > 1]
    rank = _ranks(owner[order], n_experts)
    order, rank = order[rank < SHOWN_TOKENS], rank[rank < SHOWN_TOKENS]
    low, high = binomial_interval(count[order], sampled[owner[order]])
    return {
        "expert": owner[order].astype(np.int32),
        "rank": rank.astype(np.int32),
        "token": token[order].astype(np.int32),
        "count": count[order].astype(np.int32),
        "sampled": sampled[owner[order]].astype(np.int32),
        "share": share[order],
        "share_low": low,
        "share_high": high,
        "lift": lift[order],
    }


def binomial_interval(
    count: Int64[np.ndarray, "entry"], n: Int64[np.ndarray, "entry"]
) -> tuple[Float[np.ndarray, "entry"], Float[np.ndarray, "entry"]]:
    """Return the 95 % interval of a share (Wilson 1927), which stays within 0 and 1."""
    share, z2 = count / n, NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def norm_histogram(counts: Int64[np.ndarray, "expert bin"], threshold: float) -> dict[str, Column]:
    """Return the bins that hold anything, with the smallest norm that falls in each."""
    expert, bins = counts.nonzero()
    return {
        "expert": expert.astype(np.int32),
        "bin": bins.astype(np.int32),
        "lower": threshold * 2.0 ** (bins / BINS_PER_DOUBLING),
        "count": counts[expert, bins],
    }


def position_rates(totals: Arrays, shape: Shape) -> dict[str, Column]:
    """Return how often each expert fires in each range of positions that has tokens: 0, 1, 2-3, 4-7, …"""
    tokens, fired = totals["position_tokens"], totals["positions_fired"]
    met = np.flatnonzero(tokens)
    lower, upper = (
        np.array([0] + [2**i for i in range(len(tokens) - 1)])[met],
        np.array([2**i - 1 for i in range(len(tokens))])[met],
    )
    expert = np.repeat(np.arange(len(fired), dtype=np.int32), len(met))
    firings = fired[:, met].ravel()
    return {
        "expert": expert,
        "lower": np.tile(lower, len(fired)).astype(np.int32),
        "upper": np.tile(np.minimum(upper, shape.window_width - 1), len(fired)).astype(np.int32),
        "firings": firings,
        "rate": firings / np.tile(tokens[met], len(fired)),
    }


def _coded(state: Arrays) -> dict[str, Column]:
    return {"expert": state["expert"], "code": _equally_long(state["code"])}


def _equally_long(rows: NDArray[Any]) -> Ragged:
    n, width = rows.shape
    return Ragged(rows.reshape(n * width), np.arange(n + 1, dtype=np.int64) * width)


def _labels(words: dict[str, list[str]]) -> tuple[list[str], list[int], list[str]]:
    """Return task, number and name of every label, in the order of word numbers."""
    every = [(task, number, name) for task, names in words.items() for number, name in enumerate(names)]
    return [task for task, _, _ in every], [number for _, number, _ in every], [name for _, _, name in every]


def _label_mentions(kept: Accumulated, words: dict[str, list[str]]) -> dict[str, Column]:
    task, number, name = _labels(words)
    counts = arrays(kept.mention_counts.state())
    return {
        "labelled": task,
        "label": np.array(number, dtype=np.int32),
        "name": name,
        **{column: counts[column] for column in ("mentions", "held_out", "documents")},
    }


def _mentions(mentions: Arrays, words: dict[str, list[str]], places: dict[str, Column]) -> dict[str, Column]:
    task, number, _ = _labels(words)
    word = mentions["group"].tolist()
    return {
        "mention": np.arange(len(word), dtype=np.int32),
        "labelled": [task[i] for i in word],
        "label": np.array([number[i] for i in word], dtype=np.int32),
        **places,
        "held_out": mentions["held_out"].tolist(),
    }


def _spooled(parts: Sequence[Part], chunks: int) -> Iterator[Arrays]:
    """Yield the spooled windows of every chunk, from the part whose it is."""
    return (parts[chunk % len(parts)].windows(chunk) for chunk in range(chunks))


class Windows:
    """The spooled windows that kept firings point into."""

    def __init__(self, spool: Iterator[Arrays], pointing: list[Arrays]) -> None:
        wanted = np.unique(np.concatenate([_address(firings["document"], firings["window"]) for firings in pointing]))
        document, ordinal, tokens = [], [], []
        for chunk in spool:
            hit = np.flatnonzero(np.isin(_address(chunk["document"], chunk["ordinal"]), wanted))
            document.append(chunk["document"][hit])
            ordinal.append(chunk["ordinal"][hit])
            tokens += [chunk["token_ids"][chunk["offsets"][i] : chunk["offsets"][i + 1]] for i in hit]
        found = np.concatenate([_address(d, o) for d, o in zip(document, ordinal, strict=True)])
        order = np.argsort(found)
        self._address = found[order]
        self.document: Int64[np.ndarray, "window"] = np.concatenate(document)[order]
        self.ordinal: Int[np.ndarray, "window"] = np.concatenate(ordinal)[order]
        self._tokens = [tokens[i] for i in order]

    def index(self, firings: Arrays) -> Int64[np.ndarray, "firing"]:
        """Return the window of each firing."""
        return np.searchsorted(self._address, _address(firings["document"], firings["window"]))

    def used(self, pointing: list[Arrays]) -> Int64[np.ndarray, "window"]:
        """Return the windows that any of these firings points into, in order."""
        return np.unique(np.concatenate([self.index(firings) for firings in pointing]))

    def token_ids(self, windows: Int64[np.ndarray, "window"]) -> Ragged:
        """Return the token ids of windows."""
        rows = [self._tokens[i] for i in windows]
        values = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        return Ragged(values, np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64))

    def distinct_contexts(self, top: Arrays, n_experts: int, width: int) -> Arrays:
        """Return each expert's strongest firings without those whose context a stronger one shows too.

        That is so where the neighbouring tokens are the same, and where the spans shown overlap in one document.
        """
        keep = np.zeros(len(top["expert"]), dtype=bool)
        place = top["window"].astype(np.int64) * width + top["position"]
        window = self.index(top)
        ends = np.searchsorted(top["expert"], np.arange(n_experts), side="right")
        for first, last in zip(np.concatenate([[0], ends[:-1]]), ends, strict=True):
            shown: list[tuple[int, int]] = []
            seen: set[bytes] = set()
            for i in range(first, last):
                if len(shown) == SHOWN_CONTEXTS:
                    break
                at, here = top["position"][i], (int(top["document"][i]), int(place[i]))
                around = self._tokens[window[i]][max(0, at - SAME_TOKENS) : at + SAME_TOKENS + 1].tobytes()
                overlaps = any(here[0] == document and abs(here[1] - other) <= 2 * CONTEXT_TOKENS for document, other in shown)
                if around not in seen and not overlaps:
                    keep[i] = True
                    shown.append(here)
                    seen.add(around)
        return {name: column[keep] for name, column in top.items()}


def _address(document: Int64[np.ndarray, "window"], ordinal: Int[np.ndarray, "window"]) -> Int64[np.ndarray, "window"]:
    """Return one number for a window's place in the corpus; a document has fewer than 2²⁴ windows."""
    return document.astype(np.int64) * 2**24 + ordinal


def _ranks(expert: Int[np.ndarray, "firing"], n_experts: int) -> Int64[np.ndarray, "firing"]:
    return ranks(torch.from_numpy(expert.astype(np.int64)), n_experts).numpy()


def _variance(errors: Arrays) -> float:
    """Return Σ‖x - x̄‖² over the rows that importance is measured on, as Σ‖x‖² - ‖Σx‖²/n."""
    return float(errors["x_squared"][0] - (errors["x"] @ errors["x"]) / max(int(errors["tokens"][0]), 1))


def _same(task: int, columns: dict[str, Column]) -> NDArray[Any]:
    column = next(iter(columns.values()))
    n = len(column.offsets) - 1 if isinstance(column, Ragged) else len(column)
    return np.full(n, task, dtype=np.int32)
