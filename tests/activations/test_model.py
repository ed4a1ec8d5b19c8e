"""The language model stops at its hook, with the rows that the whole model would have there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import tiny
from atlas.activations.model import DTYPES, PACKAGED_MODEL, LanguageModel, Specials, nearest_hooks, packaged_folder
from atlas.errors import ModelError


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_rows_equal_the_hidden_states_after_the_hooked_block(kind: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind])
    ids = torch.arange(10, 26).view(2, 8)
    whole = AutoModel.from_pretrained(models[kind])(input_ids=ids, output_hidden_states=True).hidden_states

    rows = model.rows(ids, torch.ones_like(ids))

    # hidden_states[0] are the embeddings, so block 1 of 0, 1, 2 ends at index 2.
    torch.testing.assert_close(rows, whole[2])


def test_blocks_after_the_hook_are_never_run(models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"])
    ran: list[int] = []
    for index, block in enumerate(model._model.model.layers):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    ids = torch.ones(1, 4, dtype=torch.int64)

    model.rows(ids, ids)

    assert ran == [0, 1]


def test_unknown_hook_names_the_nearest(models: dict[str, Path]) -> None:
    with pytest.raises(
        ModelError, match=r"no hook 'model.layer.1'\. The nearest it has: model\.layers\.1, .*\. Name one with --hook\.$"
    ):
        LanguageModel.load(str(models["llama"]), "model.layer.1")


@pytest.mark.parametrize(
    ("hook", "nearest"),
    [
        ("model.layers.7", "model.layers.2"),
        ("layers.1", "model.layers.1"),
        ("blocks.1.hook_resid_post", "model.layers.1"),
        ("model.layers.1.mpl", "model.layers.1"),
        ("h.0", "model.layers.0"),
        ("", "model.layers.0"),
    ],
)
def test_nearest_hook_is_a_block_of_the_nearest_number(hook: str, nearest: str) -> None:
    names = ["", "model", "model.embed_tokens", "model.layers", "model.norm", "lm_head"]
    for block in range(3):
        names += [f"model.layers.{block}{part}" for part in ("", ".self_attn", ".self_attn.q_proj", ".mlp", ".mlp.experts.1")]

    found = nearest_hooks(hook, names)

    assert found[0] == nearest
    assert len(found) == len(set(found)) <= 3 and "" not in found
    if hook == "model.layers.1.mpl":
        assert "model.layers.1.mlp" in found


def test_model_without_blocks_names_what_it_has() -> None:
    assert nearest_hooks("encoderr", ["", "pooler", "encoder"])[0] == "encoder"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_rows_of_a_shorter_dtype_are_close_and_given_as_float32(kind: str, dtype: str, models: dict[str, Path]) -> None:
    full = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind])
    short = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind], dtype=DTYPES[dtype])
    ids = torch.arange(10, 74).view(2, 32)

    expected, rows = full.rows(ids, torch.ones_like(ids)), short.rows(ids, torch.ones_like(ids))

    assert (full.dtype, short.dtype) == ("float32", dtype)
    assert rows.dtype == torch.float32
    # bfloat16 keeps 8 bits, float16 11; what a block adds is some times as long as what it is added to.
    scale = float(expected.abs().max())
    assert 0 < float((rows - expected).abs().max()) < scale * {"bfloat16": 2**-5, "float16": 2**-8}[dtype]


def test_broken_weights_say_so(models: dict[str, Path], tmp_path: Path) -> None:
    copied = shutil.copytree(models["bert"], tmp_path / "bert")
    (copied / "model.safetensors").write_bytes(b"half")

    with pytest.raises(ModelError, match="^The language model '.*bert' cannot be loaded: .*header"):
        LanguageModel.load(str(copied), tiny.HOOKS["bert"])


def test_missing_model_says_so() -> None:
    with pytest.raises(ModelError, match="'nowhere/nothing' cannot be loaded"):
        LanguageModel.load("nowhere/nothing", "h.0")


@pytest.mark.parametrize(("kind", "prefix", "suffix"), [("gpt2", 0, 0), ("llama", 1, 0), ("bert", 1, 1)])
def test_specials_are_the_tokenizers_own(kind: str, prefix: int, suffix: int, models: dict[str, Path]) -> None:
    tokenizer = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind]).tokenizer

    specials = Specials(tokenizer)

    assert (len(specials.prefix), len(specials.suffix)) == (prefix, suffix)
    inner = tokenizer.encode("every expert", add_special_tokens=False)
    assert specials.wrap(inner) == tokenizer.encode("every expert")


def test_packaged_model_is_the_published_one() -> None:
    assert packaged_folder() is not None
    model = LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2")

    assert (model.d_model, model.is_causal, model.auto_class) == (384, False, "AutoModel")


def test_model_is_the_same_one_however_its_tokenizer_was_used() -> None:
    used, fresh = (LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2") for _ in range(2))
    used.tokenizer("a sentence", add_special_tokens=False, return_offsets_mapping=True)
    used.tokenizer.encode("a document", verbose=False)

    assert used.tokenizer_sha256 == fresh.tokenizer_sha256
    assert used.tokenizer_sha256 == LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2").tokenizer_sha256


@pytest.mark.parametrize(("hook", "found"), [("encoder", "BaseModelOutput"), ("pooler", r"shape \(1, 16\)")])
def test_hook_that_gives_no_rows_is_refused(hook: str, found: str, models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=f"hook '{hook}' of .* gives .*{found}.*not a row per token"):
        _ = LanguageModel.load(str(models["bert"]), hook).d_model


def test_class_that_loads_no_model_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="no AutoModel class 'logging'"):
        LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"], "logging")
