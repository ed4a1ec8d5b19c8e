from __future__ import annotations

import numpy as np
import polars as pl

from atlas.bake.clouds import CLOUD_POINTS, Cloud


def test_a_cloud_takes_points_from_every_label() -> None:
    label = np.repeat(np.arange(12), 30)
    points = pl.DataFrame({"label": label, "x": label * 1.0, "y": 0.0, "z": 0.0})
    cloud = Cloud.of(points)
    assert cloud.xyz.shape == (CLOUD_POINTS, 3) and cloud.xyz.dtype == np.int8
    assert set(cloud.label) == set(range(1, 13))
    assert (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


def test_an_expert_without_points_has_an_empty_cloud() -> None:
    assert Cloud.of(None).xyz.shape == (0, 3)
