"""The geometry stage: axes and shapes of every expert's clouds, its neighbours, and the map of all experts.

It reads what harvest and probe left and needs no language model. Its parts in `work/geometry/` are blocks of clouds of one
source, the null of them all, a kind of neighbours, and the map, so that a run that is stopped loses little and another task costs
no more than itself. The result depends neither on the number of processes nor on the order in which they end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from atlas.dictionary import Checkpoint
from atlas.errors import StageDamaged
from atlas.geometry.cloud import FEW, MIN_POINTS
from atlas.geometry.config import GeometryConfig
from atlas.geometry.contribution import Axes, axes
from atlas.geometry.neighbours import Strongest, context_overlaps, output_maps, overlaps
from atlas.geometry.overview import Words, overview
from atlas.geometry.shape import (
    CLASSES,
    Absent,
    Classified,
    Cloud,
    Measured,
    Null,
    arrays,
    classify,
    measure_all,
    measured_from,
    tabulate,
)
from atlas.geometry.similarity import Sampled
from atlas.geometry.sources import Source, sources
from atlas.harvest.parts import STAGE as HARVEST
from atlas.probe.stage import STAGE as PROBE
from atlas.probe.stage import require_harvest
from atlas.sealed import readable
from atlas.stages import (
    Column,
    Finished,
    Ragged,
    Stage,
    fingerprint,
    finished,
    is_finished,
    require_same_inputs,
    versions,
)

if TYPE_CHECKING:
    from pathlib import Path

STAGE = "geometry"

BLOCK = 1024
"""Clouds that are measured before their part is written."""

PACKAGES = ("scikit-learn", "scipy", "gudhi")
"""What this stage needs beside torch and numpy."""

KINDS = ("output", "encoder", "context")

Progress = Callable[[str, str, int, int], None]
"""Hears what is being done, what it is counted in, how much of it is done, and of how much."""

Tables = dict[str, dict[str, Column]]


def geometry(
    checkpoint: Checkpoint,
    work: Path,
    config: GeometryConfig,
    workers: int,
    progress: Progress = lambda what, unit, done, of: None,
) -> None:
    """Tell shapes, find neighbours and draw the map, and keep the tables in `work/geometry`; a finished part is not done again.

    Raises:
        StageMissing: harvest or probe have not finished.
        WorkOccupied: the folder holds those of another dictionary.
        StageDamaged: they were left by an Atlas that did not keep codes.
    """
    inputs = geometry_inputs(checkpoint, work, config)
    stage = Stage(work, STAGE, inputs)
    if stage.holds():
        return
    harvested, probed = _with_codes(work, HARVEST), _with_codes(work, PROBE)
    # On a GPU the last bits would be others.
    checkpoint = checkpoint.to(torch.device("cpu"))
    run = _Run(checkpoint, work, config, inputs, workers, progress)
    principal = _axes(checkpoint, harvested)
    found = sources(harvested, probed, config.shape.seed)
    measured = run.measured(found, principal)
    null = run.null([one for of_source in measured for one in of_source])
    told = [ToldShapes(one, clouds, classify(clouds, null, config.shape)) for one, clouds in zip(found, measured, strict=True)]
    common = _Common.of(checkpoint, harvested)
    neighbours = {kind: run.neighbours(kind, common) for kind in KINDS}
    drawn = run.overview(common, _titles(probed), _words(harvested))
    tables = {
        "code_axes": _code_axes(principal),
        **shape_tables(told),
        "neighbours": _neighbours(neighbours),
        **{name: drawn.tables[name] for name in ("overview", "overview_clusters")},
    }
    versions_ = {name: inputs["versions"][name] for name in PACKAGES}
    said = {"settings": asdict(config), "versions": versions_, "overview": drawn.provenance}
    stage.finish(tables, {STAGE: said})


def geometry_inputs(checkpoint: Checkpoint, work: Path, config: GeometryConfig) -> dict[str, Any]:
    """Return everything that determines the result.

    Raises:
        StageMissing: harvest or probe have not finished.
        WorkOccupied: the folder holds those of another dictionary.
    """
    known = {"checkpoint": checkpoint.sha256}
    require_harvest(work, known)
    harvest, probe = fingerprint(work, HARVEST), fingerprint(work, PROBE)
    require_same_inputs(work / PROBE, {"checkpoint": probe.get("checkpoint")}, known)
    return {
        **known,
        "model": harvest["model"],
        "harvest": harvest,
        "probe": probe,
        "settings": asdict(config),
        "versions": versions("numpy", "torch", *PACKAGES),
    }


def require_packages() -> None:
    """Raise PackageNotFoundError, which names the package, unless all that this stage needs is installed."""
    versions(*PACKAGES)


def cores() -> int:
    """Return how many processes can run at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_held(checkpoint: Checkpoint, work: Path, config: GeometryConfig) -> bool:
    """Return whether the work folder holds the geometry that these inputs give."""
    if not (is_finished(work, HARVEST) and is_finished(work, PROBE)):
        return False
    return Stage(work, STAGE, geometry_inputs(checkpoint, work, config)).holds()


