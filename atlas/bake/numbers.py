"""Numbers as a reader meets them in a sentence: three significant figures at most."""

from __future__ import annotations

import math


def count(number: int) -> str:
    """Return 318402 as '318,402'."""
    return f"{number:,}"


def significant(number: float) -> str:
    """Return a number with three significant figures, trailing zeros left out."""
    if number == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    text = f"{round(number, 2 - math.floor(math.log10(abs(number)))):,.{digits}f}"
    return minus(text.rstrip("0").rstrip(".") if "." in text else text)


def probability(p: float) -> str:
    """Return a p value with three significant figures; below 0.0001 no more than that it is."""
    return "below 0.0001" if p < 0.0001 else significant(p)


def by_chance(expected: float) -> str:
    """Return how many are expected by chance, with two significant figures; below 0.1 no more than that it is."""
    return "below 0.1" if expected < 0.1 else significant(float(f"{expected:.2g}"))


def percent(share: float) -> str:
    """Return a share of 1 as a percentage with two significant figures."""
    if share == 0:
        return "0\u202f%"
    if abs(share) < 1e-5:
        return "<\u202f0.001\u202f%" if share > 0 else ">\u202f−0.001\u202f%"
    digits = max(0, 1 - math.floor(math.log10(abs(100 * share))))
    return f"{minus(f'{100 * share:.{digits}f}')}\u202f%"


def score(value: float) -> str:
    """Return a score with two decimals."""
    text = f"{value:.2f}"
    return minus("0.00" if text == "-0.00" else text)


def interval(value: float, low: float, high: float) -> str:
    """Return '0.61 (0.54–0.67)'."""
    between = " to " if low < 0 else "–"
    return f"{score(value)} ({score(low)}{between}{score(high)})"


def minus(text: str) -> str:
    """Return the text with a true minus sign."""
    return text.replace("-", "−")
