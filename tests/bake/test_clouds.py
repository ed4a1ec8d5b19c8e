from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atlas.bake.clouds import CLOUD_POINTS, Cloud
from atlas.bake.points import Points


def points(label: Any, *axes: Any) -> Points:
    """Points at these places."""
    xyz = np.stack(np.broadcast_arrays(*axes), axis=1).astype(np.float64)
    nothing = np.zeros(len(xyz))
    return Points(nothing, nothing, np.broadcast_to(label, len(xyz)), xyz, nothing, nothing)


def test_a_cloud_takes_points_from_every_label() -> None:
    label = np.repeat(np.arange(12), 30)
    cloud = Cloud.of(points(label, label, 0.0, 0.0))
    assert cloud.xyz.shape == (CLOUD_POINTS, 3) and cloud.xyz.dtype == np.int8
    assert set(cloud.label) == set(range(1, 13))
    assert (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


@pytest.mark.parametrize(("count", "outliers"), [(64, 2), (12, 1), (3, 1)])
def test_a_few_outliers_do_not_shrink_a_cloud(count: int, outliers: int) -> None:
    x = np.linspace(-1, 1, count)
    x[:outliers] = 100 + np.arange(outliers)
    cloud = Cloud.of(points(0, x, 0.0, 0.0))
    assert len(cloud.label) == count - outliers and (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


@pytest.mark.parametrize("count", [1, 2, 12, 64])
def test_of_a_cloud_without_outliers_every_point_is_shown(count: int) -> None:
    x = np.linspace(-1, 1, count)
    assert len(Cloud.of(points(0, x, x * x, 0.0)).label) == count


def test_many_far_points_are_no_outliers() -> None:
    x = np.repeat([0.0, 100.0], [57, 7])
    assert len(Cloud.of(points(0, x + np.linspace(0, 1, 64), 0.0, 0.0)).label) == 64


def test_an_expert_without_points_has_an_empty_cloud() -> None:
    assert Cloud.of(None).xyz.shape == (0, 3)
