"""A checkpoint is found in local folders and on the hub, and where it is not, one line says where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import atlas
import tiny
from atlas.dictionary import Checkpoint, load
from atlas.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
REPO = "someone/dictionaries"
UNREACHED = "http://127.0.0.1:9"
"""Where no one listens."""


def refused(source: str | Path) -> str:
    """The one line that a source is refused with."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(source)
    said = str(caught.value)
    assert "\n" not in said
    return said


def is_seed(seed: int, found: Checkpoint) -> bool:
    """Whether a checkpoint holds the random dictionary of a seed."""
    return torch.equal(found.smixae.weights.W_enc, tiny.dictionary(seed=seed).weights.W_enc)


# Local folders


def test_training_run_stands_for_its_model(tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path / "run" / "model", {})
    (tmp_path / "run" / "config.yaml").touch()

    found = Checkpoint.load(str(tmp_path / "run"))

    assert found.path == tmp_path / "run" / "model"
    assert (found.source, found.revision) == (str(tmp_path / "run"), None)
    assert torch.equal(load(tmp_path / "run").weights.W_enc, found.smixae.weights.W_enc)


def test_folder_that_holds_a_checkpoint_comes_before_its_model(tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path, {}, seed=1)
    tiny.checkpoint(tmp_path / "model", {}, seed=2)

    assert is_seed(1, Checkpoint.load(tmp_path))


def test_checkpoints_of_a_training_under_way_are_named_in_its_order(tmp_path: Path) -> None:
    for samples in ("20480000", "final_40960000", "4096000"):
        tiny.checkpoint(tmp_path / "run" / samples, {})

    said = refused(tmp_path / "run")

    assert "'{}' has no cfg.json. It holds 3 checkpoints: 4096000, 20480000, final_40960000.".format(tmp_path / "run") in said
    assert said.endswith(f"Name one of them, such as '{tmp_path / 'run' / 'final_40960000'}'.")
    assert "3 checkpoints: run/4096000, run/20480000" in refused(tmp_path), "nor is the folder of all runs one"


def test_one_checkpoint_further_in_is_suggested(tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path / "train" / "checkpoint", {})

    assert f"There is a checkpoint in '{tmp_path / 'train' / 'checkpoint'}': name that." in refused(tmp_path)


def test_half_written_checkpoints_are_not_suggested(tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path / ".step-00000010.123.part", {})

    assert refused(tmp_path).endswith("has no cfg.json. A checkpoint is a folder with cfg.json and sae_weights.safetensors.")


def test_file_of_a_checkpoint_is_not_its_folder(tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})

    assert "cfg.json' is a file. Give the folder that holds cfg.json and" in refused(folder / "cfg.json")


