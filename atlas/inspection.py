"""What a path holds that Atlas wrote or reads: a checkpoint, a work folder, an atlas or a site, and what there is to know of it.

Torch is never loaded. Weights are known by the header of their file, and only their decoder norms are computed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from atlas.bake.folder import PAGE, STAGES, Record
from atlas.checkpoints import (
    ARCHITECTURES,
    CONFIG_FILE,
    MODEL,
    SCALER_FILE,
    UNFOLDED,
    WEIGHTS_FILE,
    WIDEST,
    find,
    json_object,
    sha256,
    shapes,
)
from atlas.errors import CheckpointError, NothingToInspect, SiteFaulty
from atlas.publish.manifest import column
from atlas.publish.site import Site
from atlas.rebuild import rebuild
from atlas.sealed import read_about, read_json, readable
from atlas.stages import DONE
from atlas.store import Store

Kind = Literal["checkpoint", "work folder", "atlas", "site"]
Facts = dict[str, Any]
"""Name ► a JSON value that is no object."""

NO_PARAMETERS = ("threshold", "n_passes_since_fired")
"""Tensors of a checkpoint that no gradient reaches."""
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""How the floating-point types of safetensors lie in a file."""
BLOCK_NUMBERS = 1 << 23
"""Numbers of W_dec that are read at once."""

ATLAS_FILE = "atlas.duckdb"
SUBJECT_FILE = "subject.json"
"""What the parts of a harvest are parts of."""


@dataclass(frozen=True)
class Inspection:
    """What a path holds."""

    kind: Kind
    path: str
    """As it was given."""
    groups: dict[str, Facts]
    """What there is to know, under headings, in the order in which it is read."""


def inspect(source: str | Path) -> Inspection:
    """Return what a path, or a checkpoint on the hub (`owner/repo[/subfolder][@revision]`), holds.

    Raises:
        NothingToInspect: nothing that Atlas knows.
        AtlasError: something that it knows and cannot read.
    """
    path = Path(source)
    try:
        if _is_on_hub(source):
            found = find(source)
            groups = {"hub": {"revision": found.revision}, **_checkpoint(found.folder)}
            return Inspection("checkpoint", str(source), _filled(groups))
        for kind, is_one, look in _KINDS:
            if is_one(path):
                return Inspection(kind, str(source), _filled(look(path)))
    except OSError as error:
        raise NothingToInspect(f"'{error.filename or path}' cannot be read: {error.strerror}. Give another path.") from error
    what = "does not exist" if not path.exists() else "is nothing that Atlas wrote or reads"
    raise NothingToInspect(
        f"'{path}' {what}. Looked for a checkpoint ({CONFIG_FILE}, {WEIGHTS_FILE}), a work folder ({ATLAS_FILE}, "
        f"{', '.join(STAGES)}), a site (baked.json) and an atlas (a DuckDB file)."
    )


def _is_on_hub(source: str | Path) -> bool:
    """Return whether a text that names nothing local may name a repository; whether it does is for the hub to say."""
    if isinstance(source, Path) or Path(source).exists():
        return False
    return "/" in source and source[0] not in "./~" and Path(source).suffix != Path(ATLAS_FILE).suffix


def _filled(groups: dict[str, Facts]) -> dict[str, Facts]:
    return {title: facts for title, facts in groups.items() if facts}


# A checkpoint


def _is_checkpoint(path: Path) -> bool:
    return any((folder / name).is_file() for folder in (path, path / MODEL) for name in (CONFIG_FILE, WEIGHTS_FILE))


def _checkpoint(path: Path) -> dict[str, Facts]:
    folder = find(path).folder
    stored = json_object(folder / CONFIG_FILE)
    with _whole(folder / WEIGHTS_FILE), safe_open(folder / WEIGHTS_FILE, "numpy") as weights:
        names = sorted(weights.keys())
    tensors = _Tensors(folder / WEIGHTS_FILE)
    metadata = stored.get("metadata")
    normalisation = stored.get("normalize_activations")
    scaler = json_object(folder / SCALER_FILE) if (folder / SCALER_FILE).is_file() else {}
    norms = _decoder_norms(tensors)
    return {
        "checkpoint": {
            "architecture": stored.get("architecture"),
            "d_in": stored.get("d_in"),
            "experts": stored.get("n_experts"),
            "d_expert": stored.get("d_expert"),
            "d_code": stored.get("d_bottleneck"),
            "rescaled_by_decoder_norm": stored.get("rescale_acts_by_decoder_norm"),
            "normalisation": normalisation,
            **({"scale": scaler.get("scaling_factor")} if scaler else {}),
            "threshold": tensors.scalar("threshold"),
            "parameters": sum(tensors.size(name) for name in names if name not in NO_PARAMETERS),
            "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
            "sha256": sha256(folder),
        },
        "problems": _problems(stored, tensors, norms),
        "metadata": _flat(metadata if isinstance(metadata, dict) else {}),
        "decoder norms": norms,
        "tensors": {name: tensors.described(name) for name in names},
    }


