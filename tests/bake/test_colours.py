from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake import colours
from atlas.bake.colours import CATEGORIES, MIN_CONTRAST, PANEL, SCHEMES, Scheme, contrast, cyclic, label_colours, legible, ordered
from atlas.store import Hypothesis, Label, Task

TAXA = ("plant", "fish", "bird")


def task(labels: int, *hypotheses: Hypothesis, colour: str | None = None) -> Task:
    named = tuple(Label(f"label {number}", float(number), colour, 10, None) for number in range(labels))
    return Task(1, "t", "T", "labelled", "t", "", False, 0, 0, 0, 0, 0, 0, True, 0, named, hypotheses)


def classes(labels: int, *names: str) -> Hypothesis:
    of_label = tuple(number % len(names) for number in range(labels))
    return Hypothesis(0, "c", "C", "classes", "balanced accuracy", "", True, names, of_label, 0.5, 5, {})


schemes = pytest.mark.parametrize("scheme", SCHEMES)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@schemes
def test_every_data_colour_stands_out_from_its_panel(scheme: Scheme) -> None:
    drawn = [*CATEGORIES[scheme], *cyclic(24, scheme), *ordered(np.linspace(0, 1, 50), scheme)]
    assert min(contrast(colour, PANEL[scheme]) for colour in drawn) >= MIN_CONTRAST - 0.02


@schemes
def test_a_cycle_takes_equal_steps_and_closes(scheme: Scheme) -> None:
    lab = np.array([colours._oklab(colours._linear(colour)) for colour in cyclic(12, scheme)])
    steps = np.linalg.norm(lab - np.roll(lab, -1, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.05


@schemes
def test_ordered_colours_only_get_lighter(scheme: Scheme) -> None:
    lightness = [colours._oklab(colours._linear(colour))[0] for colour in ordered(np.linspace(0, 1, 20), scheme)]
    assert np.all(np.diff(lightness) > 0)


@schemes
@given(red=st.integers(0, 255), green=st.integers(0, 255), blue=st.integers(0, 255))
def test_a_given_colour_is_made_to_be_seen_by_its_lightness_alone(scheme: Scheme, red: int, green: int, blue: int) -> None:
    colour = f"#{red:02x}{green:02x}{blue:02x}"
    seen = legible(colour, scheme)
    assert contrast(seen, PANEL[scheme]) >= MIN_CONTRAST
    if contrast(colour, PANEL[scheme]) >= MIN_CONTRAST:
        assert seen == colour
        return
    before, after = (colours._oklab(colours._linear(one)) for one in (colour, seen))
    assert (after[0] < before[0]) == (scheme == "light")
    # What eight bits can hold of a hue that is nearly grey says nothing.
    if np.hypot(*before[1:]) > 0.05 and np.hypot(*after[1:]) > 0.05:
        turned = np.angle(np.exp(1j * (np.arctan2(*after[:0:-1]) - np.arctan2(*before[:0:-1]))))
        assert abs(turned) < 0.05


@schemes
def test_a_colour_is_changed_no_further_than_it_must_be(scheme: Scheme) -> None:
    faint = {"light": "#ffff00", "dark": "#101010"}[scheme]
    assert contrast(legible(faint, scheme), PANEL[scheme]) == pytest.approx(MIN_CONTRAST, abs=0.15)


@schemes
def test_labels_have_the_colours_that_they_are_given(scheme: Scheme) -> None:
    assert label_colours(task(3, colour="#1a6fcc"), scheme) == ["#1a6fcc"] * 3


@schemes
def test_many_labels_without_an_order_are_told_apart_or_share_their_classes_colour(scheme: Scheme) -> None:
    assert label_colours(task(10), scheme) == list(CATEGORIES[scheme])
    many = label_colours(task(28), scheme)
    assert len(set(many)) == 28 and min(contrast(colour, PANEL[scheme]) for colour in many) >= MIN_CONTRAST - 0.02
    grouped = label_colours(task(28, classes(28, "odd", "even"), classes(28, *TAXA)), scheme)
    assert grouped == [CATEGORIES[scheme][number % 3] for number in range(28)]
    # More classes than there are colours to name say nothing about which belongs together.
    assert len(set(label_colours(task(28, classes(28, *map(str, range(14)))), scheme))) == 28


@schemes
def test_an_order_shows_in_the_colours_and_classes_alone_are_none(scheme: Scheme) -> None:
    order = Hypothesis(1, "o", "O", "ordinal", "R²", "", True, (), (), 0.1, 5, {})
    assert label_colours(task(6, classes(6, *TAXA), order), scheme) == ordered(np.linspace(0, 1, 6), scheme)
    assert label_colours(task(6, classes(6, *TAXA)), scheme) == list(CATEGORIES[scheme][:6])
