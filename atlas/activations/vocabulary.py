"""The text of token ids, to the byte, as a reader should see it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

_ESCAPES = {0xDC00 + byte: f"\\x{byte:02X}" for byte in range(128, 256)}
"""What Python puts for a byte that is no text, and how it is written here."""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + i): byte for i, byte in enumerate(byte for byte in range(256) if byte not in _PRINTABLE)
}
"""The byte that each character of a byte-level vocabulary stands for: GPT-2 moved those that cannot be printed up from 256."""


def token_texts(tokenizer: Any, token_ids: Iterable[int]) -> list[str]:
    r"""Return each token's text with its leading space.

    Bytes that are no text by themselves, such as those of a part of a character, are written as `\xE2`. A token that has no
    text at all is given by its name in the vocabulary.
    """
    ids = list(token_ids)
    names = tokenizer.convert_ids_to_tokens(ids)
    texts = [found.decode("utf-8", "surrogateescape").translate(_ESCAPES) for found in token_bytes(tokenizer, ids)]
    return [text or name for text, name in zip(texts, names, strict=True)]


def token_bytes(tokenizer: Any, token_ids: Iterable[int]) -> list[bytes]:
    """Return the bytes of the text that each token stands for, in UTF-8 where they are whole characters.

    Those of a text's tokens make up the text as the tokenizer reads it: as it normalises it, and with the space that some put
    before the first word. Where a tokenizer keeps pieces of words, they make up the words with a space before each.
    """
    read = _reader(tokenizer)
    added = tokenizer.added_tokens_decoder
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    found = []
    for token, name in zip(ids := list(token_ids), tokenizer.convert_ids_to_tokens(ids), strict=True):
        # An added token is matched in the text as it is spelled. Some vocabularies list tokens of their own as added ones too,
        # and that for an unknown word stands where the word did.
        apart = token in added and (added[token].special or model is None or model.token_to_id(name) is None)
        found.append(name.encode() if apart and token != tokenizer.unk_token_id else read(name))
    return found


def _reader(tokenizer: Any) -> Callable[[str], bytes]:
    """Return what gives the bytes of a token that is named so in the vocabulary, as the tokenizer's own decoder would."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = None if backend is None or backend.decoder is None else json.loads(backend.decoder.__getstate__())
    steps = [] if decoder is None else decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return _from_characters
    if not kinds & {"ByteFallback", "Metaspace"}:
        return lambda name: _behind_another(tokenizer, name).encode()
    spaces = [mark for step in steps if (mark := _space_mark(step))]

    def read(name: str) -> bytes:
        if "ByteFallback" in kinds and (byte := re.fullmatch("<0x([0-9A-F]{2})>", name)):
            return bytes.fromhex(byte[1])
        for mark in spaces:
            name = name.replace(mark, " ")
        return name.encode()

    return read


def _from_characters(name: str) -> bytes:
    """Return the bytes that the characters of a byte-level token stand for; one with another character is literal."""
    stood_for = [_BYTE_OF.get(character) for character in name]
    return name.encode() if None in stood_for else bytes(byte for byte in stood_for if byte is not None)


def _space_mark(step: dict[str, Any]) -> str | None:
    """Return what a step of a decoder writes a space for."""
    if step["type"] == "Metaspace":
        return str(step["replacement"])
    return step["pattern"].get("String") if step["type"] == "Replace" and step["content"] == " " else None


def _behind_another(tokenizer: Any, name: str) -> str:
    """Return what the tokenizer writes for a token behind another one."""
    whole: str = tokenizer.convert_tokens_to_string(["a", name])
    return whole.removeprefix("a")