class ToldShapes(NamedTuple):
    """The clouds of one source and what they were called."""

    source: Source
    measured: Sequence[Measured | Absent]
    """In the order of the source's clouds."""
    classified: Classified


@dataclass(frozen=True, eq=False)
class _Block:
    """Clouds of one source that are kept together."""

    source: Source
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def folder(self) -> str:
        """A name for its part: that of a corpus may be an address, that of a task is a folder's name."""
        source = self.source
        name = f"corpus-{source.task}" if source.is_corpus else f"task-{source.name}"
        return f"shapes/{name}/clouds-{self.first}"

    def clouds(self, principal: Axes) -> list[Cloud]:
        return self.source.clouds(principal.code, range(self.first, self.last))


def _firsts(source: Source) -> range:
    """Return where the blocks of a source begin."""
    return range(0, len(source.expert), BLOCK)


def _grouped(blocks: Sequence[_Block]) -> Iterator[list[_Block]]:
    """Yield the blocks in order, as many at a time as have no more than `BLOCK` clouds together, or one."""
    group: list[_Block] = []
    for block in blocks:
        if group and sum(map(len, group)) + len(block) > BLOCK:
            yield group
            group = []
        group.append(block)
    if group:
        yield group


class _Drawn(NamedTuple):
    tables: Mapping[str, Mapping[str, Column]]
    provenance: dict[str, Any]


class _Common(NamedTuple):
    """What neighbours and the map are found from."""

    maps: Float[Tensor, "expert row d_in"]
    """What experts write, by use."""
    encoder: Float[Tensor, "expert row d_in"]
    windows: Ragged
    sample: Sampled
    dense: Bool[np.ndarray, "expert"]

    @classmethod
    def of(cls, checkpoint: Checkpoint, harvested: Finished) -> _Common:
        """Return what the harvest of the first corpus and the dictionary have."""
        smixae = checkpoint.smixae
        stats = harvested.tables["expert_stats"]
        n, d = smixae.n_experts, smixae.d_code
        mean, covariance = _moments(stats["mean_code"], n, d), _moments(stats["code_covariance"], n, d * d)
        tokens, firings = (_of_first(harvested.tables[name]) for name in ("token_sample", "token_sample_firings"))
        sampled = Sampled(tokens["window"], tokens["position"], firings["token"], firings["expert"])
        windows = harvested.tables["windows"]
        n_windows = int((np.asarray(windows["task"]) == 0).sum())
        token_ids = windows["tokens"]
        assert isinstance(token_ids, Ragged)
        return cls(
            output_maps(smixae.decoder, mean, covariance.reshape(n, d, d)),
            smixae.encoder,
            Ragged(token_ids.values[: token_ids.offsets[n_windows]], token_ids.offsets[: n_windows + 1]),
            sampled,
            _of_first(stats)["dense"],
        )


