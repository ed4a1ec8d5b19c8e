"""How codes go with the characters since the last newline, over all tokens, from sums: definitions in docs/measures.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from atlas.probe.scores.arrays import Fired

N_HARMONICS = 3
"""Sines and cosines of 1, 2 and 3 turns to a line."""

N_LINEAR = 2
"""Regressors of the linear fit: a constant and the characters; the harmonics stand behind them."""

CONSTANT = 1e-12
"""Share of a coordinate's squares below which its variance is rounding."""


class NewlineMeasures(NamedTuple):
    """How each expert's coordinates y go with c, the characters since the newline; silent tokens count as zeros.

    All are R² but the rate; 1 is perfect. NaN where the expert never fires. In-sample ones are never below 0, for noise neither;
    the others are fitted on one half of the documents and measured on the other, around the mean of the first, both ways round,
    and the mean of the two is below 0 where a fit tells nothing.
    """

    rate: Float64[np.ndarray, "expert"]
    """Share of the tokens that it fires on."""
    encode_linear_r2: Float64[np.ndarray, "expert"]
    """Mean over coordinates that vary of R²(y ~ 1, c)."""
    encode_periodic_r2: Float64[np.ndarray, "expert"]
    """The same with sine and cosine of 2π·h·c / width beside c, h = 1, 2, 3."""
    periodic_gain: Float64[np.ndarray, "expert"]
    """The second less the first."""
    decode_r2: Float64[np.ndarray, "expert"]
    """R²(c ~ 1, y)."""
    held_out_linear_r2: Float64[np.ndarray, "expert"]
    held_out_periodic_r2: Float64[np.ndarray, "expert"]
    held_out_gain: Float64[np.ndarray, "expert"]
    held_out_decode_r2: Float64[np.ndarray, "expert"]


def newline_scores(
    since: Int[np.ndarray, "row"], second: Bool[np.ndarray, "row"], fired: Fired, n_experts: int, width: int
) -> NewlineMeasures:
    """Return the measures of tokens that are `since` characters behind the newline, in lines of at most `width`.

    `second` are the tokens of the second half of the documents.
    """
    sums = NewlineSums(n_experts, fired.code.shape[1], width)
    sums.update(since, second, fired)
    return sums.measures()


class NewlineSums:
    """All that the measures need, of as many tokens as there are: sums over each half of the documents, in float64."""

    def __init__(self, n_experts: int, d_code: int, width: int) -> None:
        self._n_experts, self._width = n_experts, width
        self._n_regressors = N_LINEAR + 2 * N_HARMONICS
        self._tokens = np.zeros((2, self._n_regressors, self._n_regressors))
        self._fired = np.zeros((2, n_experts))
        self._cross = np.zeros((2, n_experts, d_code, self._n_regressors))
        self._codes = np.zeros((2, n_experts, d_code, d_code))

    def update(self, since: Int[np.ndarray, "row"], second: Bool[np.ndarray, "row"], fired: Fired) -> None:
        """Go on with the tokens of a block; the rows of `fired` are those of the block."""
        regressors = self._regressors(since)
        for half in (0, 1):
            own = regressors[second == half]
            self._tokens[half] += own.T @ own
        code, of_firing = fired.code.astype(np.float64), regressors[fired.row]
        cell = second[fired.row] * self._n_experts + fired.expert.astype(np.int64)

        def total(values: Float64[np.ndarray, "firing"]) -> Float64[np.ndarray, "2 expert"]:
            # Without any firing bincount counts in integers.
            sums = np.bincount(cell, weights=values, minlength=2 * self._n_experts).astype(np.float64)
            return sums.reshape(2, self._n_experts)

        self._fired += total(np.ones(len(cell)))
        for i in range(code.shape[1]):
            for j in range(self._n_regressors):
                self._cross[:, :, i, j] += total(code[:, i] * of_firing[:, j])
            for j in range(i + 1):
                products = total(code[:, i] * code[:, j])
                self._codes[:, :, i, j] += products
                if i != j:
                    self._codes[:, :, j, i] += products

    def measures(self) -> NewlineMeasures:
        """Return the measures of all tokens so far."""
        halves = [_Part(*sums) for sums in zip(self._tokens, self._cross, self._codes, strict=True)]
        whole = _Part(*(first + second for first, second in zip(*halves, strict=True)))
        fires = self._fired.sum(axis=0)
        varies = whole.varies
        linear, periodic, decode = _r2(whole, whole, varies)
        both = [_r2(train, test, varies) for train, test in (halves, halves[::-1])]
        held_linear, held_periodic, held_decode = ((one + other) / 2 for one, other in zip(*both, strict=True))
        return NewlineMeasures(
            rate=fires / max(whole.n, 1.0),
            encode_linear_r2=linear,
            encode_periodic_r2=periodic,
            # The linear fit is one of the periodic ones, so that only rounding takes the gain below 0.
            periodic_gain=np.maximum(periodic - linear, 0.0),
            decode_r2=np.where(fires > 0, decode, np.nan),
            held_out_linear_r2=held_linear,
            held_out_periodic_r2=held_periodic,
            held_out_gain=held_periodic - held_linear,
            held_out_decode_r2=np.where(fires > 0, held_decode, np.nan),
        )

    def _regressors(self, since: Int[np.ndarray, "row"]) -> Float64[np.ndarray, "row regressor"]:
        # Characters in line widths span what characters do, on the scale of the others.
        place = since / self._width
        angles = [2 * np.pi * h * place for h in range(1, N_HARMONICS + 1)]
        waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
        return np.stack([np.ones(len(place)), place, *waves], axis=1)


