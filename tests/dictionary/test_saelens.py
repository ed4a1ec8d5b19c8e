"""Checkpoints travel between Atlas and the real SAELens, both ways, and give the same numbers in either.

SAELens is no dependency of Atlas: these tests run where it is installed. It has no SMIXAE of its own either, so one is
written here against its base classes.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    sae_lens = pytest.importorskip("sae_lens")

import tiny
from atlas.dictionary import Checkpoint, Smixae, load, save
from atlas.dictionary.checkpoint import save_unfolded
from atlas.dictionary.normalisation import Normalisation
from oracle import assert_close

pytestmark = pytest.mark.filterwarnings("ignore")

N, E, M = 12, 4, tiny.D_MODEL


@dataclass
class _InferenceConfig(sae_lens.SAEConfig):
    n_experts: int = 1024
    d_expert: int = 16
    d_bottleneck: int = 3
    rescale_acts_by_decoder_norm: bool = True
    apply_b_dec_to_input: bool = False

    @classmethod
    def architecture(cls) -> str:
        return "smixae"


@dataclass
class _TrainingConfig(sae_lens.TrainingSAEConfig):
    n_experts: int = 1024
    d_expert: int = 16
    d_bottleneck: int = 3
    rescale_acts_by_decoder_norm: bool = True
    apply_b_dec_to_input: bool = False
    k_experts: int = 8
    aux_loss_coefficient: float = 1 / 32
    threshold_lr: float = 0.1
    dead_after_n_passes: int = 1000

    @classmethod
    def architecture(cls) -> str:
        return "smixae"


class _Forward:
    """What SAELens asks of an architecture, for a SMIXAE at inference."""

    def initialize_weights(self: Any) -> None:
        super().initialize_weights()  # type: ignore[misc]
        cfg = self.cfg
        of = {"dtype": self.dtype, "device": self.device}
        self.b_enc = torch.nn.Parameter(torch.zeros(cfg.d_sae, **of))
        self.W_bottleneck = torch.nn.Parameter(torch.zeros(cfg.n_experts, cfg.d_expert, cfg.d_bottleneck, **of))
        self.W_latent_dec = torch.nn.Parameter(torch.zeros(cfg.n_experts, cfg.d_bottleneck, cfg.d_expert, **of))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64, device=self.device))
        self.register_buffer("n_passes_since_fired", torch.zeros(cfg.n_experts, dtype=torch.int64, device=self.device))

    def encode(self: Any, x: torch.Tensor) -> torch.Tensor:
        cfg = self.cfg
        hidden = torch.nn.functional.leaky_relu(self.process_sae_in(x) @ self.W_enc + self.b_enc, 1e-4)
        z = torch.einsum("bne,ned->bnd", hidden.reshape(-1, cfg.n_experts, cfg.d_expert), self.W_bottleneck)
        if cfg.rescale_acts_by_decoder_norm:
            z = z * self._maps().square().sum(dim=(1, 2)).sqrt()[:, None]
        return torch.where(z.norm(dim=-1, keepdim=True) > self.threshold, z, torch.zeros_like(z))

    def decode(self: Any, feature_acts: torch.Tensor) -> torch.Tensor:
        inner = torch.einsum("bnd,nde->bne", feature_acts, self.W_latent_dec).flatten(1)
        return self.run_time_activation_norm_fn_out(inner @ self.W_dec + self.b_dec)  # type: ignore[no-any-return]

    def _maps(self: Any) -> torch.Tensor:
        return self.W_latent_dec @ self.W_dec.reshape(self.cfg.n_experts, self.cfg.d_expert, -1)  # type: ignore[no-any-return]


class _Inference(_Forward, sae_lens.SAE):  # type: ignore[misc]
    """Loaded by SAELens for an inference checkpoint."""


class _Training(_Forward, sae_lens.TrainingSAE):  # type: ignore[misc]
    """Loaded by SAELens for a training checkpoint; it is never trained here."""

    def encode_with_hidden_pre(self, x: torch.Tensor) -> Any:
        raise AssertionError

    def calculate_aux_loss(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    def get_coefficients(self) -> dict[str, Any]:
        return {}


sae_lens.register_sae_class("smixae", _Inference, _InferenceConfig)
sae_lens.register_sae_training_class("smixae", _Training, _TrainingConfig)


def rows(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(200, M, generator=torch.Generator().manual_seed(7))


def saelens_model(training: bool, dtype: str, normalisation: str, rescale: bool = True, d_code: int = 3) -> Any:
    """A model of SAELens' with the weights of our random dictionary."""
    widths = {"d_in": M, "d_sae": N * E, "n_experts": N, "d_expert": E, "d_bottleneck": d_code}
    how = {"dtype": dtype, "normalize_activations": normalisation, "rescale_acts_by_decoder_norm": rescale}
    about = sae_lens.saes.sae.SAEMetadata(model_name="tiny", hook_name="h.1", context_size=64)
    made = (_TrainingConfig if training else _InferenceConfig)(**widths, **how, metadata=about)
    model = (_Training if training else _Inference)(made)
    ours = tiny.dictionary(n_experts=N, d_expert=E, d_code=d_code, rescale=rescale)
    with torch.no_grad():
        for name, tensor in ours.weights._asdict().items():
            getattr(model, name).copy_(tensor)
        model.threshold.fill_(ours.threshold)
    return model