class _Run:
    """One run of the stage: every part is read where it is whole, and made where it is not."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        work: Path,
        config: GeometryConfig,
        inputs: Mapping[str, Any],
        workers: int,
        progress: Progress,
    ) -> None:
        self._threshold = checkpoint.smixae.threshold
        self._work = work
        self._config = config
        self._inputs = inputs
        self._workers = workers
        self._progress = progress

    def measured(self, of: Sequence[Source], principal: Axes) -> list[list[Measured | Absent]]:
        """Return what every cloud of every source looks like."""
        blocks = [_Block(source, first, min(first + BLOCK, len(source.expert))) for source in of for first in _firsts(source)]
        parts = {block: Stage(self._work, f"{STAGE}/{block.folder}", self._of_block(block)) for block in blocks}
        left = [block for block in blocks if not parts[block].holds()]
        done, total = 0, sum(map(len, left))

        def told(measured: int, _: int) -> None:
            self._progress("Shapes", "clouds", done + measured, total)

        # Processes are begun anew each time, so that small blocks are measured together.
        for together in _grouped(left):
            clouds = [cloud for block in together for cloud in block.clouds(principal)]
            found = iter(measure_all(clouds, self._config.shape, self._workers, told))
            for block in together:
                parts[block].finish({"measured": _named(arrays(list(islice(found, len(block)))))}, {})
            done += len(clouds)
        measured: dict[int, list[Measured | Absent]] = {source.task: [] for source in of}
        for block, part in parts.items():
            with self._readable(part):
                measured[block.source.task] += measured_from(_numbers(finished(self._work, part.name).tables["measured"]))
        return list(measured.values())

    def null(self, measured: Sequence[Measured | Absent]) -> Null:
        """Return what clouds like these look like if there is nothing to see: one table for all sources."""
        told = self._told("Null of shapes")

        def tables() -> Tables:
            return {"null": _named(tabulate(measured, self._threshold, self._config.shape, self._workers, told).arrays())}

        inputs = {**_without(self._inputs, "settings"), "shape": asdict(self._config.shape)}
        table = self._part("null", inputs, tables)
        with self._readable(Stage(self._work, f"{STAGE}/null", inputs)):
            return Null.from_arrays(_numbers(table["null"]))

    def _of_block(self, block: _Block) -> dict[str, Any]:
        """Return what determines the shapes of a block: of labelled tasks, what determined the task's own part of the probe."""
        source, probe = block.source, self._inputs["probe"]
        own = {} if source.is_corpus else {**_without(probe, "tasks", "absent"), "task": probe["tasks"].get(source.name)}
        return {
            **{name: self._inputs[name] for name in ("checkpoint", "harvest", "versions")},
            "shape": asdict(self._config.shape),
            "source": source.name,
            "probe": own,
            "clouds": [block.first, block.last],
        }

    def neighbours(self, kind: str, common: _Common) -> Strongest:
        """Return the nearest others of each expert, of one kind."""
        told = self._told(f"Neighbours by {kind}")

        def tables() -> Tables:
            if kind == "context":
                found = context_overlaps(common.windows, common.sample, common.dense, told)
            else:
                found = overlaps(common.maps if kind == "output" else common.encoder, told)
            return {"neighbours": dict(found._asdict())}

        inputs = {**{name: self._inputs[name] for name in ("checkpoint", "harvest", "versions")}, "kind": kind}
        return Strongest(**_numbers(self._part(f"neighbours/{kind}", inputs, tables)["neighbours"]))

    def overview(self, common: _Common, titles: Sequence[tuple[str, str | None]], words: Words) -> _Drawn:
        """Return the map of all experts."""
        stage = Stage(
            self._work, f"{STAGE}/overview", _without(self._inputs, "settings") | {"settings": asdict(self._config.overview)}
        )
        if not stage.holds():
            self._progress("Map of all experts", "maps", 0, 1)
            found = overview(common.maps, common.sample, common.dense, titles, words, self._config.overview)
            stage.finish(found.tables(), found.provenance())
            self._progress("Map of all experts", "maps", 1, 1)
        done = finished(self._work, stage.name)
        return _Drawn(done.tables, done.provenance)

    def _readable(self, part: Stage) -> AbstractContextManager[None]:
        mend = f"Delete the folder '{self._work / STAGE}' to run the stage again."
        return readable(part.folder / "tables.safetensors", mend)

    def _told(self, what: str) -> Callable[[int, int], None]:
        return lambda done, of: self._progress(what, "steps", done, of)

    def _part(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Tables]) -> dict[str, dict[str, Column]]:
        """Return the tables of a part, as they were read back: whoever goes on reads the same."""
        stage = Stage(self._work, f"{STAGE}/{name}", inputs)
        if not stage.holds():
            stage.finish(make(), {})
        return finished(self._work, stage.name).tables


