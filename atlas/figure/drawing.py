"""One expert's cloud ► SVG, PDF or PNG."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atlas.bake.colours import LINE, MUTED, PANEL, TEXT, Scheme, ordered
from atlas.errors import ConfigError
from atlas.figure.camera import FIRST, Camera
from atlas.figure.cloud import Bar, Cloud, read_cloud
from atlas.figure.config import FigureConfig
from atlas.figure.placing import Name, Placed, place
from atlas.files import replacing, sweep_beside
from atlas.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

SUFFIXES = (".svg", ".pdf", ".png")
DPI = 600
"""Of a PNG: what journals ask of drawings with lines and text."""
POINT, MEAN = 1.5, 4.5
"""Diameters in points."""
ANCHOR = 1.0
"""Radius in points of what is no mark but has a name, as the end of an axis: no other name may cover it."""
HAIR = 0.4
"""Width of axes and leaders in points."""
STROKE = 4.0
"""Of the threshold on a single axis, to either side of it, in points."""
EDGE = 3.0
"""From the cloud to the side of the figure, in points."""
SIDE = 0.12
"""Most of a figure's width that is kept free for names on either side."""
BAR = (0.5, 2.5)
"""Its length, over the figure's width, and its thickness in points."""
SHADES = 64
SPACING = 3.0
"""Between the places of a line that names keep off, in points."""
_SCHEME: Scheme = "light"


@dataclass(frozen=True)
class FigureReport:
    """What a figure shows."""

    path: Path
    caption: str
    """What is drawn, in sentences; the file has it, too."""
    named: int
    """Class means whose name has found room."""
    means: int


