"""The lines that build an atlas again, from its provenance alone."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest

from atlas.rebuild import Baked, evaluated_tokens, quoted, rebuild
from atlas.store import Store
from synthetic import Size, write_synthetic


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The provenance of an atlas, as JSON."""
    path = tmp_path_factory.mktemp("atlas") / "atlas.duckdb"
    write_synthetic(path, size=Size(experts=8))
    with Store(path) as store:
        return json.dumps(store.provenance())


@pytest.fixture
def provenance(written: str) -> dict[str, Any]:
    """The same, for a test to change."""
    found: dict[str, Any] = json.loads(written)
    return found


def words(line: str) -> list[str]:
    return shlex.split(line)


def test_one_line_names_local_files_by_their_names_and_every_choice(provenance: dict[str, Any]) -> None:
    (line,) = rebuild(provenance).lines

    assert words(line)[:3] == ["OMP_NUM_THREADS=2", "atlas", "build"]
    options = words(line)[3:]
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given == {
        "--checkpoint": "checkpoint",
        "--model": "tiny-synthetic",
        "--hook": "blocks.3.hook_resid_post",
        "--corpus": "synthetic",
        "--tokens": "2000000",
        "--seed": "0",
        "--device": "cpu",
    }


def test_files_that_must_be_at_hand_have_their_hashes(provenance: dict[str, Any]) -> None:
    files = {needed.path: needed.sha256 for needed in rebuild(provenance).files}

    assert files["checkpoint/sae_weights.safetensors"] == "4" * 64
    assert files["tiny-synthetic/model.safetensors"] == "8" * 64
    assert files["synthetic/words.txt"] == "a" * 64
    # What comes with Atlas comes with its version.
    assert not any("months" in path for path in files)


def test_what_is_on_the_hub_is_named_at_its_commit(provenance: dict[str, Any]) -> None:
    provenance["dictionary"] |= {"source": "someone/dictionaries/a@main", "revision": "c" * 40}
    provenance["model"] |= {"id": "gpt2", "revision_or_sha256": "d" * 40}
    provenance["corpora"] = [{"name": "someone/text:train", "revision": "e" * 40}]

    made = rebuild(provenance)

    assert f"--checkpoint someone/dictionaries/a@{'c' * 40} --model gpt2" in made.lines[0]
    assert f"--corpus someone/text:train@{'e' * 40} " in made.lines[0]
    assert made.files == () and f"gpt2@{'d' * 40}" in made.hub


def test_stages_that_no_one_build_gives_are_lines_of_their_own(provenance: dict[str, Any]) -> None:
    provenance["settings"]["probe"]["seed"] = 7

    lines = rebuild(provenance, Baked(title="A title")).lines

    assert [words(line)[2] for line in lines] == ["harvest", "probe", "geometry", "evaluate", "assemble", "bake"]
    assert "--seed 7" in lines[1] and "--seed 0" in lines[0] and lines[-1].endswith("--title 'A title'")


def test_an_atlas_that_does_not_say_what_was_asked_for_has_no_line(provenance: dict[str, Any]) -> None:
    del provenance["asked"]

    assert rebuild(provenance).lines == ()


@pytest.mark.parametrize(
    "name", ["a b.txt", "$(touch ran)", "`touch ran`", "it's", "two\nlines", "\x1b[31mred", "a\\nb'", "\u202etxt", "ñ"]
)
def test_a_pasted_line_says_a_name_and_does_nothing_else(name: str) -> None:
    said = quoted(name)

    assert said.isprintable()
    printed = subprocess.run(
        ["bash", "-c", f"printf %s {said}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert printed.stdout.decode() == name and printed.stderr == b""


def test_the_site_is_baked_as_it_was(provenance: dict[str, Any]) -> None:
    (line,) = rebuild(provenance, Baked("A title", "about.md", "mine", True)).lines

    assert line.endswith("--title 'A title' --about about.md --templates mine --with-data")


def test_a_small_build_evaluates_on_a_fifth_of_what_it_harvests() -> None:
    assert [evaluated_tokens(limit) for limit in (1, 1_000, 2_000_000)] == [1, 200, 250_000]
