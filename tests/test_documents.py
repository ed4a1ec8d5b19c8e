"""What the documents say is held to what the program does: every command of the README is run as it stands."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import tiny
from atlas.bake import bake
from pipelines.cli import COMMANDS
from synthetic import write_synthetic

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
OPTIONS = [
    pytest.param(parameter, id=f"{name} {parameter.opts[0]}")
    for name in COMMANDS
    for parameter in importlib.import_module(f"pipelines.{name}").command.params
    if isinstance(parameter, click.Option)
]


def commands() -> Iterator[str]:
    """Yield every line of the README's shell blocks, without its comment."""
    for block in re.findall(r"^```sh\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if command := line.partition(" #")[0].strip():
                yield command


ATLAS = [command for command in commands() if command.startswith(".venv/bin/atlas ")]
SERVE = [command for command in ATLAS if command.split()[1] == "serve"]
OTHERS = [command for command in commands() if command not in ATLAS]


@pytest.fixture(scope="module")
def checkout(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README finds it after `make atlas`, with small things in the places of large ones."""
    root = tmp_path_factory.mktemp("checkout")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "atlas").symlink_to(Path(sys.executable).parent / "atlas")
    bake(write_synthetic(root / "work" / "atlas.duckdb"), root / "site")
    metadata = {"model_name": str(models["gpt2"]), "hook_name": tiny.HOOKS["gpt2"], "context_size": 48}
    # Rows of this model are two hundredths long, so that little passes a threshold of more.
    for folder in ("path/to/checkpoint", "work/train/checkpoint"):
        tiny.checkpoint(root / folder, metadata, threshold=0.02, n_experts=4)
    text = "\n".join(json.dumps({"text": text}) for text in tiny.documents())
    (root / "text.jsonl").write_text(text, encoding="utf-8")
    feelings = ("joy", "fear", "anger", "calm")
    rows = [f"The atlas gives {feeling} in ring {i}.,{feeling}" for i in range(12) for feeling in feelings]
    (root / "feelings.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return root


def test_readme_has_the_two_commands_and_three_more() -> None:
    assert OTHERS[:2] == ["make atlas", "make test"]
    assert len(ATLAS) >= 3 and len(SERVE) == 1


@pytest.mark.browser
@pytest.mark.parametrize("command", [command for command in ATLAS if command not in SERVE])
def test_command_of_the_readme_runs_as_it_stands(command: str, checkout: Path) -> None:
    done = subprocess.run(shlex.split(command), cwd=checkout, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", SERVE)
def test_readme_serves_the_site(command: str, checkout: Path) -> None:
    with subprocess.Popen(
        [*shlex.split(command), "--port", "0"],
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert b"<!doctype html>" in answer.read()
        finally:
            server.terminate()


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_of_the_readme_are_targets_of_make(command: str) -> None:
    program, *targets = [word for word in shlex.split(command) if "=" not in word]

    assert program == "make"
    made = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def test_commands_are_documented_as_they_are() -> None:
    """Run tools/commands.py again where this fails."""
    made = subprocess.run([sys.executable, "tools/commands.py"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert made.stdout == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", OPTIONS)
def test_option_says_what_it_does_and_what_it_is_by_default(option: click.Option) -> None:
    assert option.help and option.help.endswith((".", "]", ")"))
    assert option.is_flag or option.required or option.show_default or "[default: " in option.help


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = re.findall(r"\]\(([^)#\s]+)|(?:src|srcset|href)=\"([^\"#]+)\"", text)
    local = [address for pair in named for address in pair if address and "://" not in address]

    assert [address for address in local if not (document.parent / address).exists()] == []


def test_citation_names_the_version_that_is_built() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1] == version  # type: ignore[index]
