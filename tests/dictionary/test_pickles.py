"""A pickle is refused by name in every disguise and never read; so is a file of tensors that does not hold what it says."""

from __future__ import annotations

import io
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from atlas.activations.corpus import load_corpus
from atlas.activations.pretrained import find
from atlas.checkpoints import PICKLES, is_pickled
from atlas.dictionary import Checkpoint
from atlas.errors import AtlasError, CheckpointError, ModelError, TaskError
from atlas.inspection import inspect
from atlas.probe.tasks.source import read_source


class Canary:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "has run"


@pytest.fixture(params=["protocol 0", "protocol 2", "protocol 5", "torch", "torch of old", "object array", "npz"])
def pickled(request: pytest.FixtureRequest, canary: Path) -> bytes:
    """A pickle that would make a file."""
    evil, buffer = Canary(canary), io.BytesIO()
    kind: str = request.param
    if kind.startswith("protocol"):
        pickle.dump(evil, buffer, int(kind[-1]))
    elif kind.startswith("torch"):
        torch.save(evil, buffer, _use_new_zipfile_serialization=kind == "torch")
    else:
        array = np.array([[evil]], dtype=object)
        (np.save if kind == "object array" else np.savez)(buffer, array, allow_pickle=True)  # type: ignore[operator]
    return buffer.getvalue()


