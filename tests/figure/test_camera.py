from __future__ import annotations

import numpy as np
import pytest

from atlas.errors import ConfigError
from atlas.figure.camera import PRESETS, Camera


@pytest.mark.parametrize("text", [*PRESETS, "0.55_0.55_1.55_0_0_0_0_1_0_1.6", "1_2_3_0.5_0_0_0_0_1_2"])
def test_a_camera_is_a_right_handed_frame(text: str) -> None:
    camera = Camera.read(text)
    frame = np.stack([camera.right, camera.up, camera.towards])
    assert np.allclose(frame @ frame.T, np.eye(3)) and np.linalg.det(frame) == pytest.approx(1)


def test_a_camera_looks_along_the_axis_that_it_is_named_after() -> None:
    for axis in range(3):
        assert np.allclose(Camera.read(str(axis + 1)).project(np.eye(3))[axis], 0)
    # The first axis runs to the right and the second up, where that can be.
    assert np.allclose(Camera.read("3").project(np.eye(3)[:2]), np.eye(2))
    assert np.allclose(Camera.read("3").nearness(np.eye(3)), [0, 0, 1])


@pytest.mark.parametrize("text", ["", "above", "1_2", "0_0_0_0_0_0_0_1_0_1", "0_1_0_0_0_0_0_1_0_1", "nan_0_1_0_0_0_0_1_0_1"])
def test_a_camera_that_looks_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="looks nowhere"):
        Camera.read(text)
