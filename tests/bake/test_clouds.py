from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas.bake.clouds import CLOUD_POINTS, Cloud


def test_a_cloud_takes_points_from_every_label() -> None:
    label = np.repeat(np.arange(12), 30)
    points = pl.DataFrame({"label": label, "x": label * 1.0, "y": 0.0, "z": 0.0})
    cloud = Cloud.of(points)
    assert cloud.xyz.shape == (CLOUD_POINTS, 3) and cloud.xyz.dtype == np.int8
    assert set(cloud.label) == set(range(1, 13))
    assert (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


@pytest.mark.parametrize(("points", "outliers"), [(64, 2), (12, 1), (3, 1)])
def test_a_few_outliers_do_not_shrink_a_cloud(points: int, outliers: int) -> None:
    x = np.linspace(-1, 1, points)
    x[:outliers] = 100 + np.arange(outliers)
    cloud = Cloud.of(pl.DataFrame({"label": 0, "x": x, "y": 0.0, "z": 0.0}))
    assert len(cloud.label) == points - outliers and (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


@pytest.mark.parametrize("points", [1, 2, 12, 64])
def test_of_a_cloud_without_outliers_every_point_is_shown(points: int) -> None:
    x = np.linspace(-1, 1, points)
    assert len(Cloud.of(pl.DataFrame({"label": 0, "x": x, "y": x * x, "z": 0.0})).label) == points


def test_many_far_points_are_no_outliers() -> None:
    x = np.repeat([0.0, 100.0], [57, 7])
    assert len(Cloud.of(pl.DataFrame({"label": 0, "x": x + np.linspace(0, 1, 64), "y": 0.0, "z": 0.0})).label) == 64


def test_an_expert_without_points_has_an_empty_cloud() -> None:
    assert Cloud.of(None).xyz.shape == (0, 3)
