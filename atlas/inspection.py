"""What a path holds that Atlas wrote or reads: a checkpoint, a work folder, an atlas or a site, and what there is to know of it.

Nothing is computed, and torch is never loaded: weights are known by the header of their file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from atlas.bake.folder import PAGE, Record
from atlas.errors import CheckpointError, NothingToInspect
from atlas.publish.site import Site
from atlas.stages import DONE, readable
from atlas.store import Store

Kind = Literal["checkpoint", "work folder", "atlas", "site"]
Facts = dict[str, Any]
"""Name ► a JSON value that is no object."""

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
"""As in atlas.dictionary.checkpoint, which loads torch."""

ATLAS_FILE = "atlas.duckdb"
STAGES = ("train", "harvest", "probe")


@dataclass(frozen=True)
class Inspection:
    """What a path holds."""

    kind: Kind
    path: str
    """As it was given."""
    groups: dict[str, Facts]
    """What there is to know, under headings, in the order in which it is read."""


def inspect(path: Path) -> Inspection:
    """Return what the path holds.

    Raises:
        NothingToInspect: nothing that Atlas knows.
        AtlasError: something that it knows and cannot read.
    """
    try:
        for kind, is_one, groups in _KINDS:
            if is_one(path):
                return Inspection(kind, str(path), {title: facts for title, facts in groups(path).items() if facts})
    except OSError as error:
        raise NothingToInspect(f"'{error.filename or path}' cannot be read: {error.strerror}. Give another path.") from error
    what = "does not exist" if not path.exists() else "is nothing that Atlas wrote or reads"
    raise NothingToInspect(
        f"'{path}' {what}. Looked for a checkpoint ({CONFIG_FILE}, {WEIGHTS_FILE}), a work folder ({ATLAS_FILE}, "
        f"{', '.join(STAGES)}), a site (baked.json) and an atlas (a DuckDB file)."
    )


# A checkpoint


def _is_checkpoint(path: Path) -> bool:
    return any((path / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))


def _checkpoint(folder: Path) -> dict[str, Facts]:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"'{folder}' has no {name}. A checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}.")
    try:
        stored = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"'{folder / CONFIG_FILE}' is not JSON: {error}. Copy the checkpoint again.") from error
    if not isinstance(stored, dict):
        raise CheckpointError(f"'{folder / CONFIG_FILE}' holds a {type(stored).__name__}; a JSON object is needed.")
    try:
        with safe_open(folder / WEIGHTS_FILE, "numpy") as weights:
            tensors = {name: weights.get_slice(name) for name in sorted(weights.keys())}
            shapes = {name: f"{tensor.get_dtype()} {_by(tensor.get_shape())}" for name, tensor in tensors.items()}
            scalar = "threshold" in tensors and _size(tensors["threshold"].get_shape()) == 1
            threshold = float(weights.get_tensor("threshold").item()) if scalar else None
    except SafetensorError as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(f"'{folder / WEIGHTS_FILE}' is not a whole safetensors file: {said}. Copy it again.") from error
    metadata = stored.get("metadata")
    return {
        "checkpoint": {
            "architecture": stored.get("architecture"),
            "d_in": stored.get("d_in"),
            "experts": stored.get("n_experts"),
            "d_expert": stored.get("d_expert"),
            "d_code": stored.get("d_bottleneck"),
            "threshold": threshold,
            "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
            "sha256": _checkpoint_sha256(folder),
        },
        "metadata": _flat(metadata if isinstance(metadata, dict) else {}),
        "tensors": shapes,
    }


def _checkpoint_sha256(folder: Path) -> str:
    """Return the hash that a harvest records of a checkpoint."""
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# A work folder


_WORK_MARKS = (ATLAS_FILE, ".lock-*", f"*/{DONE}", "harvest/part-*.safetensors", "train/checkpoint")


def _is_work(path: Path) -> bool:
    return any(any(path.glob(mark)) for mark in _WORK_MARKS)


def _work(folder: Path) -> dict[str, Facts]:
    atlas = folder / ATLAS_FILE
    groups: dict[str, Facts] = {"stages": {name: _state(folder / name) for name in STAGES}}
    groups["stages"]["assemble"] = "done" if atlas.is_file() else "absent"
    harvest = _done(folder / "harvest").get("inputs")
    for name in STAGES:
        done = _done(folder / name)
        inputs = dict(done.get("inputs", {}))
        if "harvest" in inputs:
            # Whole, it is the list of the harvest's own inputs once more.
            inputs["harvest"] = (
                "the one in this folder" if inputs["harvest"] == harvest else "another than the one in this folder"
            )
        groups[name] = {**_flat(done.get("run_log", {})), **_flat(inputs)}
    if atlas.is_file():
        groups["assemble"] = {"file": ATLAS_FILE, "bytes": atlas.stat().st_size}
    return groups


def _state(stage: Path) -> str:
    """Return whether a stage is done, and how far it is where that is known."""
    if (stage / DONE).is_file():
        return "done"
    done = of = 0
    shards = set()
    for path in sorted(stage.glob("part-*-of-*.safetensors")):
        with readable(path), safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()["about"])
            _, index, _, count = path.stem.split("-")
            mine = range(int(index), about["chunks"], int(count))
        done += sum(chunk < about["next_chunk"] for chunk in mine)
        of = about["chunks"]
        shards.add(f"{index}/{count}")
    if shards:
        return f"half: {done} of {of} chunks, by the shards {', '.join(sorted(shards))}"
    return "half" if stage.is_dir() and any(stage.iterdir()) else "absent"


def _done(stage: Path) -> dict[str, Any]:
    path = stage / DONE
    if not path.is_file():
        return {}
    with readable(path):
        done = json.loads(path.read_text(encoding="utf-8"))
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
        facts |= {"experts": len(manifest["experts"]["expert"]), "tasks": len(manifest["tasks"])}
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


def _by(shape: list[int]) -> str:
    return " × ".join(map(str, shape)) or "scalar"


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
