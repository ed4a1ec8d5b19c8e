"""Arrays as the page reads them: Plotly's typed arrays, coordinates in whole steps of one scale."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Typed = dict[str, str]

STEPS = 32_000
"""Steps from the middle of a frame to its side: fits in two bytes with room for rounding."""
LEVEL = 6
"""Of compression; the highest makes a bake slower by a fifth and its payloads smaller by three ten-thousandths."""
WIDEST = 1 << 32
"""The least whole number that no array of the page holds."""
_NAMES = {np.dtype(f"<{name}"): name for name in ("i1", "u1", "i2", "u2", "i4", "u4", "f4")}


def typed(array: Array) -> Typed:
    """Return an array in Plotly's form, `{"dtype", "bdata"}`, little-endian."""
    array = _little(array)
    return {"dtype": _NAMES[array.dtype], "bdata": base64.b64encode(array.tobytes()).decode("ascii")}


def packed(array: Array, *, repeats: bool = True) -> Typed:
    """Return an array in the same form, gzipped: `{"dtype", "gzip"}`.

    What never `repeats`, such as coordinates, is spared the search for it; then it pays where few of the bytes' values are used.
    """
    array = _little(array)
    strategy = zlib.Z_DEFAULT_STRATEGY if repeats else zlib.Z_HUFFMAN_ONLY
    gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, wbits=31, memLevel=9, strategy=strategy)
    squeezed = gzip.compress(array.tobytes()) + gzip.flush()
    return {"dtype": _NAMES[array.dtype], "gzip": base64.b64encode(squeezed).decode("ascii")}


def narrow(array: Array) -> Array:
    """Return counts or indices, below WIDEST, in the fewest bytes that hold them."""
    most = int(array.max(initial=0))
    assert most < WIDEST, f"{most:,} does not fit into four bytes"
    return array.astype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)


def short(number: float) -> float:
    """Return a number with the five significant figures that are written of it: none that a reader could use is lost."""
    return float(f"{number:.5g}")


def _little(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def unpacked(stored: Typed) -> Array:
    """Return the array that was packed."""
    return np.frombuffer(zlib.decompress(base64.b64decode(stored["gzip"]), wbits=31), f"<{stored['dtype']}")


@dataclass(frozen=True)
class Frame:
    """The cube that an expert is drawn in: one scale for all three axes."""

    centre: Array
    half: float
    """Half the cube's side, in the units of the coordinates."""

    @classmethod
    def around(cls, xyz: Array) -> Frame:
        """Return the smallest cube, sides along the axes, around points of shape (point, 3)."""
        low, high = xyz.min(axis=0), xyz.max(axis=0)
        return cls((low + high) / 2, max(float((high - low).max()) / 2, 1e-9))

    @property
    def unit(self) -> float:
        """What one step stands for, in the units of the coordinates."""
        return self.half / STEPS

    def stepped(self, xyz: Array) -> Array:
        """Return points as whole steps from the middle of the frame, int16."""
        return np.rint((xyz - self.centre) / self.unit).astype(np.int16)


def spread(count: int, most: int) -> Array:
    """Return at most `most` of the indices below `count`, evenly spaced."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)
