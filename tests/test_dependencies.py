"""Every package that Atlas stands on has its reason, its lowest version, and a version in the lock file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import atlas

ROOT = Path(atlas.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = {
    "": PROJECT["project"]["dependencies"],
    **PROJECT["project"]["optional-dependencies"],
    **PROJECT["dependency-groups"],
}
REQUIRED = {(group, line): Requirement(line) for group, lines in GROUPS.items() for line in lines}
LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").split())
NOT_LOCKED = {"wandb"}
"""Not needed to build, nor to test: who wants it installs the extra."""


def reasons() -> dict[str, str]:
    """The rows of docs/dependencies.md: package ► why."""
    found: dict[str, str] = {}
    for line in (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 2 and cells[0] not in ("package", "---"):
            for name in re.sub(r"\(.*?\)", "", cells[0]).split(","):
                found[canonicalize_name(name.strip())] = cells[1]
    return found


@pytest.mark.parametrize("name", sorted({one.name for one in REQUIRED.values()}))
def test_every_dependency_has_its_reason(name: str) -> None:
    assert len(reasons().get(canonicalize_name(name), "").split()) >= 3


def test_no_reason_is_given_for_what_is_not_used() -> None:
    vendored = {
        package["name"]
        for folder in (ROOT / "templates" / "static" / "vendor", ROOT / "tests" / "vendor")
        for package in tomllib.loads((folder / "VENDORED.toml").read_text(encoding="utf-8"))["package"]
    }
    model = (ROOT / "requirements-model.lock").read_text(encoding="utf-8").split("==")[0]
    used = {one.name for one in REQUIRED.values()} | vendored | {model}

    assert set(reasons()) - {canonicalize_name(name) for name in used} == set()


@pytest.mark.parametrize("one", REQUIRED.values(), ids=[f"{group or 'base'}: {line}" for group, line in REQUIRED])
def test_every_dependency_has_a_lowest_version_that_the_lock_file_keeps(one: Requirement) -> None:
    assert [each.operator for each in one.specifier] == [">="]
    if one.name not in NOT_LOCKED:
        assert one.specifier.contains(LOCKED[canonicalize_name(one.name)])


def test_a_package_has_one_lowest_version() -> None:
    lowest: dict[str, set[str]] = {}
    for one in REQUIRED.values():
        lowest.setdefault(one.name, set()).add(str(one.specifier))

    assert {name: versions for name, versions in lowest.items() if len(versions) > 1} == {}


def test_the_lock_file_holds_names_and_versions_only() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
