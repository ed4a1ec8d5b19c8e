from __future__ import annotations

import json
from dataclasses import replace

import pytest

from atlas.bake.colours import SCHEMES, Scheme
from atlas.bake.figures import is_on_an_axis, labels_per_mean, skeletons
from atlas.store import Hypothesis, Label, Task

ORDER = Hypothesis(0, "linear", "linear", "ordinal", "R²", "", True, (), (), 0.03, 9, {})


def task(labels: int, *, cyclic: bool = False, first: int = 0) -> Task:
    named = tuple(Label(str(value), float(value), None, 10, None) for value in range(first, first + labels))
    return Task(1, "t", "T", "labelled", "t", "", cyclic, 0, 0, 0, 0, 0, 0, True, 0, named, (ORDER,) if labels else ())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_skeleton_has_no_coordinates_and_no_template(scheme: Scheme) -> None:
    figure = skeletons()[scheme]
    assert all(name not in trace for trace in figure["data"] for name in "xyz")
    assert "template" not in figure["layout"] and "coloraxis" not in json.dumps(figure)
    assert len(json.dumps(figure)) < 4_000


def test_the_axes_have_one_scale_and_no_perspective() -> None:
    scene = skeletons()["light"]["layout"]["scene"]
    assert scene["xaxis"]["range"] == scene["yaxis"]["range"] == scene["zaxis"]["range"]
    assert len(set(scene["aspectratio"].values())) == 1
    assert scene["camera"]["projection"]["type"] == "orthographic"


def test_few_labels_are_named_and_many_are_read_off_an_axis() -> None:
    assert labels_per_mean(task(12)) == 1
    assert labels_per_mean(task(100)) == 10
    assert not is_on_an_axis(task(12, first=1905)) and is_on_an_axis(task(100, first=1905))


def test_labels_without_an_order_have_no_neighbours() -> None:
    assert labels_per_mean(replace(task(28), hypotheses=())) == 1


def test_an_axis_is_of_numbers_that_say_something() -> None:
    letters = [replace(label, name=chr(65 + at)) for at, label in enumerate(task(26).labels)]
    assert not is_on_an_axis(replace(task(26), labels=tuple(letters)))
    shifted = tuple(replace(label, value=label.value + 1) for label in letters)
    assert is_on_an_axis(replace(task(26), labels=shifted))
