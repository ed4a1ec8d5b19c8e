"""Figures, read back from the files."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atlas.bake.colours import LINE, data_colours, label_colours
from atlas.errors import ConfigError, NotInAtlas, StorageError
from atlas.figure import FigureConfig, figure
from atlas.store import Store
from synthetic import MONTHS, Size, write_synthetic

SVG = "{http://www.w3.org/2000/svg}"
RING = 0
"""An expert whose months are a ring, in order."""
UNORDERED = 2
"""One that fires on months, and whose order is not supported."""

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("figures") / "atlas.duckdb", size=Size(more_tasks=True))


class Read:
    """An SVG, by the names of its parts."""

    def __init__(self, path: Path) -> None:
        self.root = ElementTree.parse(path).getroot()

    def uses(self, name: str) -> Array:
        found = [(float(use.get("x", 0)), float(use.get("y", 0))) for use in self._part(name).iter(f"{SVG}use")]
        return np.array(found).reshape(-1, 2)

    def fills(self, name: str) -> list[str]:
        return re.findall(r"fill: (#\w+)", ElementTree.tostring(self._part(name), encoding="unicode"))

    def names(self) -> dict[str, Array]:
        return {
            text.text or "": np.array([float(text.get("x", 0)), float(text.get("y", 0))]) for text in self.root.iter(f"{SVG}text")
        }

    def ends(self, name: str) -> Array:
        (path,) = self._part(name).iter(f"{SVG}path")
        return np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", "")), float)

    def has(self, name: str) -> bool:
        return self.root.find(f".//{SVG}g[@id='{name}']") is not None

    def _part(self, name: str) -> ElementTree.Element:
        part = self.root.find(f".//{SVG}g[@id='{name}']")
        assert part is not None, name
        return part


def read(atlas_path: Path, tmp_path: Path, expert: int = RING, **given: Any) -> Read:
    out = tmp_path / "figure.svg"
    figure(atlas_path, expert, out, FigureConfig(**given))
    return Read(out)


def test_class_means_stand_where_the_camera_sees_them(atlas_path: Path, tmp_path: Path) -> None:
    eye, up = np.array([1.2, -0.4, 0.9]), np.array([0.1, 1, 0])
    camera = "_".join(map(str, [*eye + [0.3, 0, 0], 0.3, 0, 0, *up, 1.6]))
    drawn = read(atlas_path, tmp_path, colour="months", camera=camera)
    with Store(atlas_path) as store:
        (task,) = (task for task in store.tasks() if task.name == "months")
        query = "SELECT * FROM label_stats WHERE expert = 0 AND task = $task AND fired >= 5 ORDER BY label"
        means = store.sql(query, task=task.task).select("x", "y", "z").to_numpy()
    towards = eye / np.linalg.norm(eye)
    right = np.cross(up, towards) / np.linalg.norm(np.cross(up, towards))
    expected = means @ np.stack([right, -np.cross(towards, right)], axis=1)  # an SVG's second axis runs down
    far_first = np.argsort(means @ towards)
    found = np.empty_like(expected)
    found[far_first] = drawn.uses("means")
    # One scale for both axes, and a shift.
    scale = np.ptp(found[:, 0]) / np.ptp(expected[:, 0])
    assert np.abs((found - found.mean(axis=0)) - scale * (expected - expected.mean(axis=0))).max() < 1e-3
    colours = label_colours(task, "light")
    assert drawn.fills("means")[-12:] == [colours[label] for label in far_first]


def test_names_lie_on_no_other_name_and_beside_their_own_mark(atlas_path: Path, tmp_path: Path) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    names = read(atlas_path, tmp_path, colour="months").names()
    assert set(MONTHS) < set(names) and sum(name.startswith("axis ") for name in names) == 3
    font = FontProperties(family="DejaVu Sans", size=7)
    wide = {name: text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names}
    boxes = [(*at, at[0] + wide[name], at[1] + 7) for name, at in names.items()]
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert read(atlas_path, tmp_path, colour="months", names=False).names() == {}


def test_the_size_is_what_was_asked_for_and_the_same_bytes_come_twice(atlas_path: Path, tmp_path: Path) -> None:
    config = FigureConfig(colour="months", width="85mm", height="2in", transparent=True)
    for suffix in ("svg", "pdf", "png"):
        files = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
        assert [figure(atlas_path, RING, file, config).named for file in files] == [12, 12]
        assert files[0].read_bytes() == files[1].read_bytes()
    svg = (tmp_path / "one.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(85 / 25.4 * 72, abs=1e-4)  # type: ignore[index]
    assert 'height="144pt"' in svg and "DejaVu Sans" in svg and '<path id="DejaVu' not in svg
    pdf = (tmp_path / "one.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", pdf)
    assert pdf.startswith(b"%PDF-") and box and float(box[1]) == pytest.approx(240.945, abs=0.01) and float(box[2]) == 144
    assert b"/Subtype /Type0" in pdf or b"/Subtype /TrueType" in pdf, "fonts are embedded as TrueType"
    png = (tmp_path / "one.png").read_bytes()
    assert png.startswith(b"\x89PNG") and struct.unpack(">II", png[16:24]) == (2007, 1200)


def test_class_means_are_joined_where_their_order_is_supported_or_asked_for(atlas_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.svg"
    supported = figure(atlas_path, RING, out, FigureConfig(colour="months"))
    assert Read(out).has("order") and "joined in label order (order supported)" in supported.caption
    plain = figure(atlas_path, UNORDERED, out, FigureConfig(colour="months"))
    assert not Read(out).has("order") and "not joined (order not supported)" in plain.caption
    joined = figure(atlas_path, UNORDERED, out, FigureConfig(colour="months", join=True))
    assert Read(out).has("order") and "joined in label order (order not supported)" in joined.caption
    assert joined.caption in out.read_text()


def test_points_are_coloured_by_label_or_read_off_an_axis(atlas_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "may.svg"
    said = figure(atlas_path, RING, out, FigureConfig(colour="months", only=("May", "nosuch"))).caption
    isolated = Read(out)
    grey = isolated.fills("points").count(LINE["light"])
    assert 0 < grey < len(isolated.uses("points")) and len(set(isolated.fills("points"))) == 2
    assert f"Grey are {grey} of them, at labels that are filtered out." in said
    assert LINE["light"] not in read(atlas_path, tmp_path, colour="months", only=("nosuch",)).fills("points")
    by_norm = read(atlas_path, tmp_path, colour="months:norm", only=("May",))
    assert set(by_norm.fills("means")) == {data_colours()["light"]["none"]}
    for colour, title in (("synthetic", "norm"), ("months:norm", "norm"), ("numbers", "Numbers 0–99")):
        drawn = read(atlas_path, tmp_path, 1, colour=colour)
        ticks = [float(name) for name in drawn.names() if re.fullmatch(r"[\d.]+", name)]
        assert title in drawn.names() and len(ticks) >= 3
    assert len(read(atlas_path, tmp_path, colour="months", points=20).uses("points")) == 20


def test_the_gate_sees_codes_and_its_threshold(atlas_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.svg"
    seen = figure(atlas_path, RING, out, FigureConfig(colour="months", view="gate"))
    assert "as the gate sees them" in seen.caption and "outside of the sphere" in seen.caption
    assert Read(out).has("threshold") and {"threshold", "code 1", "code 2", "code 3"} < set(Read(out).names())


def test_few_axes_are_seen_straight_on_and_many_only_without_the_gate(tmp_path: Path) -> None:
    one = write_synthetic(tmp_path / "one.duckdb", size=Size(d_code=1))
    drawn = read(one, tmp_path, colour="months")
    assert [name for name in drawn.names() if name.startswith("axis")] == ["axis 1 · 100\u202f%"]
    assert len(np.unique(drawn.uses("points")[:, 1])) > 1, "points are piled up"
    gate = read(one, tmp_path, colour="months", view="gate")
    (left,), (right,) = (set(gate.ends(f"threshold-{at}")[:, 0]) for at in (0, 1))
    assert gate.ends("axis-1")[:, 0].min() < left < right < gate.ends("axis-1")[:, 0].max() and not gate.has("threshold")
    wide = write_synthetic(tmp_path / "five.duckdb", size=Size(d_code=5))
    assert len(read(wide, tmp_path, colour="months").uses("points"))
    with pytest.raises(ConfigError, match="cannot be drawn as the gate sees it"):
        read(wide, tmp_path, colour="months", view="gate")


@pytest.mark.parametrize(
    ("expert", "given", "error", "said"),
    [
        (999, {}, NotInAtlas, "There is no expert 999. This atlas has experts 0 to 39."),
        (3, {}, NotInAtlas, "Expert 3 has no points"),
        (0, {"colour": "planets"}, NotInAtlas, "no points on 'planets'. It has some on synthetic, months"),
        (0, {"colour": "months:template"}, ConfigError, "not by 'template'"),
        (0, {"width": "85"}, ConfigError, "--width is '85'; give a length with its unit"),
        (0, {"height": "2mm"}, ConfigError, "--height is '2mm'; it takes 20mm to 1000mm"),
        (0, {"font": "No Such"}, ConfigError, "--font is 'No Such'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    atlas_path: Path, tmp_path: Path, expert: int, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        figure(atlas_path, expert, tmp_path / "f.svg", FigureConfig(**given))
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_figure_or_cannot_be_written_is_refused(atlas_path: Path, tmp_path: Path) -> None:
    config = FigureConfig(colour="months")
    with pytest.raises(ConfigError, match=r"a figure is a file with the suffix \.svg, \.pdf, \.png"):
        figure(atlas_path, RING, tmp_path / "f.jpg", config)
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        figure(atlas_path, RING, tmp_path / "nowhere" / "f.png", config)
    with pytest.raises(ConfigError, match="--font-size is 40"):
        replace(config, font_size=40.0)
