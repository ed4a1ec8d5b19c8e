"""Checkpoints keep their bits, follow the published layout, and say by name what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from atlas.dictionary import Checkpoint, save
from atlas.errors import CheckpointError

METADATA = {"model_name": "tiny", "hook_name": "h.1", "context_size": 128, "nested": {"k": 3}}
N, E, D, M = 12, 4, 3, tiny.D_MODEL
"""Experts, units, code and input of the tiny dictionary."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good checkpoint."""
    return tiny.checkpoint(tmp_path / "checkpoint", METADATA)


def set_config(**changes: Any) -> Callable[[Path], None]:
    """A way to change keys of cfg.json; None takes a key away."""

    def spoil(folder: Path) -> None:
        path = folder / "cfg.json"
        stored = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))

    return spoil


def set_tensors(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    """A way to change tensors; None takes one away."""

    def spoil(folder: Path) -> None:
        path = folder / "sae_weights.safetensors"
        tensors = {**load_file(path), **changes}
        save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)

    return spoil


def cut_weights(folder: Path) -> None:
    path = folder / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_saved_dictionary_comes_back_with_the_same_bits(d_code: int, rescale: bool, tmp_path: Path) -> None:
    smixae = tiny.dictionary(d_code=d_code, rescale=rescale, threshold=0.625)
    save(smixae, tmp_path, METADATA)

    found = Checkpoint.load(tmp_path)

    for name, tensor in smixae.weights._asdict().items():
        assert torch.equal(getattr(found.smixae.weights, name), tensor), name
    assert found.smixae.config == smixae.config
    assert found.smixae.threshold == 0.625
    assert (found.metadata, found.architecture, found.path) == (METADATA, "smixae", tmp_path)


def test_weights_file_holds_exactly_the_eight_published_tensors(folder: Path) -> None:
    tensors = load_file(folder / "sae_weights.safetensors")

    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()} == {
        "W_enc": ((M, N * E), torch.float32),
        "b_enc": ((N * E,), torch.float32),
        "W_bottleneck": ((N, E, D), torch.float32),
        "W_latent_dec": ((N, D, E), torch.float32),
        "W_dec": ((N * E, M), torch.float32),
        "b_dec": ((M,), torch.float32),
        "threshold": ((), torch.float64),
        "n_passes_since_fired": ((N,), torch.int64),
    }


def test_configuration_holds_the_published_keys(folder: Path) -> None:
    assert json.loads((folder / "cfg.json").read_text()) == {
        "architecture": "smixae",
        "d_in": M,
        "d_sae": N * E,
        "n_experts": N,
        "d_expert": E,
        "d_bottleneck": D,
        "rescale_acts_by_decoder_norm": True,
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        "metadata": METADATA,
    }


def test_save_leaves_the_two_files_and_nothing_else(folder: Path) -> None:
    save(tiny.dictionary(seed=1), folder, {})

    assert sorted(path.name for path in folder.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    assert torch.equal(Checkpoint.load(folder).smixae.weights.W_dec, tiny.dictionary(seed=1).weights.W_dec)


@pytest.mark.parametrize(
    ("stored", "threshold"),
    [
        # 0.7 lies between two float32 numbers, and the gate compares float32 norms.
        pytest.param(torch.tensor(0.7, dtype=torch.float64), 0.699999988079071, id="float64, no axis"),
        pytest.param(torch.tensor([0.7], dtype=torch.float32), 0.699999988079071, id="float32, one element"),
        pytest.param(torch.tensor(0.7, dtype=torch.bfloat16), 0.69921875, id="bfloat16"),
    ],
)
def test_threshold_is_read_in_every_stored_form(stored: torch.Tensor, threshold: float, folder: Path) -> None:
    set_tensors(threshold=stored)(folder)

    assert Checkpoint.load(folder).smixae.threshold == threshold


@pytest.mark.parametrize("counter", [None, torch.zeros(N)], ids=["missing", "floating"])
def test_counter_of_passes_is_not_needed(counter: torch.Tensor | None, folder: Path) -> None:
    set_tensors(n_passes_since_fired=counter)(folder)

    assert torch.equal(Checkpoint.load(folder).smixae.weights.W_enc, tiny.dictionary().weights.W_enc)


def test_weights_stored_in_half_precision_are_read_as_float32(folder: Path) -> None:
    half = tiny.dictionary().weights.W_enc.bfloat16()
    set_tensors(W_enc=half)(folder)

    W_enc = Checkpoint.load(folder).smixae.weights.W_enc

    assert W_enc.dtype == torch.float32 and torch.equal(W_enc, half.float())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"architecture": "smixae_rebased"}, id="rebased architecture"),
        pytest.param({"device": "cuda", "unheard_of": [1]}, id="another device and an unknown key"),
        pytest.param({"metadata": None, "d_sae": None, "dtype": None}, id="no optional key"),
        pytest.param({"normalize_activations": None, "reshape_activations": None}, id="nothing said of scaling"),
    ],
)
def test_other_good_configurations_are_read(changes: dict[str, Any], folder: Path) -> None:
    set_config(**changes)(folder)

    assert Checkpoint.load(folder).smixae.n_experts == N


