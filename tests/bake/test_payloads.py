from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlas.bake.payloads import DIGITS, Payloads


def manifest(site: Path) -> Any:
    """The only manifest below a site."""
    (path,) = site.glob("data/atlas.*.js")
    return json.loads(path.read_text(encoding="utf-8").removeprefix('atlas.receive("atlas",').removesuffix(");\n"))


def test_a_family_without_gaps_is_one_entry_of_hashes_end_to_end(tmp_path: Path) -> None:
    payloads = Payloads(tmp_path)
    for name in [
        *(f"experts/{number}" for number in (11, 0, 10, *range(1, 10))),
        "labels/1",
        "labels/2",
        "search/tokens/0",
        "search/index",
    ]:
        payloads.write(name, name)
    payloads.write_manifest({})
    files = manifest(tmp_path)["files"]
    assert files.keys() == {"experts/", "labels/1", "labels/2", "search/tokens/", "search/index"}
    assert len(files["experts/"]) == 12 * DIGITS
    for number in range(12):
        digest = files["experts/"][number * DIGITS : (number + 1) * DIGITS]
        assert json.dumps(f"experts/{number}") in (tmp_path / f"data/experts/{number}.{digest}.js").read_text(encoding="utf-8")
    assert (tmp_path / f"data/labels/2.{files['labels/2']}.js").is_file()
    assert (tmp_path / f"data/search/tokens/0.{files['search/tokens/']}.js").is_file()


def test_numbers_that_are_written_otherwise_are_names(tmp_path: Path) -> None:
    payloads = Payloads(tmp_path)
    for name in ("one/00", "two/0", "two/x", "0"):
        payloads.write(name, name)
    payloads.write_manifest({})
    assert manifest(tmp_path)["files"].keys() == {"one/00", "two/0", "two/x", "0"}
    assert len(payloads) == 4