def figure(atlas_path: Path, expert: int, out: Path, config: FigureConfig) -> FigureReport:
    """Draw one expert's cloud into a file, whose suffix says in which form. The same atlas gives the same bytes.

    Raises:
        ConfigError: there is no such form, camera or font, or the font lacks a sign of a name.
        NotInAtlas: there is no such expert, or it has no points on the task.
        StorageError: the file cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out is '{out}'; a figure is a file with the suffix {', '.join(SUFFIXES)}.")
    width, height = config.size
    with Store(atlas_path) as store:
        cloud = read_cloud(store, expert, config)
    camera = Camera.read(config.camera or FIRST, len(cloud.axis_names))
    return _Drawing(cloud, camera, config, (width, height)).write(out)


class _Drawing:
    """A cloud on its way to a file. Places are in points, from the lower left corner."""

    def __init__(self, cloud: Cloud, camera: Camera, config: FigureConfig, size: tuple[float, float]) -> None:
        self._cloud, self._camera, self._config, self._size = cloud, camera, config, size
        self._line = config.font_size * 1.25
        self._require_font()
        self._foot = EDGE if cloud.bar is None else 3.2 * self._line + BAR[1]
        self._scale, self._shift = self._fitted()

    def write(self, out: Path) -> FigureReport:
        """Write the file whole, or not at all."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        settings: dict[Any, Any] = {
            # Where an SVG's reader has not got the font, another without serifs is near enough.
            "font.family": ["sans-serif"],
            "font.sans-serif": [self._config.font],
            "font.size": self._config.font_size,
            # Text stays text: found, copied and set in a journal's own font.
            "svg.fonttype": "none",
            "svg.hashsalt": "atlas",
            "pdf.fonttype": 42,
            "path.simplify": False,
        }
        with rc_context(settings):
            drawn = Figure(figsize=(self._size[0] / 72, self._size[1] / 72), dpi=72)
            axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, self._size[0]), ylim=(0, self._size[1]))
            axes.axis("off")
            if not self._config.transparent:
                drawn.patch.set_facecolor(PANEL[_SCHEME])
            else:
                drawn.patch.set_visible(False)
            self._lines(axes)
            self._dots(axes)
            named = self._names(axes) if self._config.names else 0
            if self._cloud.bar:
                self._bar(axes, self._cloud.bar)
            self._save(drawn, out)
        return FigureReport(out, self._cloud.caption, named, len(self._cloud.mean_names))

    def _save(self, drawn: Figure, out: Path) -> None:
        form = out.suffix.lower()[1:]
        words, caption = {"Title": self._cloud.caption.partition(":")[0]}, _shown(self._cloud.caption)
        metadata: dict[str, dict[str, Any]] = {
            "svg": {**words, "Description": caption, "Date": None},
            "pdf": {**words, "Subject": caption, "CreationDate": None},
            "png": {**words, "Description": caption, "Software": None},
        }
        # In memory first: where a disk is full, Matplotlib's own writer of PDF hides that behind another error.
        content = BytesIO()
        drawn.savefig(content, format=form, dpi=DPI if form == "png" else 72, metadata=metadata[form])
        sweep_beside(out)
        with replacing(out) as part:
            part.write_bytes(content.getvalue())

    def _require_font(self) -> None:
        """Raise unless the font is here and has every sign that is written with it."""
        from matplotlib.font_manager import FontProperties, findfont, get_font

        font = self._config.font
        try:
            path = findfont(FontProperties(family=font), fallback_to_default=False)
        except ValueError as error:
            raise ConfigError(f"--font is {font!r}, which is not installed here. Leave it out, or install it.") from error
        known = get_font(path).get_charmap()
        written = "".join([*self._cloud.mean_names, *self._cloud.axis_names, self._cloud.bar.title if self._cloud.bar else ""])
        missing = sorted({sign for sign in _shown(written) if ord(sign) not in known})
        if missing and self._config.names:
            raise ConfigError(f"The font {font!r} has no sign for {' '.join(missing[:5])!r}. Name one that has it with --font.")

    def _fitted(self) -> tuple[float, Array]:
        """Return points to a unit, and the shift in points, that bring all that is drawn into the figure."""
        cloud = self._cloud
        ends = cloud.axes.reshape(-1, 3)
        places = self._camera.project(np.concatenate([cloud.xyz, cloud.means, ends]))
        if cloud.sphere is not None and not cloud.is_flat:
            places = np.concatenate([places, [[-cloud.sphere] * 2, [cloud.sphere] * 2]])
        low, high = places.min(axis=0), places.max(axis=0)
        # Room for the names of what lies at the edge: a line above and below, and most of a name to either side.
        aside = min(self._widest(), SIDE * self._size[0])
        margin = EDGE + MEAN / 2 + np.array([aside, self._line if self._config.names else 0.0])
        box_low = np.maximum(margin, [0, self._foot])
        box_high = np.array(self._size) - margin
        scale = float(np.min((box_high - box_low) / np.maximum(high - low, 1e-12)))
        return scale, (box_low + box_high) / 2 - scale * (low + high) / 2

    def _widest(self) -> float:
        names = self._cloud.mean_names if self._config.names else []
        return max((_measured(_shown(name), self._config)[0] for name in names), default=0.0)

    def _at(self, xyz: Array) -> Array:
        return self._camera.project(xyz) * self._scale + self._shift

    @property
    def _origin(self) -> Array:
        """Where no code is, as it is drawn: of one axis, a place on it."""
        (place,) = self._at(self._cloud.axes[:1, 0] * [0, 1, 0] if self._cloud.is_flat else np.zeros((1, 3)))
        return place

    def _lines(self, axes: Axes) -> None:
        from matplotlib.patches import Circle

        for number, ends in enumerate(self._cloud.axes, start=1):
            x, y = self._at(ends).T
            axes.plot(x, y, color=LINE[_SCHEME], linewidth=HAIR, gid=f"axis-{number}", solid_capstyle="butt")
        if self._cloud.sphere is None:
            return
        (x, y), radius = self._origin, self._cloud.sphere * self._scale
        if self._cloud.is_flat:
            strokes = [(x - radius, x - radius), (x + radius, x + radius)]
            for at, stroke in enumerate(strokes):
                ends = (y - STROKE, y + STROKE)
                axes.plot(stroke, ends, color=MUTED[_SCHEME], linewidth=2 * HAIR, gid=f"threshold-{at}")
        else:
            axes.add_patch(Circle((x, y), radius, fill=False, edgecolor=MUTED[_SCHEME], linewidth=HAIR, gid="threshold"))

    def _dots(self, axes: Axes) -> None:
        cloud = self._cloud
        far_first = np.argsort(self._camera.nearness(cloud.xyz), kind="stable")
        x, y = self._at(cloud.xyz)[far_first].T
        colours = [cloud.colours[at] for at in far_first]
        axes.scatter(x, y, s=POINT**2, c=colours, alpha=0.75, linewidths=0, gid="points")
        if not len(cloud.means):
            return
        if len(cloud.path):
            axes.plot(*self._at(cloud.path).T, color=MUTED[_SCHEME], linewidth=2 * HAIR, gid="order", solid_joinstyle="round")
        far_first = np.argsort(self._camera.nearness(cloud.means), kind="stable")
        x, y = self._at(cloud.means)[far_first].T
        colours = [cloud.mean_colours[at] for at in far_first]
        marks = axes.scatter(x, y, s=MEAN**2, c=colours, edgecolors=PANEL[_SCHEME], linewidths=2 * HAIR, gid="means")
        marks.set_zorder(3)

    def _names(self, axes: Axes) -> int:
        """Write the names of axes and class means where there is room; return how many of the latter there was room for."""
        cloud = self._cloud
        ends, means = self._at(cloud.axes[:, 1]), self._at(cloud.means)
        texts = [_shown(text) for text in [*cloud.mean_names, *cloud.axis_names]]
        places = [*((x, y, MEAN / 2 + HAIR) for x, y in means), *((x, y, ANCHOR) for x, y in ends)]
        if cloud.sphere is not None:
            texts.append("threshold")
            radius = cloud.sphere * self._scale
            places.append((*self._origin + ([radius, STROKE] if cloud.is_flat else [0, radius]), ANCHOR))
        measured = [_measured(text, self._config) for text in texts]
        names = [Name(x, y, wide, high, radius) for (x, y, radius), (wide, high, _) in zip(places, measured, strict=True)]
        drawn = np.concatenate([self._at(cloud.xyz), *map(_along, [self._at(cloud.path), *map(self._at, cloud.axes)])])
        found = place(names, drawn, self._size, foot=self._foot if cloud.bar else 0.0)
        colours = [TEXT[_SCHEME]] * len(means) + [MUTED[_SCHEME]] * (len(texts) - len(means))
        for text, at, (_, _, below), colour in zip(texts, found, measured, colours, strict=True):
            if at is not None:
                self._name(axes, text, at, below, colour)
        return sum(at is not None for at in found[: len(means)])

    def _name(self, axes: Axes, text: str, at: Placed, below: float, colour: str) -> None:
        if at.leader:
            (x, y), (to_x, to_y) = at.leader
            axes.plot([x, to_x], [y, to_y], color=MUTED[_SCHEME], linewidth=HAIR, gid="leader")
        axes.text(at.x, at.y + below, text, color=colour, ha="left", va="baseline", parse_math=False)

    def _bar(self, axes: Axes, bar: Bar) -> None:
        """Draw the ramp with its ticks at round numbers, below the cloud."""
        from matplotlib.patches import Rectangle
        from matplotlib.ticker import MaxNLocator

        width = self._size[0]
        left, long = width * (1 - BAR[0]) / 2, width * BAR[0]
        low = EDGE + self._line
        for shade, colour in enumerate(ordered(np.linspace(0, 1, SHADES), _SCHEME)):
            x = left + long * shade / SHADES
            axes.add_patch(Rectangle((x, low), long / SHADES * 1.02, BAR[1], facecolor=colour, linewidth=0))
        span = (bar.high - bar.low) or 1.0
        for tick in MaxNLocator(5, steps=[1, 2, 5, 10], integer=bar.title != "norm").tick_values(bar.low, bar.high):
            if bar.low <= tick <= bar.high:
                x = left + long * (tick - bar.low) / span
                axes.plot([x, x], [low - 1.5, low], color=MUTED[_SCHEME], linewidth=HAIR)
                axes.text(x, low - 2.5, f"{tick:g}".replace("-", "−"), color=MUTED[_SCHEME], ha="center", va="top")
        axes.text(
            width / 2, low + BAR[1] + 1.5, _shown(bar.title), color=MUTED[_SCHEME], ha="center", va="bottom", parse_math=False
        )


def _along(path: Array) -> Array:
    """Return places along a line, a few points apart: names keep off it as they do off what is drawn."""
    steps = [np.linspace(start, end, max(2, int(np.linalg.norm(end - start) / SPACING))) for start, end in pairwise(path)]
    return np.concatenate([np.empty((0, 2)), *steps])


def _shown(text: str) -> str:
    """Return a name as it is written: what has no look of its own, as a line end, is spelled out."""
    unseen = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join(
        sign.encode("unicode_escape").decode("ascii") if unicodedata.category(sign) in unseen else sign for sign in text
    )


def _measured(text: str, config: FigureConfig) -> tuple[float, float, float]:
    """Return the width and height of a text in points, and how far it reaches below its line."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=config.font, size=config.font_size)
    width, _, _ = text_to_path.get_text_width_height_descent(text or " ", font, ismath=False)
    # One height for all, so that names stand on lines of their own whatever letters they have.
    _, height, below = text_to_path.get_text_width_height_descent("Åg", font, ismath=False)
    return width, height, below