def test_hash_follows_the_weights_and_the_configuration(folder: Path) -> None:
    first, again = Checkpoint.load(folder).sha256, Checkpoint.load(folder).sha256
    set_config(device="cuda")(folder)
    reconfigured = Checkpoint.load(folder).sha256
    set_tensors(b_dec=torch.ones(M))(folder)
    reweighted = Checkpoint.load(folder).sha256

    assert first == again
    assert len({first, reconfigured, reweighted}) == 3


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No checkpoint folder at '.*nowhere'\. Give a folder with cfg\.json and sae_"):
        Checkpoint.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_missing_file_is_refused_by_name(name: str, folder: Path) -> None:
    (folder / name).unlink()

    with pytest.raises(CheckpointError, match=f"'.*checkpoint' has no {name}"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(write("cfg.json", b'{"architecture": '), r"cfg\.json' is not JSON: Expecting value", id="not JSON"),
        pytest.param(write("cfg.json", b"\xff\xfe{}"), r"cfg\.json' is not JSON: 'utf-8' codec", id="not text"),
        pytest.param(write("cfg.json", b"[1]"), r"cfg\.json' holds a list; a JSON object is needed", id="a list"),
        pytest.param(
            set_config(architecture="topk"), "holds the architecture 'topk'; Atlas maps smixae", id="other architecture"
        ),
        pytest.param(set_config(architecture=None), "holds the architecture None; Atlas maps smixae", id="no architecture"),
        pytest.param(
            set_config(d_expert=None),
            r"cfg\.json in '.*' needs a whole number of at least 1 for d_expert = None",
            id="missing key",
        ),
        pytest.param(
            set_config(d_in=None, d_bottleneck="3"),
            "needs a whole number of at least 1 for d_in = None, d_bottleneck = '3'",
            id="missing and not a number",
        ),
        pytest.param(set_config(n_experts=0), "needs a whole number of at least 1 for n_experts = 0", id="no experts"),
        pytest.param(set_config(metadata=["x"]), r"metadata in cfg\.json of '.*' is a list", id="metadata no object"),
        pytest.param(set_config(metadata={"context_size": "abc"}), "has context_size = 'abc'; int is needed", id="odd metadata"),
        pytest.param(set_config(apply_b_dec_to_input=True), "subtracts b_dec from its input", id="b_dec subtracted"),
        pytest.param(set_config(d_sae=99), r"has d_sae 99, but n_experts · d_expert is 12 · 4 = 48", id="d_sae mismatch"),
        pytest.param(
            set_config(normalize_activations="expected_average_only_in"),
            "expects activations normalised by 'expected_average_only_in'; only folded checkpoints",
            id="not folded",
        ),
        pytest.param(set_config(reshape_activations="hook_z"), r"reshapes activations \('hook_z'\)", id="reshaped"),
        pytest.param(
            set_tensors(W_latent_dec=None), r"sae_weights\.safetensors' has no tensor W_latent_dec", id="missing tensor"
        ),
        pytest.param(set_tensors(b_enc=torch.zeros(47)), r"b_enc in '.*' has the shape \(47,\); .* \(48,\)", id="wrong shape"),
        pytest.param(
            set_tensors(W_bottleneck=torch.zeros(N, D, E)),
            r"W_bottleneck in '.*' has the shape \(12, 3, 4\); cfg\.json says \(12, 4, 3\)",
            id="axes swapped",
        ),
        pytest.param(
            set_tensors(b_dec=torch.full((M,), torch.inf)), "b_dec in '.*' holds values that are not finite", id="infinite"
        ),
        pytest.param(set_tensors(W_dec=torch.full((N * E, M), torch.nan)), "W_dec in '.*' holds values that are not", id="NaN"),
        pytest.param(set_tensors(threshold=torch.tensor(torch.nan)), "threshold in '.*' .* not finite", id="NaN threshold"),
        pytest.param(set_tensors(threshold=None), "needs a tensor threshold with one element; it has none", id="no threshold"),
        pytest.param(
            set_tensors(threshold=torch.ones(N)), r"threshold with one element; it has one of shape \(12,\)", id="many thresholds"
        ),
        pytest.param(cut_weights, r"sae_weights\.safetensors' is not a whole safetensors file", id="truncated weights"),
        pytest.param(
            write("sae_weights.safetensors", b"PK\x03\x04 torch.save"), "is not a whole safetensors file", id="a pickle"
        ),
    ],
)
def test_bad_checkpoint_is_refused_by_name(spoil: Callable[[Path], None], message: str, folder: Path) -> None:
    spoil(folder)

    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(folder)
