from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from atlas.bake import templates_root

FOLDERS = (templates_root() / "static" / "vendor", Path(__file__).parents[1] / "vendor")
PACKAGES = {
    folder / package["name"]: package
    for folder in FOLDERS
    for package in tomllib.loads((folder / "VENDORED.toml").read_text(encoding="utf-8"))["package"]
}


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_vendored_packages_are_whole_and_unchanged(folder: Path) -> None:
    package: dict[str, Any] = PACKAGES[folder]
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == package["sha256"]
    assert "LICENSE" in found
    assert sorted(package.get("keep", found)) == sorted(found)


def test_nothing_else_is_vendored() -> None:
    assert {path for folder in FOLDERS for path in folder.iterdir() if path.is_dir()} == set(PACKAGES)
