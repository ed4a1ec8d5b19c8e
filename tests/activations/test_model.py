"""The language model stops at its hook, with the rows that the whole model would have there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import tiny
from atlas.activations.model import PACKAGED_MODEL, LanguageModel, Specials, packaged_folder
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
    with pytest.raises(ModelError, match=r"no hook 'model.layer.1'\. The nearest it has: .*model\.layers\.1"):
        LanguageModel.load(str(models["llama"]), "model.layer.1")


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