class _Part(NamedTuple):
    """Sums over some of the tokens."""

    tokens: Float64[np.ndarray, "regressor regressor"]
    cross: Float64[np.ndarray, "expert d_code regressor"]
    codes: Float64[np.ndarray, "expert d_code d_code"]

    @property
    def n(self) -> float:
        return float(self.tokens[0, 0])

    @property
    def mean(self) -> Float64[np.ndarray, "expert d_code"]:
        return self.cross[:, :, 0] / max(self.n, 1.0)

    @property
    def mean_place(self) -> float:
        return float(self.tokens[0, 1]) / max(self.n, 1.0)

    @property
    def varies(self) -> Bool[np.ndarray, "expert d_code"]:
        squares = np.einsum("eii->ei", self.codes)
        return squares - self.n * self.mean**2 > CONSTANT * squares


def _r2(
    train: _Part, test: _Part, varies: Bool[np.ndarray, "expert d_code"]
) -> tuple[Float64[np.ndarray, "expert"], Float64[np.ndarray, "expert"], Float64[np.ndarray, "expert"]]:
    """Return linear, periodic and decode R² on one part of fits to another, around the mean of that other."""
    squares = np.einsum("eii->ei", test.codes)
    around = squares - 2 * train.mean * test.cross[:, :, 0] + test.n * train.mean**2
    found = []
    for n_regressors in (N_LINEAR, test.tokens.shape[0]):
        used = slice(n_regressors)
        fit = train.cross[:, :, used] @ np.linalg.pinv(train.tokens[used, used], rcond=1e-12, hermitian=True)
        error = squares - 2 * (fit * test.cross[:, :, used]).sum(axis=2) + ((fit @ test.tokens[used, used]) * fit).sum(axis=2)
        found.append(_mean(1 - _ratio(error, around), varies))
    return found[0], found[1], _decode(train, test, varies)


def _decode(train: _Part, test: _Part, varies: Bool[np.ndarray, "expert d_code"]) -> Float64[np.ndarray, "expert"]:
    """Return R² on one part of the characters, fitted to the coordinates that vary on another."""

    def covered(part: _Part) -> tuple[Float64[np.ndarray, "expert d_code d_code"], Float64[np.ndarray, "expert d_code"], float]:
        """Products of coordinates, of coordinates with the place, and of the place with itself, from the means of `train`."""
        total, mean, place = part.cross[:, :, 0], train.mean, train.mean_place
        outer = total[:, :, None] * mean[:, None, :]
        codes = part.codes - outer - outer.transpose(0, 2, 1) + part.n * mean[:, :, None] * mean[:, None, :]
        cross = part.cross[:, :, 1] - place * total - mean * part.tokens[0, 1] + part.n * mean * place
        return codes, cross, float(part.tokens[1, 1] - 2 * place * part.tokens[0, 1] + part.n * place**2)

    codes, cross, _ = covered(train)
    spread = np.einsum("eii->ei", codes)
    # On the scale of correlations, where what is collinear shows; a coordinate that does not vary gets no weight.
    scale = np.where(varies & (spread > 0), 1 / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)
    correlation = codes * scale[:, :, None] * scale[:, None, :]
    inverse = np.linalg.pinv(correlation, rcond=1e-10, hermitian=True)
    fit = scale * np.einsum("eij,ej->ei", inverse, scale * cross)
    test_codes, test_cross, around = covered(test)
    error = around - 2 * (fit * test_cross).sum(axis=1) + np.einsum("ei,eij,ej->e", fit, test_codes, fit)
    return 1 - _ratio(error, np.full(len(error), around))


def _ratio(error: Float[np.ndarray, "*any"], around: Float[np.ndarray, "*any"]) -> Float64[np.ndarray, "*any"]:
    return np.divide(error, around, out=np.full(error.shape, np.nan), where=around > 0)


def _mean(r2: Float[np.ndarray, "expert d_code"], varies: Bool[np.ndarray, "expert d_code"]) -> Float64[np.ndarray, "expert"]:
    """Return the mean over the coordinates that vary; NaN where none does."""
    n = varies.sum(axis=1)
    return np.divide(np.where(varies, r2, 0.0).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)
