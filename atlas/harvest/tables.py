"""What a harvest kept, as the tables of the atlas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from numpy.typing import NDArray

from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.vocabulary import token_texts
from atlas.dictionary import Checkpoint, Smixae
from atlas.geometry.contribution import coordinates, frames
from atlas.harvest.accumulators import BINS_PER_DOUBLING, FIXED_POINT, Accumulators, Kept, ranks
from atlas.stages import Column, Ragged

CORPUS_TASK = 0
"""The corpus comes first among an atlas' tasks."""

SHOWN_CONTEXTS = 24
"""Strongest firings written per expert."""

SHOWN_TOKENS = 24
"""Tokens written per expert."""

CONTEXT_TOKENS = 5
"""Two firings with the same tokens this far to each side are one context."""

PRIOR_WEIGHT = 20
"""Firings' worth of base rate that a lift is smoothed with."""

DENSE_RATE = 0.1
"""Firing rate above which an expert counts as dense."""

Arrays = dict[str, NDArray[Any]]


class Made(NamedTuple):
    """The tables of a harvest and what it found of the whole dictionary."""

    tables: dict[str, dict[str, Column]]
    provenance: dict[str, Any]


def tables(kept: Accumulators, spool: Iterable[Arrays], checkpoint: Checkpoint, model: LanguageModel, corpus: Corpus) -> Made:
    """Return the tables of task 0, the corpus, and the `frames` that later stages draw contributions in."""
    smixae = checkpoint.smixae
    totals = {name: value.cpu().numpy() for name, value in kept.totals.state().items()}
    sample, top = _arrays(kept.sample), _arrays(kept.top)
    counts = kept.vocabulary.counts.cpu().numpy()
    tokens, held_out = int(totals["tokens"][0]), int(totals["held_out_tokens"][0])

    windows = _Windows(spool, [sample, top])
    top = windows.distinct_contexts(top, smixae.n_experts)
    frame = frames(smixae.decoder.cpu().numpy(), sample["expert"], sample["code"])
    xyz = coordinates(frame, sample["expert"], sample["code"])
    used = windows.used([sample, top])
    vocabulary = np.unique(np.concatenate([windows.token_ids(used).values, np.flatnonzero(counts)]))

    def task(n: int) -> NDArray[Any]:
        return np.full(n, CORPUS_TASK, dtype=np.int32)

    made: dict[str, dict[str, Column]] = {
        "tasks": {
            "task": [CORPUS_TASK],
            "name": [corpus.name],
            "title": [corpus.title],
            "kind": ["corpus"],
            "family": ["corpus"],
            "description": [corpus.description],
            "cyclic": [False],
            "tokens": [tokens],
            "held_out_tokens": [held_out],
            "rows": [tokens],
            "templates": [0],
            "dropped": [0],
        },
        "experts": {
            "expert": np.arange(smixae.n_experts, dtype=np.int32),
            "decoder_norm": smixae.decoder_norm.cpu().numpy().astype(np.float64),
            "encoder_norm": _encoder_norm(smixae),
        },
        "windows": {
            "task": task(len(used)),
            "window": np.arange(len(used), dtype=np.int32),
            "document": windows.document[used],
            "ordinal": windows.ordinal[used],
            "tokens": windows.token_ids(used),
        },
        "vocabulary": {
            "task": task(len(vocabulary)),
            "token": vocabulary.astype(np.int32),
            "text": token_texts(model.tokenizer, vocabulary.tolist()),
            "count": counts[vocabulary],
        },
        "expert_stats": {"task": task(smixae.n_experts), **expert_stats(totals)},
        "points": {
            "task": task(len(xyz)),
            "expert": sample["expert"].astype(np.int32),
            "window": np.searchsorted(used, windows.index(sample)).astype(np.int32),
            "position": sample["position"],
            "x": xyz[:, 0],
            "y": xyz[:, 1],
            "z": xyz[:, 2],
            "norm": sample["norm"],
        },
        "top_firings": {
            "task": task(len(top["expert"])),
            "expert": top["expert"].astype(np.int32),
            "stratum": ["top"] * len(top["expert"]),
            "rank": _ranks(top["expert"], smixae.n_experts).astype(np.int32),
            "window": np.searchsorted(used, windows.index(top)).astype(np.int32),
            "position": top["position"],
            "norm": top["norm"],
        },
        "norm_histogram": norm_histogram(kept.histogram.counts.cpu().numpy(), smixae),
        "frames": {"frame": frame},
    }
    shown = expert_tokens(sample["expert"], sample["token_id"], counts, smixae.n_experts)
    made["expert_tokens"] = {"task": task(len(shown["expert"])), **shown}
    return Made(
        made,
        {
            "fidelity": {
                "fvu_held_out": _over(float(totals["residual_squared"][0]), _variance(totals)),
                "firings_per_token": int(totals["firings"].sum()) / max(tokens, 1),
                "held_out_tokens": held_out,
            }
        },
    )


