"""Every measure of what can be read from an expert, as functions of plain arrays: definitions in docs/measures.md."""

from atlas.probe.scores.arrays import ALPHA, COVERED_RATE, MIN_ACTIVE_ROWS, MIN_COVERED, MIN_LABEL_ROWS, MIN_LABELS, Fired, Rows, Scores
from atlas.probe.scores.jointly import MIN_ADDED, Joint, jointly
from atlas.probe.scores.order import Order, benjamini_hochberg, label_order, ranking_forms, supported
from atlas.probe.scores.regression import left_out_label, ranking_scores, scores
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
    "Joint",
    "Order",
    "Rows",
    "Scores",
    "Sums",
    "benjamini_hochberg",
    "jointly",
    "label_order",
    "left_out_label",
    "ranking_forms",
    "ranking_scores",
    "scores",
    "sums",
    "supported",
]
