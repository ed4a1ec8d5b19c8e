"""Tokens are shown as their text, and only those that are no text by their name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import tiny
from atlas.activations.vocabulary import REPLACEMENT, token_texts

EMOJI = "\N{SLIGHTLY SMILING FACE}"


@pytest.fixture(scope="module")
def tokenizers(models: dict[str, Path]) -> dict[str, Any]:
    """The tokenizer of each tiny model."""
    return {kind: AutoTokenizer.from_pretrained(models[kind]) for kind in tiny.KINDS}


def token_ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    "text", [*tiny.documents(3), "it's  the atlas,  isn't it: 42\tor\n\n1969"], ids=["short", "middling", "long", "odd spaces"]
)
def test_texts_of_byte_level_tokens_join_to_the_sentence(text: str, tokenizers: dict[str, Any]) -> None:
    texts = token_texts(tokenizers["gpt2"], token_ids(tokenizers["gpt2"], text))

    assert "".join(texts) == text


@pytest.mark.parametrize(
    "text", [*tiny.documents(3), "it's  the atlas\n\nor 1969"], ids=["short", "middling", "long", "odd spaces"]
)
def test_texts_of_sentencepiece_tokens_join_to_the_sentence(text: str, tokenizers: dict[str, Any]) -> None:
    texts = token_texts(tokenizers["llama"], token_ids(tokenizers["llama"], text))

    # The tokenizer itself puts a space before the first word.
    assert "".join(texts) == f" {text}"


@pytest.mark.parametrize("text", tiny.documents(3), ids=["short", "middling", "long"])
def test_texts_of_wordpiece_tokens_join_to_the_sentence_in_lower_case(text: str, tokenizers: dict[str, Any]) -> None:
    texts = token_texts(tokenizers["bert"], token_ids(tokenizers["bert"], text))

    assert re.sub(r" (?=[.,])", "", "".join(texts)).strip() == text.lower()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_words_show_no_marks_of_their_tokenizer(kind: str, tokenizers: dict[str, Any]) -> None:
    ids = {token for text in tiny.documents() for token in token_ids(tokenizers[kind], text)}

    texts = token_texts(tokenizers[kind], sorted(ids))

    assert len(ids) > 30
    assert [text for text in texts if re.search("[▁Ġ#]", text)] == []


@pytest.mark.parametrize(("kind", "word"), [("gpt2", "Ġexp"), ("llama", "▁expert"), ("bert", "expert")])
def test_word_keeps_its_leading_space(kind: str, word: str, tokenizers: dict[str, Any]) -> None:
    token = tokenizers[kind].convert_tokens_to_ids(word)

    assert token_texts(tokenizers[kind], [token]) == [" " + word.strip("Ġ▁")]


def test_inner_piece_of_a_word_has_no_leading_space(tokenizers: dict[str, Any]) -> None:
    first, *rest = token_texts(tokenizers["bert"], token_ids(tokenizers["bert"], "experthelix"))

    assert rest and first + "".join(rest) == " experthelix"


@pytest.mark.parametrize(
    ("kind", "names"),
    [("gpt2", ["ð", "Ł", "Ļ", "Ĥ"]), ("llama", ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"])],
    ids=["gpt2", "llama"],
)
def test_part_of_a_character_is_given_by_its_name(kind: str, names: list[str], tokenizers: dict[str, Any]) -> None:
    ids = token_ids(tokenizers[kind], f"the{EMOJI}")

    texts = token_texts(tokenizers[kind], ids[-4:])

    assert texts == names


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_every_token_of_the_vocabulary_has_a_text(kind: str, tokenizers: dict[str, Any]) -> None:
    texts = token_texts(tokenizers[kind], range(len(tokenizers[kind])))

    assert len(texts) == len(tokenizers[kind])
    assert [token for token, text in enumerate(texts) if not text or REPLACEMENT in text] == []
