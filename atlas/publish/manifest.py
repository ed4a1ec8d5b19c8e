"""A baked site's manifest, read as the page reads it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {"i1": "i1", "u1": "u1", "i2": "<i2", "u2": "<u2", "i4": "<i4", "u4": "<u4", "f4": "<f4"}
_HASH = 12
"""Characters of a payload's hash."""
_MOST = 1 << 26
"""Bytes of an array: far more than any page holds, and few enough that a site made to unfold without end does no harm."""


def array(stored: Mapping[str, str]) -> npt.NDArray[Any]:
    """Return a typed array, gzipped or not.

    Raises:
        ValueError: it cannot be unfolded, or to more than a page holds.
    """
    content = _unfolded(base64.b64decode(stored["gzip"])) if "gzip" in stored else base64.b64decode(stored["bdata"])
    return np.frombuffer(content, _TYPES[stored["dtype"]])


def _unfolded(squeezed: bytes) -> bytes:
    gzip = zlib.decompressobj(wbits=31)
    try:
        content = gzip.decompress(squeezed, _MOST)
    except zlib.error as error:
        raise ValueError(f"an array that cannot be unfolded: {error}") from error
    if not gzip.eof:
        raise ValueError(f"an array that is cut short, or unfolds to more than {_MOST:,} bytes")
    return content


def numbers(stored: Mapping[str, str]) -> list[Any]:
    """Return what a typed array holds; None where a number is not known."""
    return [None if value != value else value for value in array(stored).tolist()]


def column(stored: Mapping[str, Any]) -> list[Any]:
    """Return a column of the manifest, whichever form it has."""
    if "values" in stored:
        return [stored["values"][at] for at in array(stored["at"])]
    if "text" not in stored:
        return numbers(stored)
    units = stored["text"].encode("utf-16-le")  # two bytes to a code unit, as a script counts
    ends = accumulate((2 * length for length in array(stored["lengths"]).tolist()), initial=0)
    return [units[start:end].decode("utf-16-le") for start, end in pairwise(ends)]


def addresses(files: Mapping[str, str]) -> Iterator[str]:
    """Give the path in the site of every payload that a manifest's `files` names; a family's hashes stand end to end."""
    for name, hashes in files.items():
        if name.endswith("/"):
            for start in range(0, len(hashes), _HASH):
                yield f"data/{name}{start // _HASH}.{hashes[start : start + _HASH]}.js"
        else:
            yield f"data/{name}.{hashes}.js"