def _with_codes(work: Path, name: str) -> Finished:
    left = finished(work, name)
    if "codes" not in left.tables:
        raise StageDamaged(
            f"'{work / name}' was left by an older Atlas, without its points' codes. Delete the folder to run the stage again."
        )
    return left


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _axes(checkpoint: Checkpoint, harvested: Finished) -> Axes:
    """Return the axes of the first corpus' sample, those that points are drawn on."""
    decoder = checkpoint.smixae.decoder.double()
    points = harvested.tables["points"]
    at = np.flatnonzero(np.asarray(points["task"]) == 0)
    code = np.asarray(harvested.tables["codes"]["code"])[at]
    finite = np.isfinite(code).all(axis=1)
    gram = (decoder @ decoder.transpose(1, 2)).cpu().numpy()
    return axes(gram, np.asarray(points["expert"])[at][finite].astype(np.int64), code[finite])


def _code_axes(principal: Axes) -> dict[str, Column]:
    n_experts, d_code, n_axes = principal.code.shape
    total = principal.variance.sum(axis=1, keepdims=True)
    return {
        "expert": np.repeat(np.arange(n_experts, dtype=np.int32), n_axes),
        "axis": np.tile(np.arange(n_axes, dtype=np.int32), n_experts),
        "code": Ragged(principal.code.transpose(0, 2, 1).ravel(), np.arange(n_experts * n_axes + 1, dtype=np.int64) * d_code),
        "variance": principal.variance.ravel(),
        "share": (principal.variance / np.where(total > 0, total, 1.0)).ravel(),
    }


def shape_tables(told: Sequence[ToldShapes]) -> Tables:
    """Return the rows of `shapes`, `shape_tests` and `shape_classes`."""
    spectra: list[NDArray[Any]] = []
    rows: list[tuple[Any, ...]] = []
    tests: list[tuple[Any, ...]] = []
    classes: list[tuple[Any, ...]] = []
    for source, measured, (shapes, expected) in told:
        for expert, found, shape in zip(source.expert.tolist(), measured, shapes, strict=True):
            place = (source.task, expert, found.points)
            if isinstance(found, Absent):
                spectra.append(np.zeros(0))
                rows.append((*place, None, _absence(source, found), None, *[float("nan")] * 6))
                continue
            assert shape is not None
            spectra.append(np.asarray(found.spectrum, dtype=np.float64))
            numbers = (found.effective_dimension, found.rms, found.local_dimension, found.local_radius)
            rows.append((*place, shape.name, None, shape.statistic, *numbers, shape.loops, shape.clusters))
            tests += [(source.task, expert, *test) for test in shape.tests]
        names = [shape.name for shape in shapes if shape is not None]
        classes += [(source.task, name, names.count(name), len(names), expected[name]) for name in CLASSES]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in spectra])]).astype(np.int64)
    return {
        "shapes": {**_columns("shapes", rows), "spectrum": Ragged(np.concatenate([np.zeros(0), *spectra]), offsets)},
        "shape_tests": _columns("shape_tests", tests),
        "shape_classes": _columns("shape_classes", classes),
    }


def _absence(source: Source, found: Absent) -> str:
    """Return why a cloud has no shape, naming what it has too few of."""
    if found.reason != FEW:
        return found.reason
    firings = "firing" if found.points == 1 else "firings"
    of = {"token": "on different tokens in its sample", "label": "on different labels", "": "on its labels"}[source.unit]
    return f"It has {found.points} {firings} {of}; a shape is told from {MIN_POINTS} or more."