def _problems(stored: dict[str, Any], tensors: _Tensors, norms: Facts) -> Facts:
    """Return what a checkpoint would be refused for, by name, as far as that shows without reading all of its weights."""
    found: Facts = {}
    if stored.get("architecture") not in ARCHITECTURES:
        found["architecture"] = f"not {' or '.join(ARCHITECTURES)}"
    given = [stored.get(key) for key in ("d_in", "n_experts", "d_expert", "d_bottleneck")]
    widths = [width for width in given if type(width) is int and 0 < width <= WIDEST]
    if len(widths) < len(given):
        found["widths"] = f"d_in, n_experts, d_expert and d_bottleneck have to be whole numbers from 1 to {WIDEST}"
        return found
    for name, shape in shapes(*widths).items():
        if name not in tensors:
            found[name] = "missing"
        elif not tensors.is_floating(name):
            found[name] = f"{tensors.described(name)}: no floating numbers"
        elif tuple(tensors.shape(name)) != shape:
            found[name] = f"{tensors.described(name)}, where {CONFIG_FILE} says {' × '.join(map(str, shape))}"
    threshold = tensors.scalar("threshold")
    if threshold is None or threshold < 0:
        found["threshold"] = "has to be one number, not below 0"
    if norms and norms["max"] is None:
        found["decoder norms"] = "not finite"
    if stored.get("normalize_activations") == UNFOLDED and not tensors.beside(SCALER_FILE):
        found[SCALER_FILE] = "missing, and rows of an unfolded checkpoint take the factor in it"
    return found


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(f"'{path}' is not a whole safetensors file: {said}. Copy it again.") from error


