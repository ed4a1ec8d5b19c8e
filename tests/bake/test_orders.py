from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.orders import LARGEST_FIRST, Order, orders
from atlas.publish.manifest import array

VALUES = st.lists(st.sampled_from([math.nan, -1.0, 0.0, 0.5, 0.25, 2.0]), max_size=12)


@given(VALUES, st.booleans())
def test_an_order_is_the_obvious_one(values: list[float], largest_first: bool) -> None:
    known = [row for row, value in enumerate(values) if not math.isnan(value)]
    by_value = sorted(known, key=lambda row: (-values[row] if largest_first else values[row], row))
    found = Order.of(np.array(values, np.float32), largest_first=largest_first)
    assert found.rows.tolist() == by_value + [row for row, value in enumerate(values) if math.isnan(value)]
    assert found.known == len(known)


def test_each_sort_has_its_natural_order() -> None:
    amounts = dict.fromkeys(LARGEST_FIRST, np.array([0.1, 0.3, np.nan, 0.2], np.float32))
    found = orders(
        amounts,
        numbers=np.array([7, 70_000, 5, 1]),
        titles=["b", "A", "a", "B"],
        clusters=np.array([1, -1, 0, 1]),
        shapes=np.array([-1, 3, 0, 0]),
    )
    said = {name: (array(order.payload()["rows"]).tolist(), order.known) for name, order in found.items()}
    assert all(said[name] == ([1, 3, 0, 2], 3) for name in LARGEST_FIRST)
    assert said["number"] == ([3, 2, 0, 1], 4)
    # Letter case folded, then as it is: a capital comes first by its code.
    assert said["title"] == ([1, 2, 3, 0], 4)
    assert said["cluster"] == ([2, 0, 3, 1], 3)
    assert said["shape"] == ([2, 3, 1, 0], 3)