_TYPES: dict[str, dict[str, type[Any] | None]] = {
    "shapes": {
        **{"task": np.int32, "expert": np.int32, "points": np.int32, "class": None, "absent": None, "statistic": None},
        **dict.fromkeys(("effective_dimension", "rms", "local_dimension", "local_radius", "loops", "clusters"), np.float64),
    },
    "shape_tests": {
        **{"task": np.int32, "expert": np.int32, "statistic": None},
        **dict.fromkeys(("value", "null_median", "null_limit", "p", "p_adjusted"), np.float64),
    },
    "shape_classes": {"task": np.int32, "class": None, "experts": np.int32, "tested": np.int32, "expected": np.float64},
}
"""The columns of what is made row by row, and the type of those that are numbers; NaN is a number that is not there."""


def _columns(table: str, rows: Sequence[tuple[Any, ...]]) -> dict[str, Column]:
    made: dict[str, Column] = {}
    for place, (name, kind) in enumerate(_TYPES[table].items()):
        values = [row[place] for row in rows]
        made[name] = values if kind is None else np.array(values, dtype=kind)
    return made


def _neighbours(found: Mapping[str, Strongest]) -> dict[str, Column]:
    """Return the rows of `neighbours`, a kind below the other."""
    kinds = list(found.items())
    numbers = {name: np.concatenate([getattr(one, name) for _, one in kinds]) for name in Strongest._fields}
    return {**numbers, "kind": [kind for kind, one in kinds for _ in one.expert]}


def _titles(probed: Finished) -> list[tuple[str, str | None]]:
    """Return what each expert's title rests on, and the title of the task that it names."""
    tasks, titles = probed.tables["tasks"], probed.tables["titles"]
    named = dict(zip(np.asarray(tasks["task"]).tolist(), tasks["title"], strict=True))
    return [
        # Of an expert that no task's name fits, the number is not there.
        (str(basis), named[int(task)] if task == task else None)
        for basis, task in zip(titles["basis"], np.asarray(titles["task"]).tolist(), strict=True)
    ]


def _words(harvested: Finished) -> Words:
    """Return the tokens that experts fire on in the first corpus."""
    vocabulary, tokens = (_of_first(harvested.tables[name]) for name in ("vocabulary", "expert_tokens"))
    text = dict(zip(vocabulary["token"].tolist(), vocabulary["text"], strict=True))
    return Words(tokens["expert"], [text[token] for token in tokens["token"].tolist()], tokens["share"], tokens["lift"])


def _of_first(columns: Mapping[str, Column]) -> dict[str, Any]:
    """Return the rows of the first corpus, without lists."""
    at = np.flatnonzero(np.asarray(columns["task"]) == 0)
    plain = {name: values for name, values in columns.items() if not isinstance(values, Ragged)}
    return {name: values[at] if isinstance(values, np.ndarray) else [values[row] for row in at] for name, values in plain.items()}


def _moments(column: Column, n_experts: int, width: int) -> Float64[np.ndarray, "expert width"]:
    """Return the first corpus' rows of a column of lists of one length as an array; NaN where a list is empty or not finite."""
    assert isinstance(column, Ragged)
    lengths = np.diff(column.offsets[: n_experts + 1])
    made = np.full((n_experts, width), np.nan)
    made[lengths > 0] = column.values[: column.offsets[n_experts]].reshape(-1, width)
    made[~np.isfinite(made).all(axis=1)] = np.nan
    return made


def _named(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Column]:
    """Return arrays as a table: a dot in the file stands between a table and its column."""
    return {name.replace(".", "/"): values for name, values in arrays.items()}


def _numbers(columns: Mapping[str, Column]) -> dict[str, NDArray[Any]]:
    """Return a table of numbers as the arrays that it was made of."""
    assert all(isinstance(values, np.ndarray) for values in columns.values())
    return {name.replace("/", "."): np.asarray(values) for name, values in columns.items()}
