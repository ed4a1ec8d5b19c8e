"""The text of token ids, as a reader should see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def token_texts(tokenizer: Any, token_ids: Iterable[int]) -> list[str]:
    """Return each token's text with its leading space, as the tokenizer's own decoder writes it behind another token.

    A token that is only part of a character, and one that the decoder merges away, is given by its name in the vocabulary.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
    before = tokenizer.decode(anchor)
    texts = []
    for token in token_ids:
        both = tokenizer.decode([*anchor, token])
        text = both[len(before) :] if both.startswith(before) else ""
        whole = text and REPLACEMENT not in text
        texts.append(text if whole else str(tokenizer.convert_ids_to_tokens(token)))
    return texts