def refused(kind: type[AtlasError], read: Any, *given: Any) -> str:
    """The one line that something is refused with."""
    with pytest.raises(kind) as caught:
        read(*given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def task(folder: Path, name: str, content: bytes) -> str:
    """A task whose rows are the matrix in a file."""
    (folder / "rows.csv").write_text("text,label\na,b\n")
    (folder / "task.toml").write_text(f'matrix = "{name}"\nmetadata = "rows.csv"\n')
    (folder / name).write_bytes(content)
    return str(folder / "task.toml")


def test_the_canary_runs_where_a_pickle_is_read(canary: Path) -> None:
    pickle.loads(pickle.dumps(Canary(canary))).close()

    assert canary.exists()


@pytest.mark.parametrize("read", [Checkpoint.load, inspect], ids=["load", "inspect"])
def test_a_checkpoint_is_no_pickle(read: Any, pickled: bytes, canary: Path, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    (folder / "sae_weights.safetensors").write_bytes(pickled)

    said = refused(CheckpointError, read, folder)

    assert str(folder / "sae_weights.safetensors") in said and not canary.exists()
    if is_pickled(folder / "sae_weights.safetensors"):
        assert "is a pickle, which runs code when it is read; Atlas never unpickles" in said


@pytest.mark.parametrize("ending", PICKLES)
def test_weights_that_are_called_a_pickle_are_not_read(ending: str, pickled: bytes, canary: Path, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    (folder / "sae_weights.safetensors").unlink()
    (folder / f"sae_weights{ending}").write_bytes(pickled)

    assert f"sae_weights{ending}' is a pickle" in refused(CheckpointError, Checkpoint.load, folder)
    assert f"sae_weights{ending}' is a pickle" in refused(CheckpointError, Checkpoint.load, folder / f"sae_weights{ending}")
    assert not canary.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_models_weights_are_no_pickle(name: str, pickled: bytes, canary: Path, models: dict[str, Path], tmp_path: Path) -> None:
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((models["gpt2"] / file).read_bytes())
    (tmp_path / name).write_bytes(pickled)

    if is_pickled(tmp_path / name) or name.endswith(".bin"):
        assert "pickle" in refused(ModelError, find, str(tmp_path))
    assert not canary.exists()


@pytest.mark.parametrize("name", ["rows.npy", "rows.safetensors", "rows.pkl"])
def test_a_tasks_matrix_is_no_pickle(name: str, pickled: bytes, canary: Path, tmp_path: Path) -> None:
    assert name in refused(TaskError, read_source, task(tmp_path, name, pickled))
    assert not canary.exists()


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".txt.gz"])
def test_texts_and_tables_are_no_pickles(ending: str, pickled: bytes, canary: Path, tmp_path: Path) -> None:
    path = tmp_path / f"texts{ending}"
    path.write_bytes(pickled)

    refused(AtlasError, lambda: list(load_corpus(str(path)).read()))
    refused(TaskError, read_source, str(path))
    assert not canary.exists()


def tensors(header: Any, content: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def tensor(shape: list[int], end: int, dtype: str = "F32", begin: int = 0) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


NO_TENSORS = {
    "nothing": b"",
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header that is not there": struct.pack("<Q", 2**20) + b"{}",
    "no JSON": tensors(b"{nope}"),
    "a deep header": tensors(b"{" + b'"a":{' * 50_000),
    "tensors over each other": tensors({"W_enc": tensor([2], 8), "b_enc": tensor([2], 12, begin=4)}, bytes(12)),
    "a hole": tensors({"W_enc": tensor([2], 12, begin=4)}, bytes(12)),
    "a negative shape": tensors({"W_enc": tensor([-2], 8)}, bytes(8)),
    "2^60 numbers": tensors({"W_enc": tensor([2**60], 2**62)}, bytes(8)),
    "more numbers than can be counted": tensors({"W_enc": tensor([2**60, 2**60], 8)}, bytes(8)),
    "none of too many": tensors({"W_enc": tensor([0, 2**62], 0)}),
    "no dimension": tensors({"W_enc": tensor([], 4)}, bytes(4)),
    "a kind that is none": tensors({"W_enc": tensor([1], 4, "F4096")}, bytes(4)),
    "numbers of four bits": tensors({"W_enc": tensor([2], 1, "F4")}, bytes(1)),
    "complex numbers": tensors({"W_enc": tensor([1, 1], 8, "C64")}, bytes(8)),
    "one name twice": tensors(
        b'{"W_enc":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"W_enc":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        bytes(8),
    ),
    "notes that are no text": tensors({"__metadata__": {"a": 5}, "W_enc": tensor([1], 4)}, bytes(4)),
    "not finite": tensors({"W_enc": tensor([1, 1], 4)}, struct.pack("<f", float("nan"))),
}
"""What a file of tensors may hold instead of tensors."""


@pytest.mark.parametrize("content", NO_TENSORS.values(), ids=NO_TENSORS)
def test_a_file_of_tensors_that_is_none_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    folder = tiny.checkpoint(tmp_path / "checkpoint", {})
    (folder / "sae_weights.safetensors").write_bytes(content)

    assert "sae_weights.safetensors" in refused(CheckpointError, Checkpoint.load, folder)
    assert "rows.safetensors" in refused(TaskError, read_source, task(tmp_path, "rows.safetensors", content))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    smixae = tiny.dictionary()
    smixae.weights.b_dec[3] = value
    tiny.save(smixae, tmp_path / "checkpoint", {})

    assert "b_dec in " in refused(CheckpointError, Checkpoint.load, tmp_path / "checkpoint")


def numpy_file(header: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def described(shape: str, kind: str = "'<f4'") -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        numpy_file(described(f"({2**60}, 2)")),
        numpy_file(described(f"({2**33}, 2)")),
        numpy_file(described("(-1, 2)"), bytes(8)),
        numpy_file(described("(1,)", "[('a', '<f4'), ('b', 'O')]"), bytes(16)),
        numpy_file(described("(1, 1)", "'zz'"), bytes(8)),
        numpy_file("__import__('os').system('true')\n"),
        numpy_file("(" * 5000),
        b"\x93NUMPY\x09\x00" + bytes(10),
    ],
    ids=range(9),
)
def test_an_array_that_is_none_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    assert "rows.npy" in refused(TaskError, read_source, task(tmp_path, "rows.npy", content))


def test_a_header_as_long_as_a_pickle_begins_is_no_pickle(tmp_path: Path) -> None:
    header = {"W_enc": tensor([1], 4)}
    length = 0x0280  # as the two first bytes of a pickle
    text = json.dumps(header).ljust(length).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", length) + text + bytes(4))

    assert not is_pickled(tmp_path / "x.safetensors")
