"""What a firing on a task's rows spares is what rebuilding its row without it costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny
from atlas.dictionary import Smixae
from atlas.dictionary.normalisation import Normalisation
from atlas.probe.importance import firing_importance
from atlas.probe.rows import row_firings
from projections import spared

N = 600
"""Two full blocks and a rest."""


@pytest.mark.parametrize("kind", ["none", "layer_norm"])
def test_importance_is_the_growth_of_the_error_without_the_firing(kind: str) -> None:
    plain = tiny.dictionary(threshold=1.0)
    smixae = Smixae(plain.config, plain.weights, plain.threshold, Normalisation(kind))
    x = 3 * torch.randn(N, tiny.D_MODEL, generator=torch.Generator().manual_seed(0)) + 1
    firings = row_firings(x, smixae)

    found = firing_importance(x, firings, smixae)

    codes, mean_square = smixae.encode(x), float((x - x.mean(dim=0)).square().sum(dim=1).mean())
    whole = (x - smixae.decode(codes, x)).square().sum(dim=1)
    for firing in range(0, len(firings.token), 97):
        row, expert = int(firings.token[firing]), int(firings.expert[firing])
        without = codes[[row]].clone()
        without[0, expert] = 0.0
        error = float((x[[row]] - smixae.decode(without, x[[row]])).square().sum())
        assert found[firing] == pytest.approx((error - float(whole[row])) / mean_square, rel=1e-3, abs=1e-5)
    assert (found > 0).any() and (found < 0).any()

    of_experts = np.bincount(firings.expert.numpy(), weights=found, minlength=smixae.n_experts) / N
    expected = [spared(smixae, x, expert)[0] / mean_square / N for expert in range(smixae.n_experts)]
    np.testing.assert_allclose(of_experts, expected, rtol=1e-3, atol=1e-5)


def test_rows_without_variance_have_no_importance() -> None:
    smixae = tiny.dictionary(threshold=-1.0)
    x = torch.ones(5, tiny.D_MODEL)

    found = firing_importance(x, row_firings(x, smixae), smixae)

    assert len(found) == 5 * smixae.n_experts and np.isnan(found).all()
