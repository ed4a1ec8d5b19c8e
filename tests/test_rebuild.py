"""The lines that build an atlas again, from its provenance alone."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import click
import pytest

from atlas.rebuild import BUILD_OPTIONS, STAGE_OPTIONS, TRAIN_OPTIONS, Baked, Needed, evaluated_tokens, quoted, rebuild
from atlas.store import Store
from pipelines import build, evaluate, geometry, harvest, probe, train
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


COMMANDS = {
    "train": train.command,
    "harvest": harvest.command,
    "probe": probe.command,
    "geometry": geometry.command,
    "evaluate": evaluate.command,
}
WITHOUT_TRACE = {"--work", "--device-map", "--preview", "--shard", "--workers", "--json", "--save-every", "--wandb"}
"""Options that change nothing that is recorded; --preview is a number of tokens."""


def unusual(provenance: dict[str, Any]) -> dict[str, Any]:
    """Give a provenance in which nothing is as it is by default."""
    for device in provenance["devices"].values():
        device["dtype"] = "bfloat16"
    provenance["model"]["own_code_sha256"] = "0" * 64
    provenance["settings"]["probe"]["protocol"] = "reference"
    provenance["asked"] = {"tasks": ["months"], "own": ["moods.csv"], "files": {"moods.csv": "f" * 64}}
    provenance["training"] |= {
        "log_every": 3,
        "inputs": {
            "corpus": {"name": "synthetic", "sha256": "2" * 64},
            "model": provenance["model"],
            "device": provenance["devices"]["harvest"],
            "settings": {
                "training": {"start": "reference"} | dict.fromkeys(TRAIN_OPTIONS.values(), 7),
                "stream": {"window_tokens": 24},
                **{"buffer_rows": 256, "carrier_share": 0.05},
            },
        },
    }
    return provenance


def options(command: click.Command) -> set[str]:
    return {option for one in command.params if isinstance(one, click.Option) for option in one.opts}


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


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_option_that_leaves_a_trace_is_in_the_lines(stage: str, provenance: dict[str, Any]) -> None:
    lines = {words(line)[2]: words(line) for line in rebuild(unusual(provenance)).lines}
    assert "build" in lines
    provenance["settings"]["evaluate"]["ce_tokens"] = 11
    lines |= {words(line)[2]: words(line) for line in rebuild(provenance).lines}

    assert {word for word in lines[stage] if word.startswith("--")} == options(COMMANDS[stage]) - WITHOUT_TRACE
    assert set(BUILD_OPTIONS) <= {word for word in lines["build"] if word.startswith("--")} <= options(build.command)


@pytest.mark.parametrize(("stage", "option"), [(stage, option) for stage, found in STAGE_OPTIONS.items() for option in found])
def test_what_one_build_does_not_give_a_stage_is_in_its_own_line(stage: str, option: str, provenance: dict[str, Any]) -> None:
    *way, last = STAGE_OPTIONS[stage][option].split(".")
    place = provenance
    for key in way:
        place = place[key]
    place[last] = "reference" if option == "--protocol" else 1234

    lines = {words(line)[2]: " ".join(words(line)) for line in rebuild(provenance).lines}

    # A build passes the protocol on to the only stage that has one.
    assert f"{option} {place[last]} " in f"{lines['build' if option == '--protocol' else stage]} "


def test_an_evaluation_of_another_commit_has_a_line_of_its_own(provenance: dict[str, Any]) -> None:
    provenance["corpora"] = [{"name": "someone/text:train", "revision": "e" * 40}]
    provenance["evaluation"] = {"tokens": 10, "revision": "f" * 40}

    lines = {words(line)[2]: line for line in rebuild(provenance).lines}

    assert f"--corpus someone/text:train@{'e' * 40} " in lines["harvest"]
    assert f"--corpus someone/text:train@{'f' * 40} " in lines["evaluate"]


def test_a_task_that_could_not_be_used_is_in_the_line_and_in_the_list(provenance: dict[str, Any]) -> None:
    made = rebuild(unusual(provenance))

    assert any("--task moods.csv " in line for line in made.lines)
    assert Needed("task", "moods.csv", "f" * 64) in made.files


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
