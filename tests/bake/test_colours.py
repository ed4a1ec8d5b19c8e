from __future__ import annotations

import numpy as np
import pytest

from atlas.bake import colours
from atlas.bake.colours import CATEGORIES, MIN_CONTRAST, PANEL, SCHEMES, Scheme, contrast, cyclic, ordered

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
