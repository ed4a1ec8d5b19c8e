"""What a harvest is made from: what determines its result, and what a reader is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from atlas.activations.corpus import Corpus, Document
from atlas.activations.model import LanguageModel
from atlas.activations.pretrained import PACKAGED_MODEL, packaged_folder
from atlas.activations.stream import BLOCK_ROWS
from atlas.checkpoints import FILES
from atlas.dictionary import Checkpoint
from atlas.errors import CorpusError
from atlas.harvest.around import CONTEXT_TOKENS
from atlas.harvest.config import HarvestConfig
from atlas.harvest.mentions import Words
from atlas.harvest.parts import STAGE
from atlas.harvest.survey import IMPORTANCE_TOKENS, Survey, survey
from atlas.origins import CONFIG, hashed, model_files, shown_name
from atlas.stages import fingerprint, is_finished, require_same_inputs, versions


def require_distinct(corpora: Sequence[Corpus], words: Words) -> None:
    """Raise CorpusError if two corpora, or one and a labelled task, have one name, by which a reader tells tasks apart."""
    names = [corpus.name for corpus in corpora]
    taken = next((name for name in names if name in words), None)
    if taken is not None:
        raise CorpusError(f"The corpus '{taken}' has the name of a labelled task. Rename its file or folder.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CorpusError(f"Two corpora are named '{twice}'. Give each text once, and rename one of two that are called alike.")


def known_inputs(
    checkpoint: Checkpoint, corpora: Sequence[Corpus], plans: Sequence[Survey], config: HarvestConfig, words: Words
) -> dict[str, Any]:
    """Return those inputs of a harvest that are known before its model is loaded."""
    require_distinct(corpora, words)
    return {
        "checkpoint": checkpoint.sha256,
        "trained_on": checkpoint.trained_on.sha256 if checkpoint.trained_on else None,
        # Lists: the first corpus is what an atlas' titles and coordinates are of, so the order matters.
        "corpora": {"name": ", ".join(corpus.name for corpus in corpora), "sha256": [plan.sha256 for plan in plans]},
        "settings": {**asdict(config), "importance_tokens": IMPORTANCE_TOKENS, "context_tokens": CONTEXT_TOKENS},
        "words": sha256(json.dumps({name: list(labels) for name, labels in words.items()}).encode()).hexdigest(),
    }


def survey_for(checkpoint: Checkpoint, corpus: Corpus, tokenizer: Any, config: HarvestConfig) -> Survey:
    """Return what is to be read of a corpus, and what of it the dictionary was not trained on."""
    return survey(corpus, tokenizer, config.tokens, lambda document: is_held_out(document, checkpoint))


def harvest_inputs(
    checkpoint: Checkpoint,
    model: LanguageModel,
    corpora: Sequence[Corpus],
    plans: Sequence[Survey],
    config: HarvestConfig,
    words: Words,
) -> dict[str, Any]:
    """Return everything that determines the result of a harvest."""
    return {**known_inputs(checkpoint, corpora, plans, config, words), **describe_run(model)}


def describe_run(model: LanguageModel) -> dict[str, Any]:
    """Return what a pass through a model depends on besides text and dictionary: the model, where it runs, and with what."""
    return {
        "model": describe_model(model),
        "device": {
            "type": model.device.type,
            "dtype": model.dtype,
            "threads": torch.get_num_threads(),
            "block_rows": BLOCK_ROWS[model.device.type],
        },
        "versions": versions("torch", "transformers", "tokenizers", "numpy"),
    }


def describe_model(model: LanguageModel) -> dict[str, Any]:
    """Return what identifies a language model and the place it is cut at."""
    return {
        "id": shown_name(model.name),
        "hook": model.hook,
        "class": model.class_name,
        "d_in": model.d_model,
        "revision_or_sha256": model.fingerprint,
        "tokenizer_sha256": model.tokenizer_sha256,
        # Only where code that the model brought along was asked for and run.
        **({"own_code_sha256": model.own_code_sha256} if model.own_code_sha256 else {}),
        "specials_around": model.specials_around,
        "note": None if model.is_causal else "A bidirectional encoder: a row sees the text on both sides of its token.",
    }


def provenance(inputs: dict[str, Any], checkpoint: Checkpoint, model: LanguageModel) -> dict[str, Any]:
    """Return what a reader needs to know of the model and the dictionary that are harvested.

    Raises:
        OriginMissing: a file of theirs is not there any more.
    """
    config = checkpoint.smixae.config
    return {
        "model": {**inputs["model"], "files": _files_of(model)},
        "dictionary": {
            "architecture": checkpoint.architecture,
            "n_experts": config.n_experts,
            "d_expert": config.d_expert,
            "d_code": config.d_code,
            "threshold": checkpoint.smixae.threshold,
            "sha256": checkpoint.sha256,
            "files": hashed(path for name in FILES if (path := checkpoint.path / name).is_file()),
            # A local folder's name would tell readers of a site about the machine that baked it.
            **({"source": checkpoint.source, "revision": checkpoint.revision} if checkpoint.revision else {}),
        },
        "training": checkpoint.metadata.get("atlas_training"),
        "settings": {"harvest": inputs["settings"]},
        "devices": {STAGE: inputs["device"]},
        "versions": inputs["versions"],
    }


def _files_of(model: LanguageModel) -> dict[str, str]:
    """Return the sha256 of the files that a model was loaded from, by name; of one on the hub, of those in the hub's cache."""
    folder = packaged_folder() if model.name == PACKAGED_MODEL else Path(model.name)
    if folder is None or not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model.name, CONFIG, revision=model.fingerprint)
        if not isinstance(cached, str):
            return {}
        folder = Path(cached).parent
    return model_files(folder)


def require_same_threads(work: Path, device: Mapping[str, Any]) -> None:
    """Raise WorkOccupied, with both values, if a CPU computes with more or fewer threads than the harvest in the work folder.

    Sums that are cut up differently have other last bits. What is on a GPU is summed by the GPU.
    """
    if is_finished(work, STAGE):
        found = fingerprint(work, STAGE)["device"]
        if found["type"] == device["type"] == "cpu":
            require_same_inputs(work / STAGE, {"device": found}, {"device": {**found, "threads": device["threads"]}})


def is_held_out(document: Document, checkpoint: Checkpoint) -> bool:
    """Return whether the dictionary was not trained on a document, as far as it says."""
    known = checkpoint.trained_on
    return known is None or not known.includes(document.identity)
