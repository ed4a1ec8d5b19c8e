from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.figure.placing import Name, Placed, place

SIZE = (240.0, 200.0)


def box(name: Name, at: Placed) -> tuple[float, float, float, float]:
    return at.x, at.y, at.x + name.width, at.y + name.height


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_names_lie_on_no_name_on_no_mark_and_inside(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    places = random.uniform([10, 40], np.array(SIZE) - 10, (count, 2))
    names = [Name(float(x), float(y), float(random.uniform(5, 60)), 8.0, 2.5) for x, y in places]
    found = place(names, random.uniform(0, 200, (50, 2)), SIZE, foot=20.0)
    boxes = [box(name, at) for name, at in zip(names, found, strict=True) if at]
    assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert all(left >= 0 and low >= 20 and right <= SIZE[0] and high <= SIZE[1] for left, low, right, high in boxes)
    for left, low, right, high in boxes:
        nearest = np.clip(places, [left, low], [right, high])
        assert np.linalg.norm(nearest - places, axis=1).min() >= 2.5


def test_a_name_stands_at_its_mark_where_nothing_is_in_the_way() -> None:
    (found,) = place([Name(100, 100, 30, 8, 2.5)], np.empty((0, 2)), SIZE)
    assert found is not None and found.leader is None
    assert found.y > 100 and found.x + 15 == 100


def test_names_keep_off_points_and_a_line_leads_back_from_afar() -> None:
    crowd = np.random.default_rng(0).uniform(-15, 15, (4_000, 2)) * [3, 1] + 100
    (found,) = place([Name(100, 100, 30, 8, 2.5)], crowd, SIZE)
    assert found is not None and found.leader is not None
    covered = (crowd >= [found.x, found.y]).all(axis=1) & (crowd <= [found.x + 30, found.y + 8]).all(axis=1)
    assert covered.sum() == 0
    (start, end) = found.leader
    assert np.hypot(start[0] - 100, start[1] - 100) == 2.5
    assert found.x <= end[0] <= found.x + 30 and found.y <= end[1] <= found.y + 8


def test_a_name_stands_nearer_to_its_own_mark_or_is_led_to_it() -> None:
    marks = np.array([[100, 100], [100, 117], [117, 108], [83, 108], [100, 92]])
    found = place([Name(x, y, 8, 6, 2.5) for x, y in marks], np.empty((0, 2)), SIZE)
    for own, at in enumerate(found):
        assert at is not None
        gaps = np.linalg.norm(np.clip(marks, [at.x, at.y], [at.x + 8, at.y + 6]) - marks, axis=1)
        assert at.leader or gaps[own] == gaps.min()


def test_a_name_without_room_is_left_out() -> None:
    assert place([Name(100, 100, 300, 8, 2.5)], np.empty((0, 2)), SIZE) == [None]
