from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from atlas.bake.gate import Gates
from atlas.geometry.contribution import axes, coordinates, frames

Array = npt.NDArray[Any]
EXPERTS, FIRINGS, D_MODEL = 5, 400, 16


def seen(d_code: int, *, turn: Array | None = None) -> tuple[Gates, Array, Array, Array]:
    """Experts with uneven decoders, whose codes' own axes may be turned: their gates, and firings by expert, place and norm."""
    random = np.random.default_rng(d_code)
    decoder = random.normal(0, [[1], [0.3], [0.1]][:d_code], (EXPERTS, d_code, D_MODEL))
    expert, code = np.arange(FIRINGS) % EXPERTS, random.normal(1, 1, (FIRINGS, d_code))
    if turn is not None:
        decoder, code = turn @ decoder, code @ turn.T
    gram = decoder @ decoder.transpose(0, 2, 1)
    table = axes(gram, expert, code).code.transpose(0, 2, 1)
    rows = pl.DataFrame(
        {
            "expert": np.repeat(np.arange(EXPERTS), d_code),
            "axis": np.tile(np.arange(d_code), EXPERTS),
            "code": table.reshape(-1, d_code).tolist(),
        }
    )
    xyz = coordinates(frames(gram, expert, code), expert, code).astype(np.float64)
    return Gates(rows, d_code=d_code, threshold=1.5), expert, xyz, np.linalg.norm(code, axis=1)


def matrix(gates: Gates, expert: int) -> Array:
    full = np.zeros((3, 3))
    full[np.triu_indices(3)] = gates.payload(expert)["matrix"]
    return full + np.triu(full, 1).T


@pytest.mark.parametrize("d_code", [1, 2, 3])
def test_a_contribution_seen_by_the_gate_has_the_norm_of_its_code(d_code: int) -> None:
    gates, expert, xyz, norm = seen(d_code)
    for one in range(EXPERTS):
        back = xyz[expert == one] @ matrix(gates, one)
        assert np.linalg.norm(back, axis=1) == pytest.approx(norm[expert == one], rel=1e-4)
        # It lies as the contribution does: no axis is mirrored, and nothing is turned across.
        assert np.linalg.eigvalsh(matrix(gates, one)).min() >= -1e-6
        assert not back[:, d_code:].any()
    assert gates.payload(0)["threshold"] == 1.5


def test_which_way_the_codes_own_axes_are_turned_changes_nothing() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    plain, turned = seen(3)[0], seen(3, turn=turn)[0]
    for one in range(EXPERTS):
        assert plain.payload(one)["matrix"] == pytest.approx(turned.payload(one)["matrix"], rel=1e-5, abs=1e-6)


def test_where_there_is_no_such_view_a_sentence_says_why() -> None:
    flat = pl.DataFrame({"expert": [0, 0], "axis": [0, 1], "code": [[1.0, 0.0], [0.0, 0.0]]})
    assert "fewer directions" in Gates(flat, d_code=2, threshold=1.0).payload(0)["absent"]
    wide = pl.DataFrame({"expert": [0] * 4, "axis": range(4), "code": np.eye(4).tolist()})
    assert "has 4 numbers" in Gates(wide, d_code=4, threshold=1.0).payload(0)["absent"]
