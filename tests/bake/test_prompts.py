from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.bake.prompts import STEPS, prompt_payloads, prompt_titles, stepped
from atlas.store import Store, write_atlas
from synthetic import PROMPT_TOKENS, PROMPT_WINDOW, SPECIAL, THRESHOLD, prompt_norm, synthetic_tables, write_synthetic


def decoded(stored: dict[str, str]) -> np.ndarray[Any, Any]:
    data = base64.b64decode(stored.get("bdata", "") or stored["gzip"])
    kind = {"u1": np.uint8, "u2": np.uint16}[stored["dtype"]]
    return np.frombuffer(zlib.decompress(data, 31) if "gzip" in stored else data, kind)


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of the synthetic prompts, its experts in the manifest being those with odd numbers first."""
    path = write_synthetic(tmp_path_factory.mktemp("atlas") / "atlas.duckdb")
    with Store(path) as store:
        return list(prompt_payloads(store, [*range(1, 40, 2), *range(0, 40, 2)]))


def test_norms_come_back_with_the_rows_of_their_experts(payloads: list[dict[str, Any]]) -> None:
    for payload, texts in zip(payloads, PROMPT_TOKENS, strict=True):
        every = np.array([[0 if text == SPECIAL else prompt_norm(e, p) for p, text in enumerate(texts)] for e in range(40)])
        near = np.flatnonzero(every.max(axis=1) >= THRESHOLD / 2)
        rows = decoded(payload["rows"])
        norms = decoded(payload["norms"]).reshape(len(rows), len(texts)) / payload["steps"] * payload["threshold"]

        assert rows.tolist() == [e // 2 if e % 2 else 20 + e // 2 for e in near]
        np.testing.assert_allclose(norms, np.where(every[near] < THRESHOLD / 2, 0, every[near]), atol=THRESHOLD / STEPS)
        assert 0 < len(near) < 40


def test_tokens_windows_and_special_tokens_are_said(payloads: list[dict[str, Any]]) -> None:
    first, second = payloads

    assert first["tokens"] == [f" {text}" for text in PROMPT_TOKENS[0]]
    assert (first["special"], first["windows"]) == ([], [0])
    assert second["special"] == [PROMPT_TOKENS[1].index(SPECIAL)]
    assert second["windows"] == [0, PROMPT_WINDOW]
    assert prompt_titles(payloads)[0] == {"prompt": 0, "title": "the year of May and their first world", "tokens": 8}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("two\n\n lines ", "two lines"),
        ("word " * 40, f"{'word ' * 10}word…"),
        ("a sentence. " * 6, "a sentence. a sentence. a sentence. a sentence. a…"),
        ("x" * 80, "x" * 59 + "…"),
    ],
    ids=["lines", "words", "a stop", "one word"],
)
def test_a_long_prompt_is_cut_behind_a_word(text: str, title: str) -> None:
    assert prompt_titles([{"text": text, "tokens": [""]}])[0]["title"] == title


@pytest.mark.parametrize("largest", [1.5, 300.0, 60_000.0])
def test_a_norm_fires_in_steps_exactly_if_it_does(largest: float) -> None:
    """Also one that is above the threshold, or not, by the least that float32 holds, and of any size."""
    threshold = 0.7
    edge = np.float32(threshold)
    norms = np.array([[edge, np.nextafter(edge, np.float32(1)), np.nextafter(edge, np.float32(0)), 0, largest]], np.float32)

    steps = stepped(norms, threshold)

    assert (steps > STEPS).tolist() == (norms > threshold).tolist() == [[False, True, False, False, True]]
    assert steps.dtype == (np.uint16 if largest < 2 else np.uint32)
    assert float(steps[0, 4]) / STEPS == pytest.approx(largest / threshold, rel=1e-3)


def test_an_atlas_without_prompts_has_no_payload_of_them(tmp_path: Path) -> None:
    tables = {name: columns for name, columns in synthetic_tables().items() if not name.startswith("prompt")}
    write_atlas(tmp_path / "atlas.duckdb", tables)
    with Store(tmp_path / "atlas.duckdb") as store:
        assert list(prompt_payloads(store, range(40))) == []