@pytest.mark.parametrize("name", ["sae.pt", "sae.pth", "pytorch_model.bin", "last.ckpt", "weights.pkl"])
def test_pickles_are_refused_unread(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")

    assert f"{name}' is a pickle, which runs code when it is read; Atlas never unpickles" in refused(str(tmp_path / name))


@pytest.mark.parametrize(
    "source", ["", "nowhere", "/no/where", "./nowhere/at/all", "a b/c", "../no/where", "~/x", "someone/sae.pt"]
)
def test_what_can_be_no_repository_is_a_missing_folder(source: str) -> None:
    assert f"No checkpoint folder at '{source}'. Give a folder with cfg.json and sae_weights.safetensors, or" in refused(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    folder.chmod(0)

    try:
        assert "cannot be read: Permission denied" in refused(folder)
    finally:
        folder.chmod(0o755)


# The hub's cache, without a network


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a repository with a dictionary of seed 1 in `a`, one of seed 2 in `b/model`, and another commit of `a`."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    store = folder / f"models--{REPO.replace('/', '--')}"
    tiny.checkpoint(store / "snapshots" / COMMIT / "a", {}, seed=1)
    tiny.checkpoint(store / "snapshots" / COMMIT / "b" / "model", {}, seed=2)
    tiny.checkpoint(store / "snapshots" / OTHER_COMMIT / "a", {}, seed=3)
    for name, commit in (("main", COMMIT), ("v2", OTHER_COMMIT)):
        ref = store / "refs" / name
        ref.parent.mkdir(exist_ok=True)
        ref.write_text(commit)
    return store


@pytest.mark.parametrize(
    ("inside", "seed", "revision"),
    [
        ("/a", 1, COMMIT),
        ("/a/", 1, COMMIT),
        ("/b", 2, COMMIT),
        ("/b/model", 2, COMMIT),
        ("/a@main", 1, COMMIT),
        ("/a@v2", 3, OTHER_COMMIT),
        (f"/a@{OTHER_COMMIT}", 3, OTHER_COMMIT),
    ],
)
def test_cached_repository_is_read_offline(inside: str, seed: int, revision: str, cache: Path) -> None:
    found = Checkpoint.load(REPO + inside)

    assert is_seed(seed, found)
    assert (found.source, found.revision) == (REPO + inside, revision)
    assert found.path.is_relative_to(cache / "snapshots" / revision)


def test_repository_that_is_a_checkpoint_itself_needs_no_subfolder(cache: Path) -> None:
    shutil.copytree(cache / "snapshots" / COMMIT / "a", cache / "snapshots" / COMMIT, dirs_exist_ok=True)

    assert is_seed(1, Checkpoint.load(REPO))


def test_local_folder_of_the_same_name_comes_first(cache: Path, tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path / REPO / "a", {}, seed=9)

    found = Checkpoint.load(f"{REPO}/a")

    assert is_seed(9, found)
    assert found.revision is None


def test_path_is_local_whatever_its_name(cache: Path) -> None:
    assert f"No checkpoint folder at '{REPO}/a'" in refused(Path(REPO) / "a")


@pytest.mark.parametrize("inside", ["", "/c", "/a/deeper"])
def test_missing_subfolder_names_those_there_are(inside: str, cache: Path) -> None:
    where = f" in '{inside.strip('/')}'" if inside else ""

    assert refused(REPO + inside) == (f"'{REPO}' has no cfg.json{where}. Its cache has 2 elsewhere: {REPO}/a, {REPO}/b/model.")


def test_half_cached_checkpoint_is_refused_by_the_missing_file(cache: Path) -> None:
    (cache / "snapshots" / COMMIT / "a" / "sae_weights.safetensors").unlink()

    assert "/a' has no sae_weights.safetensors" in refused(f"{REPO}/a")


@pytest.mark.parametrize("source", ["someone/else", "someone/else/a@v1", f"{REPO}/a@v3", f"{REPO}/a@{'0' * 40}"])
def test_what_is_not_cached_is_refused_offline(source: str, cache: Path) -> None:
    said = refused(source)

    assert said.startswith(f"There is no folder '{source}', '{'/'.join(source.partition('@')[0].split('/')[:2])}'")
    assert "is not in the hub's cache, and HF_HUB_OFFLINE is set. Name a local folder, or fetch it where there" in said


def test_name_that_the_hub_cannot_have_is_refused(cache: Path) -> None:
    assert "'some--one/x' cannot be fetched from the hub: HFValidationError: " in refused("some--one/x")


# The hub itself, which is a small server of our own here


class Hub(BaseHTTPRequestHandler):
    """Answers what the hub's library asks of a repository whose files lie in `root`; it has no other, and one revision."""

    root: Path
    served: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Be silent."""

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        api, resolve = f"/api/models/{REPO}", f"/{REPO}/resolve/{COMMIT}/"
        files = {file.relative_to(self.root).as_posix(): file for file in self.root.rglob("*") if file.is_file()}
        if path.startswith(f"{api}/tree/{COMMIT}"):
            self._json([{"type": "file", "path": n, "size": f.stat().st_size, "oid": "0" * 40} for n, f in files.items()], body)
        elif path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            self._json({"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}, body)
        elif path.startswith(f"{api}/revision/"):
            self._send(404, b"", body, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/"):
            self._send(404, b"", body, {"X-Error-Code": "GatedRepo" if "gated" in path else "RepoNotFound"})
        elif path.startswith(resolve):
            name = path.removeprefix(resolve)
            self.served += [name] if body else []
            self._send(200, files[name].read_bytes(), body, {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'})
        else:
            self._send(404, b"", body, {"X-Error-Code": "EntryNotFound"})

    def _json(self, value: Any, body: bool) -> None:
        self._send(200, json.dumps(value).encode(), body, {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, type[Hub]]]:
    """The address of a hub with one repository, and what answers there."""
    root = tmp_path_factory.mktemp("repository")
    tiny.checkpoint(root / "a", {}, seed=4)
    (root / "a" / "activation_scaler.json").write_text('{"scaling_factor": null}')
    for name in ("trainer_state.pt", "runner_cfg.json", "sparsity.safetensors"):
        (root / "a" / name).write_text("not asked for")

    class Here(Hub):
        pass

    Here.root, Here.served = root, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", Here
        server.shutdown()


def asked(sources: list[str], endpoint: str, home: Path) -> list[str]:
    """What a process of its own, which may use the network, says of sources: a folder, or why there is none."""
    command = (
        "import sys\n"
        "from atlas.checkpoints import find\n"
        "from atlas.errors import CheckpointError\n"
        "for source in sys.argv[1:]:\n"
        "    try:\n"
        "        print(find(source).folder)\n"
        "    except CheckpointError as error:\n"
        "        print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    about = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": str(Path(atlas.__file__).parents[1])}
    without = ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    env = {**{name: value for name, value in os.environ.items() if name.upper() not in without}, **about}
    run = subprocess.run([sys.executable, "-c", command, *sources], capture_output=True, text=True, env=env, cwd=home)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_repository_is_fetched_once_and_only_what_is_read_of_it(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    endpoint, answers = hub

    first, again = asked([f"{REPO}/a", f"{REPO}/a@{COMMIT}"], endpoint, tmp_path)
    unreached, unknown = asked([f"{REPO}/a", "someone/else"], UNREACHED, tmp_path)

    assert sorted(answers.served) == ["a/activation_scaler.json", "a/cfg.json", "a/runner_cfg.json", "a/sae_weights.safetensors"]
    assert first == again == unreached
    assert Path(first).parts[-2:] == (COMMIT, "a")
    assert is_seed(4, Checkpoint.load(Path(first)))
    assert unknown == (
        "There is no folder 'someone/else', 'someone/else' is not in the hub's cache, and the hub cannot be reached. "
        "Name a local folder, or fetch it where there is a network."
    )


def test_what_the_hub_has_not_is_refused_in_one_line(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    sources = [f"{REPO}/b", f"{REPO}/a@v7", "someone/else", "someone/gated"]

    assert asked(sources, hub[0], tmp_path) == [
        f"'{REPO}' has no cfg.json in 'b'. It has one elsewhere: {REPO}/a.",
        f"The repository '{REPO}' has no revision 'v7'. Name a branch, a tag or a commit.",
        "There is no folder 'someone/else', and no repository 'someone/else' on the hub, or a private one. "
        "Mend the name, or `hf auth login`.",
        "The repository 'someone/gated' is gated: ask for access on the hub, then `hf auth login`.",
    ]
