"""What every measure takes and gives: labelled rows, firings on them, and scores, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

MIN_ACTIVE_ROWS = 50
"""Rows that an expert must fire on to be probed."""

MIN_LABEL_ROWS = 5
"""Active rows that a label needs to take part in the label-order null."""

MIN_LABELS = 3
"""Labels that an expert needs so that their order can be tested."""

MIN_COVERED = 6
"""Labels that an expert must cover so that its order may be called supported."""

COVERED_RATE = 0.5
"""P(fires | label) from which a label counts as covered."""

ALPHA = 0.05
N_PERMUTATIONS = 2000
N_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Rows:
    """The labelled rows that all experts are probed on."""

    label: Int64[np.ndarray, "row"]
    template: Int64[np.ndarray, "row"]
    fold: Int64[np.ndarray, "template"]
    """Each template's group."""
    report: Bool[np.ndarray, "template"]
    """Templates that take no part in ranking."""
    n_labels: int


class Fired(NamedTuple):
    """Which experts fire on which rows, in any order."""

    row: Int[np.ndarray, "firing"]
    expert: Int[np.ndarray, "firing"]
    code: Float[np.ndarray, "firing d_code"]


class Scores(NamedTuple):
    """One hypothesis on every expert given: R² for numbers, balanced accuracy for classes.

    1 is perfect. An R² of 0 is no better than the mean of the training rows; a balanced accuracy of one over the number of
    classes is no better than guessing.
    """

    ranking: Float64[np.ndarray, "expert"]
    """On all ranking rows, cross-validated over their groups."""
    all_rows: Float64[np.ndarray, "expert"]
    """Fitted on all ranking rows, measured on all report rows; so are the following."""
    all_rows_low: Float64[np.ndarray, "expert"]
    """95 % interval, bootstrap over report templates."""
    all_rows_high: Float64[np.ndarray, "expert"]
    where_it_fires: Float64[np.ndarray, "expert"]
    """On active report rows only; NaN where they are fewer than 2."""
    n_where_it_fires: Int64[np.ndarray, "expert"]
    """Active report rows."""
    left_out_label: Float64[np.ndarray, "expert"]
    """Report rows of each label, read by a fit to the ranking rows of all other labels."""
