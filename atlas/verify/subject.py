"""Whether a dictionary and a language model are those that an atlas was made with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from atlas.store import Store
from atlas.verify.report import Check, Fault, expected

if TYPE_CHECKING:
    from atlas.activations.model import LanguageModel
    from atlas.dictionary import Checkpoint

NORM_SHARE = 1e-6
"""Share that the norm of a decoder or an encoder may be off: sums of squares in another order."""


def checkpoint_check(store: Store, checkpoint: Checkpoint) -> Check:
    """Compare a checkpoint with what the provenance says of the dictionary, and its weights' norms with the table `experts`."""
    smixae, told = checkpoint.smixae, store.provenance().get("dictionary", {})
    facts = {
        "sha256": checkpoint.sha256,
        "n_experts": smixae.n_experts,
        "d_expert": smixae.config.d_expert,
        "d_code": smixae.d_code,
        "threshold": smixae.threshold,
    }
    faults = list(_told("checkpoint", "dictionary", told, facts))
    experts = store.table("experts").sort("expert")
    columns = smixae.weights.W_enc.double().square().sum(dim=0)
    weights = {
        "decoder_norm": smixae.decoder_norm.double().cpu().numpy(),
        "encoder_norm": columns.view(smixae.n_experts, -1).sum(dim=1).sqrt().cpu().numpy(),
    }
    for name, values in weights.items():
        if len(experts) != len(values):
            break
        found = experts[name].to_numpy()
        for expert in np.flatnonzero(np.abs(found - values) > NORM_SHARE * np.abs(values)).tolist():
            faults.append(Fault("checkpoint", f"experts, expert {expert}", f"{name} ({expected(found[expert], values[expert])})"))
    return Check("checkpoint", len(facts) + len(experts), tuple(faults))


def model_check(store: Store, model: LanguageModel) -> Check:
    """Compare a language model, its hook and its tokenizer with the provenance, and its tokens' texts with the vocabulary."""
    from atlas.activations.vocabulary import token_texts

    told = store.provenance().get("model", {})
    facts = {
        "revision_or_sha256": model.fingerprint,
        "tokenizer_sha256": model.tokenizer_sha256,
        "hook": model.hook,
        "d_in": model.d_model,
    }
    faults = list(_told("model", "model", told, facts))
    words = store.sql("SELECT DISTINCT token, text FROM vocabulary ORDER BY token, text")
    known = [token for token in words["token"].to_list() if 0 <= token < len(model.embeddings)]
    texts = dict(zip(known, token_texts(model.tokenizer, known), strict=True))
    for token, text in words.iter_rows():
        if texts.get(token) != text:
            faults.append(Fault("tokenizer", f"vocabulary, token {token}", f"another text ({expected(text, texts.get(token))})"))
    return Check("model", len(facts) + len(words), tuple(faults))


def _told(kind: str, key: str, told: dict[str, Any], facts: dict[str, Any]) -> Iterator[Fault]:
    for name, fact in facts.items():
        if told.get(name) != fact:
            of = "tokenizer" if name.startswith("tokenizer") else kind
            yield Fault(of, f"provenance, {key}", f"{name} is another ({expected(told.get(name), fact)})")