def expert_stats(totals: Arrays) -> dict[str, Column]:
    """Return each expert's counts, rate, importance and norms from the pass' totals."""
    firings, held_out = totals["firings"], totals["held_out_firings"]
    rate = firings / max(int(totals["tokens"][0]), 1)
    variance = _variance(totals)
    fired = firings > 0
    mean_norm = np.divide(totals["norm"] / FIXED_POINT, firings, out=np.full(len(firings), np.nan), where=fired)
    return {
        "expert": np.arange(len(firings), dtype=np.int32),
        "firings": firings,
        "held_out_firings": held_out,
        "rate": rate,
        "importance": totals["gain"] / variance if variance else np.zeros(len(firings)),
        "mean_norm": mean_norm,
        "max_norm": np.where(fired, totals["max_norm"].astype(np.float64), np.nan),
        "silent": held_out == 0,
        "dense": rate > DENSE_RATE,
    }


def expert_tokens(
    expert: Int64[np.ndarray, "firing"],
    token_id: Int[np.ndarray, "firing"],
    counts: Int64[np.ndarray, "vocabulary"],
    n_experts: int,
) -> dict[str, Column]:
    """Return the tokens that each expert's sampled firings are on, with share and lift.

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
    return {
        "expert": owner[order].astype(np.int32),
        "rank": rank.astype(np.int32),
        "token": token[order].astype(np.int32),
        "count": count[order].astype(np.int32),
        "sampled": sampled[owner[order]].astype(np.int32),
        "share": share[order],
        "lift": lift[order],
    }


def norm_histogram(counts: Int64[np.ndarray, "expert bin"], smixae: Smixae) -> dict[str, Column]:
    """Return the bins that hold anything, with the smallest norm that falls in each."""
    expert, bins = counts.nonzero()
    return {
        "task": np.full(len(expert), CORPUS_TASK, dtype=np.int32),
        "expert": expert.astype(np.int32),
        "bin": bins.astype(np.int32),
        "lower": smixae.threshold * 2.0 ** (bins / BINS_PER_DOUBLING),
        "count": counts[expert, bins],
    }


class _Windows:
    """The spooled windows that kept firings point into."""

    def __init__(self, spool: Iterable[Arrays], pointing: list[Arrays]) -> None:
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

    def distinct_contexts(self, top: Arrays, n_experts: int) -> Arrays:
        """Return each expert's strongest firings without those whose neighbouring tokens a stronger one has too."""
        keep = np.zeros(len(top["expert"]), dtype=bool)
        seen: set[tuple[int, bytes]] = set()
        for i, (expert, window, at) in enumerate(zip(top["expert"], self.index(top), top["position"], strict=True)):
            around = self._tokens[window][max(0, at - CONTEXT_TOKENS) : at + CONTEXT_TOKENS + 1].tobytes()
            keep[i] = (expert, around) not in seen
            seen.add((expert, around))
        kept = {name: column[keep] for name, column in top.items()}
        shown: Bool[np.ndarray, "firing"] = _ranks(kept["expert"], n_experts) < SHOWN_CONTEXTS
        return {name: column[shown] for name, column in kept.items()}


def _encoder_norm(smixae: Smixae) -> Float[np.ndarray, "expert"]:
    """Return the Frobenius norm of each expert's encoder columns."""
    columns = smixae.weights.W_enc.double().square().sum(dim=0)
    norm: Float[np.ndarray, "expert"] = columns.view(smixae.n_experts, -1).sum(dim=1).sqrt().cpu().numpy()
    return norm


def _address(document: Int64[np.ndarray, "window"], ordinal: Int[np.ndarray, "window"]) -> Int64[np.ndarray, "window"]:
    """Return one number for a window's place in the corpus; a document has fewer than 2²⁴ windows."""
    return document * 2**24 + ordinal


def _arrays(kept: Kept) -> Arrays:
    kept.settle()
    return {name: column.cpu().numpy() for name, column in kept.firings.items()}


def _ranks(expert: Int[np.ndarray, "firing"], n_experts: int) -> Int64[np.ndarray, "firing"]:
    return ranks(torch.from_numpy(expert.astype(np.int64)), n_experts).numpy()


def _variance(totals: Arrays) -> float:
    """Return Σ‖x - x̄‖² over held-out rows, in fixed-point units, as Σ‖x‖² - ‖Σx‖²/n."""
    n = int(totals["held_out_tokens"][0])
    total: Float[np.ndarray, "d_in"] = totals["x"] / FIXED_POINT
    return float(totals["x_squared"][0] - (total @ total) / max(n, 1) * FIXED_POINT)


def _over(part: float, whole: float) -> float | None:
    return float(part) / whole if whole else None
