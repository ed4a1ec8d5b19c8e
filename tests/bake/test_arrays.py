from __future__ import annotations

import base64
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from atlas.bake.arrays import STEPS, Frame, narrow, packed, spread, typed


def test_typed_arrays_are_plotlys() -> None:
    assert typed(np.array([1, -2], np.int16)) == {"dtype": "i2", "bdata": base64.b64encode(b"\x01\x00\xfe\xff").decode()}


def test_big_endian_arrays_are_turned_round() -> None:
    assert typed(np.array([1], ">i2")) == typed(np.array([1], "<i2"))


def test_packed_arrays_unpack_to_the_same_bytes() -> None:
    array = np.arange(1000, dtype=np.uint16)
    assert gzip.decompress(base64.b64decode(packed(array)["gzip"])) == array.tobytes()


@pytest.mark.parametrize(("most", "dtype"), [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65_536, "uint32")])
def test_narrow_holds_the_largest(most: int, dtype: str) -> None:
    assert narrow(np.array([most])).dtype == dtype


def test_what_four_bytes_do_not_hold_is_never_cut() -> None:
    assert narrow(np.array([2**32 - 1])).dtype == np.uint32
    with pytest.raises(AssertionError, match="4,294,967,296 does not fit"):
        narrow(np.array([2**32]))


@given(arrays.arrays(np.float64, (5, 3), elements=st.floats(-1e3, 1e3)))
def test_one_scale_for_all_axes_within_half_a_step(xyz: np.ndarray) -> None:
    frame = Frame.around(xyz)
    steps = frame.stepped(xyz)
    assert np.abs(steps).max() <= STEPS
    np.testing.assert_allclose(steps * frame.unit + frame.centre, xyz, atol=0.51 * frame.unit + 1e-9)


def test_a_single_point_has_a_frame() -> None:
    assert Frame.around(np.ones((1, 3))).stepped(np.ones((1, 3))).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("count", "most"), [(0, 3), (3, 3), (10, 3), (1000, 64)])
def test_spread_keeps_both_ends_and_repeats_nothing(count: int, most: int) -> None:
    indices = spread(count, most)
    assert len(np.unique(indices)) == len(indices) == min(count, most)
    if count:
        assert (indices[0], indices[-1]) == (0, count - 1)
