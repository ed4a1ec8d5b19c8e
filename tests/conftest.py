"""Things that many tests need. A hub look-up without network costs half a minute of retries, so the hub is off."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
# Without its bytecode torch and transformers take seven seconds to load, in each of the processes that tests start.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tiny
from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import LanguageModel

# The models are tiny: more threads than one only get in each other's way.
torch.set_num_threads(1)

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def one_process() -> Iterator[None]:
    """Clouds are measured here unless a test asks for processes, which take seconds to begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlas.geometry.stage.cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a tiny model of every family, each with its own class of tokenizer."""
    root = tmp_path_factory.mktemp("models")
    return {kind: tiny.language_model(kind, root / kind) for kind in tiny.FAMILIES}


@pytest.fixture(scope="session", params=tiny.KINDS)
def tiny_model(request: pytest.FixtureRequest, models: dict[str, Path]) -> LanguageModel:
    """A tiny model for each kind of tokenizer, cut after its second block."""
    return LanguageModel.load(str(models[request.param]), tiny.HOOKS[request.param])


@pytest.fixture(scope="session")
def bert(models: dict[str, Path]) -> LanguageModel:
    """The tiny BERT, cut after its second block."""
    return LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"])


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus as a .jsonl file."""
    path = tmp_path_factory.mktemp("corpus") / "small.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in tiny.documents()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(corpus_file: Path) -> Corpus:
    """The same, as a corpus."""
    return load_corpus(str(corpus_file))
