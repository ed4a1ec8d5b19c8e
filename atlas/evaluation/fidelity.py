"""How well rows are rebuilt: by a dictionary, and by every number of principal components at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import pad

from atlas.dictionary import Smixae


class Measured(NamedTuple):
    """One figure: a row of the table `evaluation`."""

    task: int
    """0 is the corpus."""
    subject: str
    """What takes the place of the model's own rows: dictionary, pca, zero, mean; model where nothing does."""
    metric: str
    value: float
    """NaN where it could not be measured."""
    tokens: int
    """Tokens that it was measured on."""


class Components(NamedTuple):
    """Principal components of rows."""

    mean: Float64[Tensor, "d_in"]
    directions: Float64[Tensor, "d_in component"]
    """All of them, of unit length, widest first."""
    rows: int
    """Rows that they were fitted to."""

    def rebuilt(self, x: Float[Tensor, "token d_in"], n_components: int) -> Float[Tensor, "token d_in"]:
        """Return rows rebuilt from their coordinates along the widest directions."""
        widest = self.directions[:, :n_components]
        return (self.mean + (x.double() - self.mean) @ widest @ widest.T).to(x.dtype)


def principal_components(parts: Iterator[Float[Tensor, "token d_in"]], smixae: Smixae) -> Components:
    """Return the principal components of rows that are read part by part."""
    rows = 0
    total = torch.zeros(smixae.d_in, dtype=torch.float64, device=smixae.device)
    products = torch.zeros(smixae.d_in, smixae.d_in, dtype=torch.float64, device=smixae.device)
    for part in parts:
        x = part.double()
        rows += len(x)
        total += x.sum(dim=0)
        products += x.T @ x
    mean = total / max(rows, 1)
    _, directions = torch.linalg.eigh(products - rows * torch.outer(mean, mean))
    return Components(mean, directions.flip(1), rows)


class Errors:
    """Sums over rows of how far they are from what takes their place, in each of several ways at once."""

    def __init__(self, n_ways: int, device: torch.device) -> None:
        self._rows = 0
        """With a length: a ratio to none would mean nothing."""
        self.squared: Float64[Tensor, "way"]
        self.squared, self._cosine, self._norm_ratio, self._normalised = (
            torch.zeros(n_ways, dtype=torch.float64, device=device) for _ in range(4)
        )

    def update(
        self,
        length: Float64[Tensor, "token"],
        rebuilt: Float64[Tensor, "token way"],
        inner: Float64[Tensor, "token way"],
        error: Float64[Tensor, "token way"],
    ) -> None:
        """Add rows of such squared lengths: those of what takes their place, its inner product with them, the squared error."""
        self.squared += error.sum(dim=0)
        real = length > 0
        length, rebuilt, inner, error = length[real, None], rebuilt[real], inner[real], error[real]
        self._rows += len(length)
        # What has no length points nowhere: its cosine counts as 0.
        self._cosine += torch.where(rebuilt > 0, inner / (length * rebuilt).sqrt(), 0.0).sum(dim=0)
        self._norm_ratio += (rebuilt / length).sqrt().sum(dim=0)
        self._normalised += (error / length).sum(dim=0)

    def means(self, way: int) -> dict[str, float]:
        """Return the metrics that are means over rows."""
        sums = {"cosine": self._cosine, "norm_ratio": self._norm_ratio, "normalised_mse": self._normalised}
        return {name: ratio(float(total[way]), self._rows) for name, total in sums.items()}


class Fidelity:
    """How well rows are rebuilt by a dictionary, and by every number of principal components.

    How many components a dictionary is to be compared with is known only after its last row, and an estimate would compare it
    with more or fewer. Along its components a row is a sum of independent parts, so running sums give every number of them in
    the one pass that the dictionary needs anyway.
    """

    def __init__(self, smixae: Smixae, pca: Components) -> None:
        self.smixae = smixae
        self._pca = pca
        self._mean_along = pca.mean @ pca.directions
        self.tokens = 0
        self.firings: Int64[Tensor, "expert"] = torch.zeros(smixae.n_experts, dtype=torch.int64, device=smixae.device)
        self._length = 0.0
        # About the components' mean, which is near that of the rows, so that little is lost when theirs is taken off.
        self._spread = 0.0
        self._offset = torch.zeros_like(pca.mean)
        self.errors = {"dictionary": Errors(1, smixae.device), "pca": Errors(smixae.d_in + 1, smixae.device)}
        """Of the components, one way for every number of them from 0."""

    def update(self, x: Float[Tensor, "row d_in"], n: int) -> None:
        """Add the first `n` rows of a block."""
        firings = self.smixae.firings(x)
        rebuilt = self.smixae.reconstruction(firings, x)[:n].double()
        rows = x[:n].double()
        length = rows.square().sum(dim=1)
        self.tokens += n
        self.firings += torch.bincount(firings.expert[firings.token < n], minlength=len(self.firings))
        self.errors["dictionary"].update(
            length,
            rebuilt.square().sum(dim=1, keepdim=True),
            (rows * rebuilt).sum(dim=1, keepdim=True),
            (rows - rebuilt).square().sum(dim=1, keepdim=True),
        )
        centred = rows - self._pca.mean
        along = centred @ self._pca.directions
        squares = along.square()
        # The mean is there with any number of components; entry k of a running sum is over the first k of them.
        mean_squared = self._pca.mean.square().sum()
        inner = (rows @ self._pca.mean)[:, None] + _running(squares + along * self._mean_along)
        self.errors["pca"].update(
            length,
            (mean_squared + _running(squares + 2 * along * self._mean_along)).clamp_min(0),
            inner,
            _running(squares.flip(1)).flip(1),
        )
        self._length += float(length.sum())
        self._spread += float(squares.sum())
        self._offset += centred.sum(dim=0)

    def figures(self, task: int, n_components: int, metrics: Sequence[str]) -> list[Measured]:
        """Return the metrics of the dictionary, and of so many principal components."""
        variance = self._spread - float(self._offset.square().sum()) / max(self.tokens, 1)
        found = {}
        for subject, way in (("dictionary", 0), ("pca", n_components)):
            errors = self.errors[subject]
            squared = float(errors.squared[way])
            found[subject] = {
                "fvu": ratio(squared, variance),
                "fvu_uncentred": ratio(squared, self._length),
                **errors.means(way),
            }
        return [Measured(task, subject, name, values[name], self.tokens) for name in metrics for subject, values in found.items()]


def _running(parts: Float64[Tensor, "token component"]) -> Float64[Tensor, "token way"]:
    """Return the sums of the first k parts, for every k from 0."""
    return pad(parts.cumsum(dim=1), (1, 0))


def ratio(part: float, whole: float | int) -> float:
    """Return a ratio; NaN where there is nothing to divide by."""
    return part / whole if whole else float("nan")
