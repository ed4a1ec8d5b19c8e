"""Shapes: each class is told on a sample of it, structureless clouds are not, and nothing depends on axes, units or processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from atlas.errors import ConfigError
from atlas.geometry.cloud import FEW, NOT_FINITE, SAME, gaps, landmarks, loops, neighbourhoods
from atlas.geometry.shape import (
    CLASSES,
    Absent,
    Classified,
    Cloud,
    Measured,
    Null,
    ShapeConfig,
    arrays,
    classify,
    measure,
    measure_all,
    measured_from,
    tabulate,
)

CONFIG = ShapeConfig(anchors=120, draws=9)
N = 240


def quiet(done: int, of: int) -> None:
    """Say nothing."""


def padded(*columns: np.ndarray) -> np.ndarray:
    """Points of one or two coordinates in space."""
    return np.stack([*columns, *[np.zeros(len(columns[0]))] * (3 - len(columns))], axis=1)


def segment(rng: np.random.Generator) -> np.ndarray:
    return padded(rng.uniform(-1, 1, N))


def arc(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, np.pi, N)
    return padded(np.cos(angle), np.sin(angle))


def shallow_arc(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(-0.3, 0.3, N)
    return padded(np.sin(angle), np.cos(angle))


def circle(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, N)
    return padded(np.cos(angle), np.sin(angle))


def square(rng: np.random.Generator) -> np.ndarray:
    return padded(*rng.uniform(-1, 1, (2, N)))


def half_cylinder(rng: np.random.Generator) -> np.ndarray:
    angle, height = rng.uniform(0, np.pi, N), rng.uniform(-1, 1, N)
    return np.stack([np.cos(angle), np.sin(angle), height], axis=1)


def blobs(rng: np.random.Generator) -> np.ndarray:
    return np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 5.0]])[rng.integers(0, 4, N)] + 0.05 * rng.standard_normal((N, 3))


def few_places(rng: np.random.Generator) -> np.ndarray:
    return np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0.0]])[rng.integers(0, 3, N)]


def twelve_labels(rng: np.random.Generator) -> np.ndarray:
    angle = 2 * np.pi * rng.integers(0, 12, N) / 12
    return padded(np.cos(angle), 0.5 * np.sin(angle)) + 0.01 * rng.standard_normal((N, 3))


def figure_eight(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, N)
    return padded(np.sin(angle), np.sin(angle) * np.cos(angle))


DRAWN: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], str]] = {
    "segment": (segment, "line or ray"),
    "half a circle": (arc, "curve"),
    "shallow arc": (shallow_arc, "curve"),
    "circle": (circle, "ring"),
    "twelve tight labels on a circle": (twelve_labels, "ring"),
    "figure-eight": (figure_eight, "curve"),
    "square": (square, "sheet"),
    "half a cylinder": (half_cylinder, "sheet"),
    "four blobs": (blobs, "clusters"),
    "three places": (few_places, "clusters"),
}


def cloud(make: Callable[[np.random.Generator], np.ndarray], seed: int = 0) -> Cloud:
    """A shape off the origin with a little noise, whose decoder stretches one axis by two."""
    rng = np.random.default_rng(seed)
    points = make(rng) + [2.0, 1.0, 1.5]
    if make is not few_places:
        points = points + 0.003 * rng.standard_normal(points.shape)
    return Cloud(points, np.diag([1.0, 2.0, 1.0]))


def gated_gaussian(rng: np.random.Generator) -> Cloud:
    """What a gate of radius 1 lets through of a Gaussian of axes up to 2 to 1, off the origin or about it."""
    pool = rng.standard_normal((40 * N, 3)) * rng.uniform(0.5, 1, 3) + rng.uniform(0, 1, 3)
    return Cloud(pool[np.linalg.norm(pool, axis=1) > 1][:N], np.eye(3))


@pytest.fixture(scope="module")
def source() -> tuple[list[Cloud], list[Measured | Absent], Null]:
    """One cloud of each kind, then a hundred gated Gaussians."""
    rng = np.random.default_rng(7)
    clouds = [cloud(make) for make, _ in DRAWN.values()] + [gated_gaussian(rng) for _ in range(100)]
    measured = measure_all(clouds, CONFIG, 1, quiet)
    return clouds, measured, tabulate(measured, 1.0, CONFIG, 1, quiet)


@pytest.fixture(scope="module")
def classified(source: tuple[list[Cloud], list[Measured | Absent], Null]) -> Classified:
    return classify(source[1], source[2], CONFIG)


@pytest.mark.parametrize("name", DRAWN)
def test_each_kind_is_called_what_it_is(name: str, classified: Classified) -> None:
    shape = classified.shapes[list(DRAWN).index(name)]

    assert shape is not None and shape.name == DRAWN[name][1]


def test_loops_and_clusters_are_counted(classified: Classified) -> None:
    shapes = dict(zip(DRAWN, classified.shapes, strict=False))

    assert [shapes[name].loops for name in ("circle", "figure-eight", "segment")] == [1, 2, 0]  # type: ignore[union-attr]
    assert [shapes[name].clusters for name in ("circle", "four blobs", "three places")] == [1, 4, 3]  # type: ignore[union-attr]


def test_structureless_clouds_are_unclear(classified: Classified) -> None:
    called = [shape.name for shape in classified.shapes[len(DRAWN) :] if shape is not None]

    assert len(called) == 100 and called.count("unclear") >= 98 and "ring" not in called


def test_expected_numbers_are_of_all_clouds_and_mostly_unclear(classified: Classified) -> None:
    assert set(classified.expected) == set(CLASSES)
    assert sum(classified.expected.values()) == pytest.approx(110)
    assert classified.expected["unclear"] > 90


def test_p_of_structureless_clouds_is_about_uniform(source: tuple[list[Cloud], list[Measured | Absent], Null]) -> None:
    rng = np.random.default_rng(99)
    fresh = measure_all([gated_gaussian(rng) for _ in range(80)], CONFIG, 1, quiet)

    shapes = classify(fresh, source[2], CONFIG).shapes
    p = np.array([[test.p for test in shape.tests if test.statistic in ("loop", "gap")] for shape in shapes if shape is not None])

    assert ((p < 0.05).mean(axis=0) < 0.15).all()
    assert ((p < 0.5).mean(axis=0) > 0.3).all() and ((p < 0.5).mean(axis=0) < 0.7).all()


def test_tests_say_how_a_value_lies_to_its_null(classified: Classified) -> None:
    tests = {test.statistic: test for test in classified.shapes[list(DRAWN).index("circle")].tests}  # type: ignore[union-attr]

    assert list(tests) == ["loop", "gap", "local_dimension", "bend", "thickness", "flatness"]
    assert tests["loop"].value > tests["loop"].null_limit > tests["loop"].null_median
    assert tests["local_dimension"].value < tests["local_dimension"].null_limit < tests["local_dimension"].null_median
    assert all(test.p <= test.p_adjusted <= 1 for test in tests.values())


def test_nothing_depends_on_how_code_or_residual_stream_are_turned_or_scaled() -> None:
    one = gated_gaussian(np.random.default_rng(3))
    turn, other = (np.linalg.qr(np.random.default_rng(i).standard_normal((3, 3)))[0] for i in (1, 2))
    turned = Cloud(one.code @ turn, turn.T @ one.basis @ other * 1000)

    first, second = measure(one, CONFIG), measure(turned, CONFIG)

    assert isinstance(first, Measured) and isinstance(second, Measured)
    assert second.rms == pytest.approx(1000 * first.rms)
    for name in set(Measured._fields) - {"rms", "basis"}:
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(1000 * first.basis, second.basis, atol=1e-6)


def test_processes_change_nothing(source: tuple[list[Cloud], list[Measured | Absent], Null]) -> None:
    heard: list[tuple[int, int]] = []
    config = ShapeConfig(anchors=24, draws=1, least_draws=0)

    apart = tabulate(source[1], 1.0, config, 2, lambda done, of: heard.append((done, of)))

    n = len(apart.misfit)
    assert 8 < n <= 16 and heard == [(8, n), (n, n)]
    same(apart.arrays(), tabulate(source[1], 1.0, config, 1, quiet).arrays())


def test_what_was_measured_can_be_kept(source: tuple[list[Cloud], list[Measured | Absent], Null]) -> None:
    measured = [Absent(3, FEW), *source[1][:3], Absent(60, SAME)]

    again, null = measured_from(arrays(measured)), Null.from_arrays(source[2].arrays())

    assert again[0] == measured[0] and again[4] == measured[4]
    same(arrays(again), arrays(measured))
    same(null.arrays(), source[2].arrays())
    assert classify(again, null, CONFIG) == classify(measured, source[2], CONFIG)


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize(
    ("code", "basis", "reason"),
    [
        (np.zeros((0, 3)), np.eye(3), FEW),
        (np.ones((1, 3)), np.eye(3), FEW),
        (np.eye(3), np.eye(3), FEW),
        (np.full((50, 3), 0.1), np.eye(3), SAME),
        (np.random.default_rng(0).random((60, 3)), np.zeros((3, 3)), SAME),
        (np.where(np.arange(180).reshape(60, 3) == 7, np.nan, 1.0), np.eye(3), NOT_FINITE),
        (np.where(np.arange(180).reshape(60, 3) == 7, np.inf, 1.0), np.eye(3), NOT_FINITE),
    ],
    ids=["none", "one", "three", "fifty that are the same", "a decoder of zeros", "nan", "infinite"],
)
def test_absence_has_a_reason(code: np.ndarray, basis: np.ndarray, reason: str) -> None:
    assert measure(Cloud(code, basis), CONFIG) == Absent(len(code), reason)


@pytest.mark.parametrize("d_code", [1, 2, 5])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_other_widths_and_sizes_have_shapes(d_code: int, size: float) -> None:
    rng = np.random.default_rng(0)
    codes = [rng.standard_normal((80, d_code)) + 4 for _ in range(2)] + [np.round(rng.random((80, d_code)))]
    config = ShapeConfig(anchors=2, draws=2, least_draws=0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure_all([Cloud(size * code, np.eye(d_code)) for code in codes], config, 1, quiet)
        null = tabulate(measured, size, config, 1, quiet)
        shapes = classify(measured, null, config).shapes

    assert all(shape is not None and shape.name in CLASSES for shape in shapes)
    values = [value for shape in shapes if shape is not None for test in shape.tests for value in test[1:]]
    assert np.isfinite(values).all()


def test_decoder_of_rank_two_makes_a_sheet_and_of_rank_one_a_line() -> None:
    rng = np.random.default_rng(0)
    code = rng.uniform(-1, 1, (N, 3)) + 3
    config = ShapeConfig(anchors=2, draws=3, least_draws=0)

    measured = measure_all([Cloud(code, np.diag([1.0, 1.0, 0.0])), Cloud(code, np.diag([1.0, 0.0, 0.0]))], config, 1, quiet)
    shapes = classify(measured, tabulate(measured, 1.0, config, 1, quiet), config).shapes

    assert [shape.name for shape in shapes if shape is not None] == ["sheet", "line or ray"]


def test_one_point_far_out_makes_no_line() -> None:
    code = np.random.default_rng(0).standard_normal((N, 3)) + 3
    code[0] = [1e6, 0, 0]
    config = ShapeConfig(anchors=1, draws=3, least_draws=0)

    measured = measure_all([Cloud(code, np.eye(3))], config, 1, quiet)

    assert [shape.name for shape in classify(measured, tabulate(measured, 1.0, config, 1, quiet), config).shapes if shape] == [
        "unclear"
    ]


def test_single_cloud_is_drawn_more_often() -> None:
    measured = measure_all([cloud(circle)], ShapeConfig(), 1, quiet)

    null = tabulate(measured, 1.0, ShapeConfig(least_draws=60), 1, quiet)

    assert null.drawn.statistic.shape == (1, 60, 4)
    assert [shape.name for shape in classify(measured, null, ShapeConfig()).shapes if shape is not None] == ["ring"]


def test_source_without_any_shape_has_none() -> None:
    measured: Sequence[Measured | Absent] = [Absent(0, FEW)] * 2

    null = tabulate(measured, 1.0, CONFIG, 1, quiet)

    assert classify(measured, null, CONFIG) == Classified([None, None], dict.fromkeys(CLASSES, 0.0))


def test_large_cloud_is_measured_by_a_thousand_points() -> None:
    code = np.random.default_rng(0).standard_normal((1500, 2))

    found = measure(Cloud(code, np.eye(2)), CONFIG)

    assert isinstance(found, Measured) and found.points == 1500 and found.places == 1000


def test_loop_of_a_polygon_is_worked_by_hand() -> None:
    angle = 2 * np.pi * np.arange(60) / 60
    hexagon_of_triangles = 2 * np.sin(20 * np.pi / 60)

    found = loops(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    # Born when neighbours join, filled when every third of sixty corners can span a triangle.
    assert found[0] == pytest.approx(hexagon_of_triangles / (2 * np.sin(np.pi / 60)))
    assert not found[1:].any()


def test_gaps_are_the_distances_between_parts() -> None:
    x = np.concatenate([np.linspace(0, 1, 30), np.linspace(3, 4, 30), np.linspace(5.5, 6.5, 30)])[:, None]

    found = gaps(x)

    assert found[:2] == pytest.approx([2, 1.5])


def test_local_dimension_of_a_grid_is_two_and_of_a_line_one() -> None:
    along = np.linspace(-1, 1, 25)
    grid = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)

    plane, radius, _ = neighbourhoods(grid / np.sqrt(np.square(grid).sum(axis=1).mean()), 0.25, 0)
    line, _, _ = neighbourhoods(np.linspace(-1.7, 1.7, 200)[:, None] * [[0.6, 0.8]], 0.25, 0)

    assert plane == pytest.approx(2, abs=0.1) and radius == 0.25
    assert line == pytest.approx(1)


def test_landmarks_are_distinct_and_far_apart() -> None:
    x = np.repeat(np.arange(5.0), 20)[:, None]

    assert sorted(x[landmarks(x, 50), 0]) == [0, 1, 2, 3, 4]
    assert sorted(x[landmarks(x, 2), 0]) == [0, 4]


def test_config_without_a_null_is_refused() -> None:
    with pytest.raises(ConfigError, match="anchors is 0 and draws is 19"):
        ShapeConfig(anchors=0)
