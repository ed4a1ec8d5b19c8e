"""Ways to damage an atlas and a site as one who covers the tracks would: hashes are recorded anew."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from atlas.bake.payloads import DIGITS
from atlas.publish.site import Page, payload
from atlas.store.contents import compute_contents


def with_rows_changed(source: Path, target: Path, *statements: str, recorded: bool) -> Path:
    """Copy an atlas and change its rows; `recorded` says whether the hashes of its tables are written down anew."""
    shutil.copyfile(source, target)
    with duckdb.connect(str(target)) as connection:
        for statement in statements:
            connection.execute(statement)
        if recorded:
            for table, content in compute_contents(connection).items():
                connection.execute("UPDATE contents SET rows = ?, sha256 = ? WHERE table_name = ?", [*content, table])
    return target


def forge(site: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a payload, and all that is named after it: its file, the manifest, the page and the record."""
    page = (site / "index.html").read_text(encoding="utf-8")
    manifest_path = site / Page.of(site).manifest
    _, manifest = payload(manifest_path.read_bytes())
    if name == "atlas":
        change(manifest)
    else:
        (path,) = (
            path for path in (site / "data").rglob("*.js") if path.relative_to(site / "data").as_posix().startswith(f"{name}.")
        )
        _, value = payload(path.read_bytes())
        change(value)
        before, digest = path.name.split(".")[-2], _written(site, name, value)
        if digest != before:
            path.unlink()
        manifest["files"] = {key: hashes.replace(before, digest) for key, hashes in manifest["files"].items()}
    manifest_path.unlink()
    digest = _written(site, "atlas", manifest)
    (site / "index.html").write_text(page.replace(manifest_path.name, f"atlas.{digest}.js"), encoding="utf-8")
    record(site)


def record(site: Path) -> None:
    """Write down what is there as what the bake wrote."""
    files = sorted(path for path in site.rglob("*") if path.is_file() and path.name != "baked.json")
    told = {path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (site / "baked.json").write_text(json.dumps({"generator": "expert-atlas", "files": told}), encoding="utf-8")


def _written(site: Path, name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    content = f"atlas.receive({json.dumps(name)},{text});\n".encode()
    digest = hashlib.sha256(content).hexdigest()[:DIGITS]
    (site / "data" / f"{name}.{digest}.js").write_bytes(content)
    return digest
