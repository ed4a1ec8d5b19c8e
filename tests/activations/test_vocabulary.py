"""Tokens are shown as their text, to the byte."""

from __future__ import annotations

import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from transformers import AddedToken, AutoTokenizer, GemmaTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

import tiny
from atlas.activations.vocabulary import token_bytes, token_texts

EMOJI = "\N{SLIGHTLY SMILING FACE}"
BYTE_LEVEL = ("gpt2", "qwen", "pythia")
BYTE_FALLBACK = ("llama", "gemma2", "gemma3")


@pytest.fixture(scope="module")
def tokenizers(models: dict[str, Path]) -> dict[str, Any]:
    """The tokenizer of each tiny model."""
    return {kind: AutoTokenizer.from_pretrained(models[kind]) for kind in tiny.FAMILIES}


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


@pytest.mark.parametrize("kind", tiny.FAMILIES)
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


@pytest.mark.parametrize("kind", [*BYTE_LEVEL, *BYTE_FALLBACK])
def test_bytes_of_a_part_of_a_character_are_spelled_out(kind: str, tokenizers: dict[str, Any]) -> None:
    ids = token_ids(tokenizers[kind], f"the{EMOJI}")

    assert token_texts(tokenizers[kind], ids[-4:]) == ["\\xF0", "\\x9F", "\\x99", "\\x82"]


def test_text_around_such_bytes_is_kept() -> None:
    # As tokens of GPT-2 are: a space and the first byte of a character, and the last two with a comma.
    vocabulary = {"Ġâ": 0, "Ģľ,": 1, "Ġ": 2, "â": 3, "Ģ": 4, "ľ": 5, ",": 6, "Ã©t": 7}
    tokenizer = GPT2Tokenizer(vocab=vocabulary, merges=[])

    assert token_bytes(tokenizer, [0, 1, 7]) == [b" \xe2", b"\x80\x9c,", "ét".encode()]
    assert token_texts(tokenizer, [0, 1, 7]) == [" \\xE2", "\\x80\\x9C,", "ét"]


# The bytes of a text's tokens are the text's

MIXED = "it's  the atlas\n\r\n\t \x00\x07\x85\u2028 " + EMOJI + " é e\u0301 ﬁ 42 \u202e<0x41> \\xE2 the \n month of June"
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\r\t▁eat" + EMOJI)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(TEXTS, st.just(MIXED)))
@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_bytes_of_byte_level_tokens_are_those_of_the_text(kind: str, text: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    read = text if kind == "gpt2" else unicodedata.normalize("NFC", text)

    assert b"".join(token_bytes(tokenizer, token_ids(tokenizer, text))) == read.encode()


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(TEXTS, st.just(MIXED)))
@pytest.mark.parametrize("kind", BYTE_FALLBACK)
def test_bytes_of_tokens_that_fall_back_to_bytes_are_those_of_the_text(kind: str, text: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    # The mark that stands for a space cannot be told from one.
    read = text.replace("▁", " ")
    if kind == "llama" and read and not read.startswith(" "):
        read = " " + read

    assert b"".join(token_bytes(tokenizer, token_ids(tokenizer, text))) == read.encode()


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(TEXTS, st.just(MIXED)))
@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_texts_are_the_bytes_spelled_out(kind: str, text: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    ids = token_ids(tokenizer, text)

    for shown, raw in zip(token_texts(tokenizer, ids), token_bytes(tokenizer, ids), strict=True):
        try:
            assert shown == raw.decode()
        except UnicodeDecodeError:
            spelled = re.sub(rb"\\x([89A-F][0-9A-F])", lambda byte: bytes.fromhex(byte[1].decode()), shown.encode())
            assert spelled == raw and re.search(r"\\x[89A-F][0-9A-F]", shown)


# Tokens that are not of the vocabulary's making


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_special_tokens_are_what_they_are_spelled_as(kind: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    unknown = tokenizer.unk_token

    texts = token_texts(tokenizer, tokenizer.all_special_ids)

    assert len(texts) > 0
    # A word that is not known has a space before it, as other words have.
    assert texts == [f" {name}" if kind == "bert" and name == unknown else name for name in tokenizer.all_special_tokens]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "bert"])
def test_added_tokens_are_literal(kind: str, models: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(models[kind])
    # In a byte-level vocabulary é is the byte E9, and Ġ a space.
    names = ["<é>", "éĠ", "<0x41>!", "▁tool▁"]
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=name == names[-1]) for name in names])
    ids = tokenizer.convert_tokens_to_ids(names)

    assert min(ids) >= len(tokenizer) - len(names)
    assert token_texts(tokenizer, ids) == names


def test_token_of_the_vocabulary_that_is_listed_as_added_is_read_as_its_kind() -> None:
    # As the runs of spaces in Gemma's vocabulary are.
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<mask>": 4, "▁▁": 5, "a": 6, "▁": 7}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_tokens([AddedToken("▁▁", normalized=False)])

    assert 5 in tokenizer.added_tokens_decoder
    assert token_texts(tokenizer, [5, 6, 7, 2]) == ["  ", "a", " ", "<bos>"]


@pytest.mark.parametrize("decoder", ["Metaspace", "none"])
def test_other_decoders_are_followed(decoder: str) -> None:
    """Unigram vocabularies (T5, XLM-R) write ▁ for a space; a vocabulary of whole words has no decoder at all."""
    words = {"<unk>": 0, "▁the" if decoder == "Metaspace" else "the": 1, "s": 2}
    inner = Tokenizer(WordLevel(words, unk_token="<unk>"))
    if decoder == "Metaspace":
        inner.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")

    assert token_texts(tokenizer, [1, 2]) == [" the", "s" if decoder == "Metaspace" else " s"]


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_every_token_of_the_vocabulary_has_a_text(kind: str, tokenizers: dict[str, Any]) -> None:
    texts = token_texts(tokenizers[kind], range(len(tokenizers[kind])))

    assert len(texts) == len(tokenizers[kind])
    assert [token for token, text in enumerate(texts) if not text or "\N{REPLACEMENT CHARACTER}" in text] == []


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_large_vocabulary_is_read_in_seconds(kind: str, tokenizers: dict[str, Any]) -> None:
    ids = [token % len(tokenizers[kind]) for token in range(256_000)]

    started = time.process_time()
    texts = token_texts(tokenizers[kind], ids)

    assert len(texts) == 256_000
    assert time.process_time() - started < 5
