"""Checkpoints keep their bits, follow the published layout, and say by name what is wrong with them."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.dictionary.normalisation import Normalisation
from atlas.errors import CheckpointError, StorageError

METADATA = {"sae_lens_version": "6.30.1", "model_name": "tiny", "hook_name": "h.1", "context_size": 128, "nested": {"k": 3}}
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


def set_scaler(content: str, normalisation: str = "expected_average_only_in") -> Callable[[Path], None]:
    """A way to make a checkpoint unfolded, with `content` where the factor should be."""

    def spoil(folder: Path) -> None:
        set_config(normalize_activations=normalisation)(folder)
        (folder / "activation_scaler.json").write_text(content)

    return spoil


def take_weights(name: str) -> Callable[[Path], None]:
    """A way to have the weights under another name only."""
    return lambda folder: (folder / "sae_weights.safetensors").rename(folder / name) and None


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
    assert (found.source, found.revision) == (str(tmp_path), None)


def test_saved_metadata_names_the_layout_unless_it_does_so_itself(tmp_path: Path) -> None:
    save(tiny.dictionary(), tmp_path, {"hook_name": "h.1"})

    assert Checkpoint.load(tmp_path).metadata == {"sae_lens_version": "6.39.0", "hook_name": "h.1"}


@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_dictionary_of_rows_normalised_one_by_one_comes_back_so(kind: Any, tmp_path: Path) -> None:
    usual = tiny.dictionary()
    save(Smixae(usual.config, usual.weights, usual.threshold, Normalisation(kind)), tmp_path, {})

    found = Checkpoint.load(tmp_path).smixae

    assert found.normalisation == Normalisation(kind)
    assert json.loads((tmp_path / "cfg.json").read_text())["normalize_activations"] == kind
    assert torch.equal(found.weights.W_dec, usual.weights.W_dec)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("factor", [0.25, 7])
def test_unfolded_checkpoint_reads_raw_rows_and_is_saved_folded(factor: float, rescale: bool, tmp_path: Path) -> None:
    plain = tiny.dictionary(rescale=rescale)
    folder = tiny.checkpoint(tmp_path / "unfolded", METADATA, rescale=rescale)
    set_scaler(json.dumps({"scaling_factor": factor}))(folder)
    x = torch.randn(40, M, generator=torch.Generator().manual_seed(1)) / factor

    unfolded = Checkpoint.load(folder).smixae
    save(unfolded, tmp_path / "folded", METADATA)
    folded = Checkpoint.load(tmp_path / "folded").smixae

    # Its codes are those that the same weights give of the rows that they were trained on.
    assert torch.equal(unfolded.encode(x), plain.encode(x * factor)) and unfolded.encode(x).any()
    torch.testing.assert_close(unfolded.reconstruct(x), plain.reconstruct(x * factor) / factor)
    assert json.loads((tmp_path / "folded" / "cfg.json").read_text())["normalize_activations"] == "none"
    assert torch.equal(folded.encode(x).any(dim=2), unfolded.encode(x).any(dim=2))
    torch.testing.assert_close(folded.reconstruct(x), unfolded.reconstruct(x), rtol=1e-5, atol=1e-5 / factor)


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


@pytest.mark.parametrize("room", [0, 2000], ids=["none", "for part of the weights"])
def test_full_disk_leaves_the_checkpoint_that_was_there(room: int, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    # A limit on the size of files fails as a full disk does, in the midst of writing.
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(StorageError, match="checkpoint' cannot be written: .*File too large"):
            save(tiny.dictionary(seed=1), folder, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_checkpoint_is_whole_before_it_takes_the_place_of_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)  # the configuration, after the weights
    with pytest.raises(StorageError, match="checkpoint' cannot be written: No space left on device"):
        save(tiny.dictionary(seed=1), folder, {})

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("stored", "threshold"),
    [
        # 0.7 lies between two float32 numbers, and the gate compares float32 norms.
        pytest.param(torch.tensor(0.7, dtype=torch.float64), 0.699999988079071, id="float64, no axis"),
        pytest.param(torch.tensor([0.7], dtype=torch.float32), 0.699999988079071, id="float32, one element"),
        pytest.param(torch.tensor(0.7, dtype=torch.bfloat16), 0.69921875, id="bfloat16"),
        pytest.param(torch.tensor([[0.7]], dtype=torch.float16), 0.7001953125, id="float16, one element of two axes"),
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
        pytest.param({"k_experts": 64, "threshold_lr": 0.1, "aux_loss_coefficient": 9e-6}, id="of a training checkpoint"),
        pytest.param({"rescale_acts_by_decoder_norm": None}, id="nothing said of the rescale"),
        pytest.param({"metadata": None, "d_sae": None, "dtype": None}, id="no optional key"),
        pytest.param({"normalize_activations": None, "reshape_activations": None}, id="nothing said of scaling"),
    ],
)
def test_other_good_configurations_are_read(changes: dict[str, Any], folder: Path) -> None:
    set_config(**changes)(folder)

    found = Checkpoint.load(folder).smixae
    assert found.n_experts == N
    assert found.config.rescale_by_decoder_norm


@pytest.mark.parametrize("stored", [torch.float64, torch.float16, torch.bfloat16])
def test_all_tensors_in_another_floating_type_are_read_as_float32(stored: torch.dtype, folder: Path) -> None:
    weights = {name: tensor.to(stored) for name, tensor in tiny.dictionary().weights._asdict().items()}
    set_tensors(**weights, threshold=torch.tensor(0.5, dtype=stored), n_passes_since_fired=torch.zeros(N).to(stored))(folder)

    found = Checkpoint.load(folder).smixae

    for name, tensor in found.weights._asdict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, weights[name].float()), name
    assert found.threshold == 0.5


def test_unknown_tensors_are_left_alone(folder: Path) -> None:
    set_tensors(feature_directions=torch.ones(3), counts=torch.arange(4))(folder)

    assert Checkpoint.load(folder).smixae.n_experts == N


def test_factor_beside_a_folded_checkpoint_is_not_applied(folder: Path) -> None:
    set_scaler('{"scaling_factor": 0.25}', "none")(folder)

    assert Checkpoint.load(folder).smixae.normalisation == Normalisation()


def test_hash_follows_the_factor_of_an_unfolded_checkpoint(folder: Path) -> None:
    hashes = set()
    for factor in (0.25, 0.5):
        set_scaler(json.dumps({"scaling_factor": factor}))(folder)
        hashes.add(Checkpoint.load(folder).sha256)

    assert len(hashes) == 2


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
            r"cfg\.json in '.*' needs a whole number from 1 to 2147483647 for d_expert = None",
            id="missing key",
        ),
        pytest.param(
            set_config(d_in=None, d_bottleneck="3"),
            "needs a whole number from 1 to 2147483647 for d_in = None, d_bottleneck = '3'",
            id="missing and not a number",
        ),
        pytest.param(
            set_config(n_experts=10**3999, d_expert=10**3999),
            r"for n_experts = 10{39}, d_expert = 10{39}\.",
            id="widths whose product cannot be printed",
        ),
        pytest.param(set_config(n_experts=0), "needs a whole number from 1 to 2147483647 for n_experts = 0", id="no experts"),
        pytest.param(set_config(metadata=["x"]), r"metadata in cfg\.json of '.*' is a list", id="metadata no object"),
        pytest.param(set_config(metadata={"context_size": "abc"}), "has context_size = 'abc'; int is needed", id="odd metadata"),
        pytest.param(set_config(apply_b_dec_to_input=True), "subtracts b_dec from its input", id="b_dec subtracted"),
        pytest.param(set_config(d_sae=99), r"has d_sae 99, but n_experts · d_expert is 12 · 4 = 48", id="d_sae mismatch"),
        pytest.param(
            set_config(normalize_activations="expected_average_only_in"),
            r"is not folded \('expected_average_only_in'\) and has no activation_scaler\.json with the factor of its rows",
            id="not folded, no factor",
        ),
        *(
            pytest.param(
                set_scaler(f'{{"scaling_factor": {value}}}'), f"has scaling_factor = {said}; a positive", id=f"factor {value}"
            )
            for value, said in [
                ("null", "None"),
                ("0", "0"),
                ("-0.5", "-0.5"),
                ("NaN", "nan"),
                ("Infinity", "inf"),
                ("true", "True"),
                ('"1"', "'1'"),
                ("[1]", r"\[1\]"),
            ]
        ),
        pytest.param(set_scaler("{}"), r"activation_scaler\.json' has scaling_factor = None", id="factor missing"),
        pytest.param(set_scaler("0.3"), r"activation_scaler\.json' holds a float; a JSON object is needed", id="bare factor"),
        pytest.param(set_scaler("{"), r"activation_scaler\.json' is not JSON", id="factor not JSON"),
        pytest.param(
            set_config(normalize_activations="constant_scalar_rescale"),
            "expects activations normalised by 'constant_scalar_rescale'; Atlas knows none, expected_average_only_in, layer_norm",
            id="unknown normalisation",
        ),
        pytest.param(
            set_config(rescale_acts_by_decoder_norm="false"),
            "needs true or false for rescale_acts_by_decoder_norm = 'false'",
            id="rescale no boolean",
        ),
        pytest.param(
            set_config(d_expert=True), "needs a whole number from 1 to 2147483647 for d_expert = True", id="a boolean width"
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
        pytest.param(
            set_tensors(W_enc=torch.ones(M, N * E, dtype=torch.int32)),
            "W_enc in '.*' holds int32 numbers; floating-point ones are needed",
            id="integers",
        ),
        pytest.param(
            set_tensors(b_enc=torch.ones(N * E, dtype=torch.complex64)), "b_enc in '.*' holds complex64 numbers", id="complex"
        ),
        pytest.param(
            set_tensors(b_enc=torch.full((N * E,), 1e300, dtype=torch.float64)),
            "b_enc in '.*' holds values that are not finite in float32",
            id="too large for float32",
        ),
        pytest.param(
            set_tensors(threshold=torch.tensor(1)), "threshold in '.*' holds int64 numbers; floating-point", id="whole threshold"
        ),
        pytest.param(
            set_tensors(threshold=torch.tensor(-0.5)),
            r"threshold in '.*' is -0\.5; a norm cannot be below 0",
            id="threshold below 0",
        ),
        pytest.param(set_tensors(threshold=torch.tensor(torch.nan)), "threshold in '.*' .* not finite", id="NaN threshold"),
        pytest.param(set_tensors(threshold=None), "needs a tensor threshold with one element; it has none", id="no threshold"),
        pytest.param(
            set_tensors(threshold=torch.ones(N)), r"threshold with one element; it has one of shape \(12,\)", id="many thresholds"
        ),
        *(
            pytest.param(
                take_weights(name), rf"{name}' is a pickle, .*; Atlas never unpickles\. Save the weights as sae_", id=name
            )
            for name in ("sae_weights.pt", "sae_weights.pth", "pytorch_model.bin")
        ),
        pytest.param(cut_weights, r"sae_weights\.safetensors' is not a whole safetensors file", id="truncated weights"),
        pytest.param(
            write("sae_weights.safetensors", b"PK\x03\x04 torch.save"), r"sae_weights\.safetensors' is a pickle", id="a pickle"
        ),
    ],
)
def test_bad_checkpoint_is_refused_by_name(spoil: Callable[[Path], None], message: str, folder: Path) -> None:
    spoil(folder)

    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(folder)


def test_saving_over_an_unfolded_checkpoint_takes_its_factor_away(folder: Path) -> None:
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.3}')

    save(Checkpoint.load(folder).smixae, folder, {})

    assert not (folder / "activation_scaler.json").exists()


def test_decoders_beyond_float32_are_refused(folder: Path) -> None:
    set_tensors(W_dec=Checkpoint.load(folder).smixae.weights.W_dec * 1e30)(folder)

    with pytest.raises(CheckpointError, match="has decoders beyond the range of float32; is its scale right"):
        Checkpoint.load(folder)
