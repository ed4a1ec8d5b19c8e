"""Each half of the library loads only what it needs, and arrows between its parts go one way."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import atlas

ROOT = Path(atlas.__file__).parents[1]
SOURCES = sorted(path.relative_to(ROOT) for path in (ROOT / "atlas").rglob("*.py"))
COMPUTE = [
    path for path in SOURCES if path.parts[1] in ("dictionary", "activations", "harvest", "probe", "geometry", "evaluation")
]
BESIDE_COMPUTE = [
    Path("atlas/checkpoints.py"),
    Path("atlas/errors.py"),
    Path("atlas/files.py"),
    Path("atlas/origins.py"),
    Path("atlas/sealed.py"),
    Path("atlas/stages.py"),
    Path("atlas/trace.py"),
    Path("atlas/train.py"),
]
"""Modules that a bare GPU machine runs too."""

BAKE_HALF = [path for path in SOURCES if path.parts[1] in ("store", "bake", "rebuild.py")]

OF_COMPUTE = {"torch", "transformers", "safetensors", "datasets"}
OF_BAKE = {"duckdb", "polars", "plotly", "jinja2", "click", "datasets", "transformers"}
OF_GEOMETRY = {"sklearn", "scipy", "gudhi", "threadpoolctl"}
"""Loaded only where shapes, neighbours and the map are found: importing the library loads none of them."""


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """The dotted names of all modules that the nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.update({node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names})
    return names


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def anywhere(source: str) -> set[str]:
    """Modules that a source imports, in functions too."""
    return imported(ast.walk(ast.parse(source)))


def at_module_level(source: str) -> set[str]:
    """Modules that are loaded with it: not those in functions, nor those for type checkers alone."""

    def reached(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child
            yield from reached(child)

    return imported(reached(ast.parse(source)))


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """For each module of either half, the heavy packages that are loaded after it, in a process for each half."""
    command = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"heavy = {sorted(OF_COMPUTE | OF_BAKE | OF_GEOMETRY)!r}\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    found[name] = [package for package in heavy if package in sys.modules]\n"
        "print(json.dumps(found))\n"
    )
    found = {}
    for half in (BAKE_HALF, COMPUTE + BESIDE_COMPUTE):
        names = list(map(module_name, half))
        run = subprocess.run(
            [sys.executable, "-c", command, *names],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        found.update(json.loads(run.stdout))
    return found


def test_parsing_finds_imports_wherever_they_stand() -> None:
    source = (
        "import a.b\nif TYPE_CHECKING:\n    import typed\nclass C:\n    from c import d\n"
        "def f():\n    import g\ntry:\n    import h\nexcept ImportError:\n    pass\n"
    )

    assert anywhere(source) == {"a.b", "typed", "c", "c.d", "g", "h"}
    assert at_module_level(source) == {"a.b", "c", "c.d", "h"}


def test_every_part_of_the_library_is_looked_at() -> None:
    parts = {path.parts[1] for path in SOURCES}

    assert {
        "dictionary",
        "activations",
        "harvest",
        "probe",
        "geometry",
        "store",
        "bake",
        "stages.py",
        "train.py",
        "evaluation",
    } <= parts
    assert len(COMPUTE) > 15 and len(BAKE_HALF) > 10


@pytest.mark.parametrize("path", BAKE_HALF, ids=str)
def test_store_and_bake_load_nothing_of_the_compute_half(path: Path, loaded: dict[str, list[str]]) -> None:
    assert (OF_COMPUTE | OF_GEOMETRY).intersection(loaded[module_name(path)]) == set()


@pytest.mark.parametrize("path", COMPUTE + BESIDE_COMPUTE, ids=str)
def test_compute_modules_load_nothing_of_the_bake_half(path: Path, loaded: dict[str, list[str]]) -> None:
    assert (OF_BAKE | OF_GEOMETRY).intersection(loaded[module_name(path)]) == set()


@pytest.mark.parametrize("path", COMPUTE + BESIDE_COMPUTE, ids=str)
def test_compute_modules_import_little_at_module_level(path: Path) -> None:
    allowed = {"torch", "numpy", "safetensors", "jaxtyping", "atlas"} | ({"filelock"} if path.name == "stages.py" else set())

    assert packages(at_module_level(read(path))) - set(sys.stdlib_module_names) - allowed == set()


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_library_knows_nothing_of_the_commands(path: Path) -> None:
    assert packages(anywhere(read(path))) & {"click", "pipelines"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_duckdb_jinja_plotly_and_what_finds_shapes_each_have_their_place(path: Path) -> None:
    places = {"store": {"duckdb"}, "bake": {"jinja2", "plotly"}, "geometry": OF_GEOMETRY}

    found = packages(anywhere(read(path))) & {"duckdb", "jinja2", "plotly", *OF_GEOMETRY}
    assert found <= places.get(path.parts[1], set())


@pytest.mark.parametrize("path", BAKE_HALF, ids=str)
def test_bake_half_imports_nothing_of_the_compute_half(path: Path) -> None:
    names = anywhere(read(path))

    parts = {name.split(".")[1] for name in names if name.startswith("atlas.")}
    assert (
        parts
        & {
            "dictionary",
            "activations",
            "harvest",
            "probe",
            "geometry",
            "sealed",
            "stages",
            "train",
            "evaluation",
            "assemble",
            "checkpoints",
        }
        == set()
    )


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parts[1] in ("dictionary", "activations")], ids=str)
def test_dictionary_and_activations_stand_at_the_beginning(path: Path) -> None:
    parts = {name.split(".")[1] for name in anywhere(read(path)) if name.startswith("atlas.")}

    assert parts <= {"dictionary", "activations", "checkpoints", "errors", "files", "origins", "sealed"}
