"""Every measure of what can be read from an expert, as functions of plain arrays: definitions in docs/measures.md."""

from atlas.probe.scores.arrays import ALPHA, COVERED_RATE, MIN_ACTIVE_ROWS, MIN_COVERED, MIN_LABEL_ROWS, MIN_LABELS, Fired, Rows, Scores
from atlas.probe.scores.regression import (
    Order,
    Sums,
    benjamini_hochberg,
    coverage,
    label_order,
    left_out_label,
    ranking_forms,
    scores,
    sums,
)

__all__ = [
    "ALPHA",
    "COVERED_RATE",
    "MIN_ACTIVE_ROWS",
    "MIN_COVERED",
    "MIN_LABELS",
    "MIN_LABEL_ROWS",
    "Fired",
    "Order",
    "Rows",
    "Scores",
    "Sums",
    "benjamini_hochberg",
    "coverage",
    "label_order",
    "left_out_label",
    "ranking_forms",
    "scores",
    "sums",
]
