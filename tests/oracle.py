"""A SMIXAE in float64 numpy, written from its definition: slow, plain, and sharing nothing with the code under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CLOSE = 1e-5
"""Of the largest value, and of the threshold: how far float32 may be from this."""


@dataclass
class Oracle:
    """The tensors of a checkpoint, and what its configuration says."""

    tensors: dict[str, Any]
    rescale: bool
    normalisation: str = "none"
    factor: float = 1.0

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self.tensors[name].double().numpy())

    @property
    def threshold(self) -> float:
        """As float32: norms are compared in that."""
        return float(np.float32(self["threshold"].reshape(())))

    def maps(self) -> Array:
        """(expert, d_code, d_in): the latent decoder of an expert times its own rows of the decoder."""
        latent, W_dec = self["W_latent_dec"], self["W_dec"]
        n, _, e = latent.shape
        return np.stack([latent[i] @ W_dec[i * e : (i + 1) * e] for i in range(n)])

    def normalised(self, x: Array) -> tuple[Array, Array, Array]:
        """What is encoded of each row, and what its reconstruction is multiplied by and shifted by."""
        inner, scale, shift = x.copy(), np.ones(len(x)), np.zeros(len(x))
        for row in range(len(x)):
            if self.normalisation == "expected_average_only_in":
                inner[row], scale[row] = x[row] * self.factor, 1 / self.factor
            elif self.normalisation == "layer_norm":
                shift[row] = x[row].sum() / x.shape[1]
                scale[row] = np.sqrt(((x[row] - shift[row]) ** 2).sum() / (x.shape[1] - 1))
                inner[row] = (x[row] - shift[row]) / (scale[row] + 1e-5)
            elif self.normalisation == "constant_norm_rescale":
                scale[row] = np.sqrt((x[row] ** 2).sum() / x.shape[1])
                inner[row] = x[row] / scale[row]
        return inner, scale, shift

    def codes(self, x: Array) -> Array:
        """Every expert's code before the gate."""
        inner, *_ = self.normalised(x)
        n, e, d = self["W_bottleneck"].shape
        codes = np.zeros((len(x), n, d))
        for row in range(len(x)):
            u = inner[row] @ self["W_enc"] + self["b_enc"]
            hidden = np.where(u > 0, u, 1e-4 * u)
            for i, map_ in enumerate(self.maps()):
                code = hidden[i * e : (i + 1) * e] @ self["W_bottleneck"][i]
                codes[row, i] = code * (np.sqrt((map_**2).sum()) if self.rescale else 1.0)
        return codes

    def norms(self, x: Array) -> Array:
        return np.asarray(np.sqrt((self.codes(x) ** 2).sum(axis=2)))

    def decoded(self, codes: Array, x: Array) -> Array:
        """The raw reconstruction of gated codes."""
        _, scale, shift = self.normalised(x)
        rebuilt = np.tile(self["b_dec"], (len(x), 1))
        for row in range(len(x)):
            for code, map_ in zip(codes[row], self.maps(), strict=True):
                rebuilt[row] += code @ map_
        return rebuilt * scale[:, None] + shift[:, None]


def assert_close(found: Any, expected: Array) -> None:
    """Within CLOSE of the largest value."""
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=0, atol=CLOSE * np.abs(expected).max())


def assert_same_dictionary(smixae: Any, oracle: Oracle, x: Any) -> None:
    """Codes, gates and reconstruction of the rows `x` are the oracle's, to what float32 can hold."""
    rows = np.asarray(x.double().numpy())
    norms, encoding = oracle.norms(rows), np.asarray(smixae.encode(x).double().numpy())
    assert_close(smixae.norms(x), norms)
    fired = encoding.any(axis=2)
    doubtful = np.abs(norms - oracle.threshold) <= CLOSE * oracle.threshold
    assert ((fired == (norms > oracle.threshold)) | doubtful).all()
    expected = oracle.codes(rows) * fired[:, :, None]
    np.testing.assert_allclose(encoding, expected, rtol=0, atol=CLOSE * np.abs(oracle.codes(rows)).max())
    assert_close(smixae.reconstruct(x), oracle.decoded(expected, rows))
    assert_close(smixae.reconstruction(smixae.firings(x), x), oracle.decoded(expected, rows))
