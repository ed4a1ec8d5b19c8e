"""What the page makes of the arrays of a payload."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {"i1": "i1", "u1": "u1", "i2": "<i2", "u2": "<u2", "i4": "<i4", "u4": "<u4", "f4": "<f4"}


def array(stored: Mapping[str, str]) -> npt.NDArray[Any]:
    """Return a typed array."""
    return np.frombuffer(base64.b64decode(stored["bdata"]), _TYPES[stored["dtype"]])


def numbers(stored: Mapping[str, str]) -> list[Any]:
    """Return what a typed array holds; None where a number is not known."""
    return [None if value != value else value for value in array(stored).tolist()]


def column(stored: Mapping[str, Any]) -> list[Any]:
    """Return a column of the manifest, whichever form it has."""
    if "values" in stored:
        return [stored["values"][at] for at in array(stored["at"])]
    if "text" not in stored:
        return numbers(stored)
    # Two bytes to a code unit, as a script counts.
    units, texts = stored["text"].encode("utf-16-le"), []
    for length in array(stored["lengths"]).tolist():
        texts.append(units[: 2 * length].decode("utf-16-le"))
        units = units[2 * length :]
    assert not units
    return texts
