from __future__ import annotations

import hashlib
import tomllib

import pytest

from atlas.bake import templates_root

VENDOR = templates_root() / "static" / "vendor"
PACKAGES = tomllib.loads((VENDOR / "VENDORED.toml").read_text(encoding="utf-8"))["package"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_vendored_packages_are_whole_and_unchanged(package: dict[str, str | dict[str, str]]) -> None:
    folder = VENDOR / str(package["name"])
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == package["sha256"]
    assert "LICENSE" in found


def test_nothing_else_is_vendored() -> None:
    assert {path.name for path in VENDOR.iterdir() if path.is_dir()} == {package["name"] for package in PACKAGES}