class _Tensors:
    """The tensors of a safetensors file, which has been seen to be whole, read by rows: numpy knows no bfloat16."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self._header: dict[str, Any] = json.loads(file.read(length))
        self._start = 8 + length

    def beside(self, name: str) -> bool:
        """Return whether there is a file of this name in the same folder."""
        return (self._path.parent / name).is_file()

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def shape(self, name: str) -> list[int]:
        """Return a tensor's shape; one of a file without it has none."""
        shape: list[int] = self._header[name]["shape"] if name in self else []
        return shape

    def size(self, name: str) -> int:
        """Return how many numbers a tensor has."""
        return math.prod(self.shape(name))

    def described(self, name: str) -> str:
        """Return a tensor's type and shape in words."""
        return f"{self._header[name]['dtype']} {' × '.join(map(str, self.shape(name))) or 'scalar'}"

    def is_floating(self, name: str) -> bool:
        """Return whether a tensor is there and of a type that `rows` reads."""
        return name in self and self._header[name]["dtype"] in FLOATS

    def scalar(self, name: str) -> float | None:
        """Return the one number of a tensor; None where it has more or none, or is not there."""
        if not self.is_floating(name) or self.size(name) != 1:
            return None
        return _finite(float(self.rows(name, 0, 1).item()))

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop` of a tensor in float32, or in float64 where it is stored so."""
        described = self._header[name]
        shape = described["shape"] or [1]
        width, stored = math.prod(shape[1:]), np.dtype(FLOATS[described["dtype"]])
        offset = self._start + described["data_offsets"][0] + start * width * stored.itemsize
        raw = np.fromfile(self._path, stored, (stop - start) * width, offset=offset).reshape(stop - start, *shape[1:])
        if described["dtype"] == "BF16":
            # The upper half of a float32.
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw if raw.dtype == np.float64 else raw.astype(np.float32, copy=False)


def _decoder_norms(tensors: _Tensors) -> Facts:
    """Return the spread of the Frobenius norms of every expert's W_latent_dec · W_dec; nothing of another architecture."""
    if not all(tensors.is_floating(name) for name in ("W_latent_dec", "W_dec")):
        return {}
    latent, wide = tensors.shape("W_latent_dec"), tensors.shape("W_dec")
    if len(latent) != 3 or len(wide) != 2 or wide[0] != latent[0] * latent[2] or not latent[0]:
        return {}
    n_experts, _, d_expert = latent
    block = max(1, BLOCK_NUMBERS // max(1, d_expert * wide[1]))
    norms = np.empty(n_experts)
    for start in range(0, n_experts, block):
        stop = min(start + block, n_experts)
        units = tensors.rows("W_dec", start * d_expert, stop * d_expert).reshape(stop - start, d_expert, wide[1])
        with np.errstate(all="ignore"):
            maps = tensors.rows("W_latent_dec", start, stop) @ units
            norms[start:stop] = np.linalg.norm(maps.reshape(stop - start, -1), axis=1)
    return {
        "min": _finite(float(norms.min())),
        "median": _finite(float(np.median(norms))),
        "max": _finite(float(norms.max())),
        "zero": int((norms == 0).sum()),
    }


def _finite(value: float) -> float | None:
    """Return a number that JSON has; damaged weights give others."""
    return value if math.isfinite(value) else None


# A work folder


_WORK_MARKS = (ATLAS_FILE, ".lock-*", f"*/{DONE}", "harvest/corpus-*/part-*.safetensors", "train/checkpoint")


def _is_work(path: Path) -> bool:
    return any(any(path.glob(mark)) for mark in _WORK_MARKS)


def _work(folder: Path) -> dict[str, Facts]:
    atlas = folder / ATLAS_FILE
    groups: dict[str, Facts] = {"stages": {name: _state(folder / name) for name in STAGES}}
    groups["stages"]["assemble"] = "done" if atlas.is_file() else "absent"
    made_from = {name: _done(folder / name).get("inputs") for name in ("harvest", "probe")}
    for name in STAGES:
        done = _done(folder / name)
        inputs = dict(done.get("inputs", {}))
        for earlier in made_from.keys() & inputs.keys():
            # Whole, it is the list of that stage's own inputs once more.
            here = inputs[earlier] == made_from[earlier]
            inputs[earlier] = "the one in this folder" if here else "another than the one in this folder"
        groups[name] = {**_flat(done.get("run_log", {})), **_flat(inputs)}
    if atlas.is_file():
        groups["assemble"] = {"file": ATLAS_FILE, "bytes": atlas.stat().st_size}
    return groups


def _state(stage: Path) -> str:
    """Return whether a stage is done, and how far it is where that is known."""
    if (stage / DONE).is_file():
        return "done"
    done = 0
    shards = set()
    for path in sorted(stage.glob("corpus-*/part-*-of-*.safetensors")):
        with readable(path):
            about = json.loads(read_about(path)["about"])
            _, index, _, count = path.stem.split("-")
            mine = range(int(index), about["chunks"], int(count))
        done += sum(chunk < about["next_chunk"] for chunk in mine)
        shards.add(f"{index}/{count}")
    if shards:
        # Corpora that no shard has begun have chunks, too.
        with readable(stage / SUBJECT_FILE):
            of = sum(corpus["chunks"] for corpus in read_json(stage / SUBJECT_FILE)["corpora"])
        return f"half: {done} of {of} chunks, by the shards {', '.join(sorted(shards))}"
    return "half" if stage.is_dir() and any(stage.iterdir()) else "absent"


def _done(stage: Path) -> dict[str, Any]:
    path = stage / DONE
    if not path.is_file():
        return {}
    done = read_json(path)
    return {key: dict(done[key]) for key in ("inputs", "run_log")}


# An atlas


def _is_atlas(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def _atlas(path: Path) -> dict[str, Facts]:
    with Store(path) as store:
        provenance, log, rows = store.provenance(), store.run_log(), store.row_counts()
        plain = {key: value for key, value in provenance.items() if not isinstance(value, dict)}
        groups = {"atlas": {"bytes": path.stat().st_size, **plain}}
        groups |= {key: _flat(value) for key, value in provenance.items() if isinstance(value, dict)}
        made = rebuild(provenance)
        groups["rebuild"] = {f"line {number}": line for number, line in enumerate(made.lines, start=1)} | {"check": made.check}
        return groups | {"tables": dict(rows), "run_log": _flat(log)}


# A site


def _is_site(path: Path) -> bool:
    return Record.read(path) is not None


def _site(folder: Path) -> dict[str, Facts]:
    record = Record.read(folder) or Record({})
    changed = record.changed(folder)
    page = _Page.of(folder / PAGE)
    present = [folder / name for name in record.files if (folder / name).is_file()]
    facts: Facts = {"title": page.title}
    if not changed:
        manifest = Site.open(folder).manifest()
        try:
            facts |= {"experts": len(column(manifest["experts"]["expert"])), "tasks": len(manifest["tasks"])}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SiteFaulty(f"The manifest of {str(folder)!r} cannot be read: {error}. Bake the site again.") from error
    facts |= {
        "payloads": sum(name.startswith("data/") for name in record.files),
        "files": len(record.files),
        "bytes": sum(path.stat().st_size for path in present),
        "as_baked": not changed,
    }
    return {"site": facts, "not as baked": {name: "changed" if (folder / name).is_file() else "missing" for name in changed}}


class _Page(HTMLParser):
    """The title of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title: str | None = None
        self._inside = False

    @classmethod
    def of(cls, path: Path) -> _Page:
        page = cls()
        if path.is_file():
            page.feed(path.read_text(encoding="utf-8", errors="replace"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "title" and self.title is None

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.title = (self.title or "") + data


_KINDS: tuple[tuple[Kind, Callable[[Path], bool], Callable[[Path], dict[str, Facts]]], ...] = (
    ("checkpoint", _is_checkpoint, _checkpoint),
    ("site", _is_site, _site),
    ("work folder", _is_work, _work),
    ("atlas", _is_atlas, _atlas),
)


def _flat(values: Mapping[str, Any]) -> Facts:
    """Return the values with those inside them, under names joined by dots."""
    facts: Facts = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            facts |= {f"{key}.{name}": inner for name, inner in _flat(value).items()}
        else:
            facts[key] = value
    return facts
