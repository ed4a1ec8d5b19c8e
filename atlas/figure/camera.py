"""From where a cloud is looked at: the camera of the page's scene, without perspective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.errors import ConfigError

Array = npt.NDArray[Any]

PRESETS = {
    # The first two axes face the reader, the third leans in.
    "front": ((0.55, 0.55, 1.55), (0.0, 1.0, 0.0)),
    "1": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "2": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    "3": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
}
"""The page's views, by their names in an address: where the eye is, and what is up."""
FIRST = "front"
STRAIGHT = "3"
"""The first view of what has fewer than three axes, and the only one of these."""


@dataclass(frozen=True)
class Camera:
    """A direction to look in."""

    right: Array
    """What points right in the picture, of length 1."""
    up: Array
    towards: Array
    """What points at the reader."""

    @classmethod
    def read(cls, text: str, axes: int = 3) -> Camera:
        """Return the camera that an address names: a view, or the ten numbers eye, centre, up and zoom, joined by "_".

        Centre and zoom only say how the scene is cut; a figure shows the whole cloud. A cloud of fewer than three `axes` is seen
        straight on in every view.

        Raises:
            ConfigError: it is neither.
        """
        if text in PRESETS:
            return cls._at(*map(np.array, PRESETS[text if axes == 3 else STRAIGHT]))
        try:
            numbers = np.array([float(number) for number in text.split("_")])
        except ValueError:
            numbers = np.empty(0)
        camera = cls._at(numbers[:3] - numbers[3:6], numbers[6:9]) if len(numbers) == 10 else None
        if camera is None or not np.isfinite([camera.right, camera.up, camera.towards]).all():
            raise ConfigError(
                f"The camera {text!r} looks nowhere: give a link as the page writes it, or one with camera={', '.join(PRESETS)}."
            )
        return camera

    @classmethod
    def _at(cls, eye: Array, up: Array) -> Camera:
        with np.errstate(all="ignore"):
            towards = eye / np.linalg.norm(eye)
            right = np.cross(up, towards)
            right = right / np.linalg.norm(right)
            return cls(right, np.cross(towards, right), towards)

    def project(self, xyz: Array) -> Array:
        """Return places in the picture, right and up, of points of shape (point, 3), in their own units."""
        return xyz @ np.stack([self.right, self.up], axis=1)

    def nearness(self, xyz: Array) -> Array:
        """Return how near each point is to the reader, larger is nearer."""
        return xyz @ self.towards
