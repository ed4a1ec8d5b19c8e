"""Every measure of what can be read from an expert, as functions of plain arrays: definitions in docs/measures.md."""

from atlas.probe.scores.arrays import (
    ALPHA,
    COVERED_RATE,
    MIN_ACTIVE_ROWS,
    MIN_COVERED,
    MIN_LABEL_ROWS,
    MIN_LABELS,
    Fired,
    Rows,
    Scores,
)
from atlas.probe.scores.classes import class_chance, class_scores
from atlas.probe.scores.halves import within_halves
from atlas.probe.scores.jointly import MIN_ADDED, Joint, jointly
from atlas.probe.scores.labels import Preference, coverage, fires, label_dependence, preference, smoothed_lift
from atlas.probe.scores.newline import NewlineMeasures, NewlineSums, newline_scores
from atlas.probe.scores.order import Order, benjamini_hochberg, label_order, ranking_forms, supported, untestable
from atlas.probe.scores.reference import (
    Folded,
    adjusted_fisher,
    continuities,
    continuity,
    fisher,
    fisher_ratios,
    reference_firings,
    reference_scores,
)
from atlas.probe.scores.regression import left_out_direction, left_out_label, ranking_scores, scores
from atlas.probe.scores.sums import Sums, sums

__all__ = [
    "ALPHA",
    "COVERED_RATE",
    "MIN_ACTIVE_ROWS",
    "MIN_ADDED",
    "MIN_COVERED",
    "MIN_LABELS",
    "MIN_LABEL_ROWS",
    "Fired",
    "Folded",
    "Joint",
    "NewlineMeasures",
    "NewlineSums",
    "Order",
    "Preference",
    "Rows",
    "Scores",
    "Sums",
    "adjusted_fisher",
    "benjamini_hochberg",
    "class_chance",
    "class_scores",
    "continuities",
    "continuity",
    "coverage",
    "fires",
    "fisher",
    "fisher_ratios",
    "jointly",
    "label_dependence",
    "label_order",
    "left_out_direction",
    "left_out_label",
    "newline_scores",
    "preference",
    "ranking_forms",
    "ranking_scores",
    "reference_firings",
    "reference_scores",
    "scores",
    "smoothed_lift",
    "sums",
    "supported",
    "untestable",
    "within_halves",
]
