"""A task by the reference's protocol: rows in a shuffled order, at most a thousand, and only where an expert fires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray

from atlas.probe.scores import Fired, Folded, Rows, continuities, fisher_ratios, reference_firings, reference_scores
from atlas.probe.tasks import Hypothesis
from atlas.stages import Column, stacked

MAX_SENTENCES = 1000
"""Rows of a task that the reference reads."""


@dataclass(frozen=True)
class ByReference:
    """What the reference's protocol gives; one entry per expert."""

    kept: Bool[np.ndarray, "expert"]
    """It fires on a tenth of the rows."""
    rows: Int64[np.ndarray, "expert"]
    fisher: Float64[np.ndarray, "expert"]
    adjusted_fisher: Float64[np.ndarray, "expert"]
    continuity: Float64[np.ndarray, "expert"]
    scores: Sequence[Folded]
    """Of each hypothesis."""

    def tables(self) -> tuple[Mapping[str, Column], Mapping[str, Column]]:
        """Return `reference_experts` and `reference_scores`, of the experts that are kept, the largest Fisher ratio first."""
        kept = np.flatnonzero(self.kept)
        ranked = kept[np.argsort(-self.fisher[kept], kind="stable")]
        n = len(ranked)
        experts: dict[str, Column] = {
            "expert": ranked.astype(np.int32),
            "rank": np.arange(n, dtype=np.int32),
            **{name: getattr(self, name)[ranked] for name in ("rows", "fisher", "adjusted_fisher", "continuity")},
        }
        scored: list[Mapping[str, Column]] = [
            {
                "hypothesis": np.full(n, number, dtype=np.int32),
                "expert": ranked.astype(np.int32),
                "mean": found.mean[ranked],
                "deviation": found.std[ranked],
            }
            for number, found in enumerate(self.scores)
        ]
        return experts, stacked(scored) if scored else {}


def by_reference(
    rows: Rows,
    fired: Fired,
    x: Float[np.ndarray, "row d_in"],
    hypotheses: Sequence[Hypothesis],
    targets: Sequence[NDArray[Any]],
    n_experts: int,
    seed: int,
) -> ByReference:
    """Return every expert by the reference's protocol.

    Its files are shuffled without a seed and cut to a thousand rows; here the seed decides. `targets` are of the row.
    """
    # The place that each row has among those that are read.
    order = np.random.default_rng(seed).permutation(len(rows.label))[:MAX_SENTENCES]
    place = np.full(len(rows.label), -1)
    place[order] = np.arange(len(order))
    read = place[fired.row] >= 0
    among = Fired(place[fired.row[read]], fired.expert[read].astype(np.int64), fired.code[read])
    used, kept = reference_firings(among, len(order), n_experts, seed)
    label = rows.label[order]
    ratio = fisher_ratios(used, n_experts, label)
    present = np.zeros((n_experts, rows.n_labels), dtype=np.bool_)
    present[used.expert, label[used.row]] = True
    return ByReference(
        kept=kept,
        rows=np.bincount(used.expert, minlength=n_experts),
        fisher=ratio,
        adjusted_fisher=ratio * present.sum(axis=1) / rows.n_labels,
        continuity=continuities(used, n_experts, x[order]),
        scores=[
            reference_scores(used, n_experts, of_rows[order], hypothesis.probe)
            for hypothesis, of_rows in zip(hypotheses, targets, strict=True)
        ],
    )