def assert_same(ours: Smixae, theirs: Any, x: torch.Tensor, scale: float = 1.0) -> None:
    """Both give equal codes and reconstructions of the rows; SAELens leaves scaling and unscaling to whoever calls it."""
    with torch.no_grad():
        codes = theirs.encode(x * scale)
        rebuilt = theirs.decode(codes) / scale
    fired = codes.any(dim=2)
    assert 0.05 < fired.float().mean() < 0.95
    assert torch.equal(ours.encode(x).any(dim=2), fired)
    assert_close(ours.encode(x), codes.double().numpy())
    assert_close(ours.reconstruct(x), rebuilt.double().numpy())


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_saelens_reads_what_we_save(d_code: int, rescale: bool, normalisation: Any, tmp_path: Path) -> None:
    plain = tiny.dictionary(n_experts=N, d_expert=E, d_code=d_code, rescale=rescale)
    ours = Smixae(plain.config, plain.weights, plain.threshold, Normalisation(normalisation))
    save(ours, tmp_path, {"model_name": "tiny", "hook_name": "h.1", "context_size": 64})

    theirs = sae_lens.SAE.load_from_disk(tmp_path)

    assert isinstance(theirs, _Inference)
    assert theirs.cfg.metadata.model_name == "tiny"
    assert_same(ours, theirs, rows())
    assert_same(load(tmp_path), theirs, rows())


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("factor", [0.3, 4.0])
def test_saelens_reads_an_unfolded_dictionary_that_we_save_folded(factor: float, rescale: bool, tmp_path: Path) -> None:
    plain = tiny.dictionary(n_experts=N, d_expert=E, rescale=rescale)
    ours = Smixae(plain.config, plain.weights, plain.threshold, Normalisation("expected_average_only_in", factor))
    save(ours, tmp_path, {})

    theirs = sae_lens.SAE.load_from_disk(tmp_path)

    x = rows(1 / factor)
    assert_close(ours.reconstruct(x), theirs.decode(theirs.encode(x)).detach().double().numpy())
    assert_same(load(tmp_path), theirs, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
def test_we_read_what_saelens_saves(rescale: bool, normalisation: str, training: bool, dtype: str, tmp_path: Path) -> None:
    saelens_model(training, dtype, normalisation, rescale).save_model(tmp_path)
    # Ours computes in float32, whatever is stored.
    theirs = (sae_lens.TrainingSAE if training else sae_lens.SAE).load_from_disk(tmp_path, dtype="float32")

    ours = Checkpoint.load(tmp_path)

    assert ours.metadata["hook_name"] == "h.1" and ours.metadata["context_size"] == 64
    assert_same(ours.smixae, theirs, rows())


@pytest.mark.parametrize("d_code", [1, 2, 4, 5])
def test_we_read_every_width_of_code_that_saelens_saves(d_code: int, tmp_path: Path) -> None:
    model = saelens_model(False, "float32", "none", d_code=d_code)
    model.save_model(tmp_path)

    assert_same(load(tmp_path), model, rows())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_we_read_what_saelens_saves_again_in_its_own_type(dtype: str, tmp_path: Path) -> None:
    saelens_model(False, "float32", "none").save_model(tmp_path / "first")
    sae_lens.SAE.load_from_disk(tmp_path / "first", dtype=dtype).save_model(tmp_path / "again")

    theirs = sae_lens.SAE.load_from_disk(tmp_path / "again", dtype="float32")

    assert_same(load(tmp_path / "again"), theirs, rows())


@pytest.mark.parametrize("factor", [0.3, 4.0])
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
def test_we_read_an_unfolded_training_checkpoint(rescale: bool, factor: float, tmp_path: Path) -> None:
    model = saelens_model(True, "float32", "expected_average_only_in", rescale)
    model.save_model(tmp_path)
    sae_lens.training.activation_scaler.ActivationScaler(factor).save(str(tmp_path / "activation_scaler.json"))

    assert_same(load(tmp_path), model, rows(1 / factor), factor)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
def test_saelens_reads_an_unfolded_training_checkpoint_of_ours(rescale: bool, tmp_path: Path) -> None:
    plain = tiny.dictionary(n_experts=N, d_expert=E, rescale=rescale)
    ours = Smixae(plain.config, plain.weights, plain.threshold, Normalisation("expected_average_only_in", 0.3))
    save_unfolded(ours, tmp_path, torch.arange(N), {"k_experts": 5, "dead_after_n_passes": 77}, {"hook_name": "h.1"})

    theirs = sae_lens.TrainingSAE.load_from_disk(tmp_path)
    scaler = sae_lens.training.activation_scaler.ActivationScaler()
    scaler.load(tmp_path / "activation_scaler.json")

    assert scaler.scaling_factor == 0.3
    assert (theirs.cfg.k_experts, theirs.cfg.dead_after_n_passes, theirs.cfg.metadata.hook_name) == (5, 77, "h.1")
    assert theirs.n_passes_since_fired.tolist() == list(range(N))
    assert_same(ours, theirs, rows(1 / 0.3), 0.3)


@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale"])
def test_zero_rows_fire_what_they_fire_in_saelens(normalisation: Any, tmp_path: Path) -> None:
    model = saelens_model(False, "float32", normalisation)
    model.threshold.fill_(1e-4)
    model.save_model(tmp_path)
    x = torch.zeros(2, M)

    ours, theirs = load(tmp_path).encode(x), model.encode(x)

    assert ours.any() == (normalisation != "constant_norm_rescale")
    assert_close(ours, theirs.detach().double().numpy())


def test_training_class_saves_what_is_read_for_inference(tmp_path: Path) -> None:
    model = saelens_model(True, "float32", "none")
    model.save_inference_model(tmp_path)

    assert json.loads((tmp_path / "cfg.json").read_text())["architecture"] == "smixae"
    assert_same(load(tmp_path), model, rows())
