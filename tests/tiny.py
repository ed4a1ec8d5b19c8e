"""Small language models and dictionaries, made in milliseconds and saved as real ones are."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GPTNeoXTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from atlas.dictionary import Smixae, SmixaeConfig, Weights, save
from atlas.probe.tasks import builtin_tasks

D_MODEL = 16
N_LAYERS = 3
SLIDING_WINDOW = 8
"""Tokens that every other block of a tiny Gemma sees."""

HOOKS = {
    "gpt2": "transformer.h.1",
    "llama": "model.layers.1",
    "bert": "encoder.layer.1",
    "gemma2": "model.layers.1",
    "gemma3": "model.layers.1",
    "qwen": "model.layers.1",
    "pythia": "gpt_neox.layers.1",
}
"""The second of three blocks, by the path that each class has it at."""

KINDS = ("gpt2", "llama", "bert")
"""One for each kind of tokenizer: bytes, words with bytes for what is not in them, pieces of words."""

FAMILIES = tuple(HOOKS)


def documents(n: int = 40) -> list[str]:
    """Return short texts that differ from each other and repeat words."""
    subjects = ["the small model", "a ring of days", "every expert", "one number", "the atlas", "a helix"]
    verbs = ["fires on", "turns round", "holds", "reads", "leaves out", "adds to"]
    objects = ["the month of June", "Monday and Tuesday", "42 tokens", "the year 1969", "a sheet", "its neighbours"]
    texts = []
    for i in range(n):
        sentences = [
            f"{subjects[(i + j) % 6]} {verbs[(i * j + j) % 6]} {objects[(i + 2 * j) % 6]} in {i} of {j}."
            for j in range(2 + i % 5)
        ]
        texts.append(" ".join(sentences))
    return texts


def language_model(kind: str, folder: Path) -> Path:
    """Save a tiny random model with its own kind of tokenizer, and return the folder."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(kind)
    _model(kind, len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dictionary(
    d_in: int = D_MODEL,
    n_experts: int = 12,
    d_expert: int = 4,
    d_code: int = 3,
    rescale: bool = True,
    threshold: float = 0.6,
    seed: int = 0,
) -> Smixae:
    """Return a random SMIXAE whose experts fire on some rows of unit scale and not on others."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    config = SmixaeConfig(d_in, n_experts, d_expert, d_code, rescale)
    hidden = config.d_hidden
    weights = Weights(
        W_enc=normal(d_in, hidden, scale=d_in**-0.5),
        b_enc=normal(hidden, scale=0.1),
        W_bottleneck=normal(n_experts, d_expert, d_code, scale=0.5),
        W_latent_dec=normal(n_experts, d_code, d_expert, scale=0.5),
        W_dec=normal(hidden, d_in, scale=d_in**-0.5),
        b_dec=normal(d_in, scale=0.1),
    )
    return Smixae(config, weights, threshold)


def checkpoint(folder: Path, metadata: dict[str, Any], **shape: Any) -> Path:
    """Save a random SMIXAE and return its folder."""
    save(dictionary(**shape), folder, metadata)
    return folder


def _tokenizer(kind: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer of the class that the real models' have, with a vocabulary of its own."""
    if kind == "bert":
        vocabulary, _ = _trained("pieces", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        return BertTokenizer(vocab=vocabulary)
    if kind == "llama":
        vocabulary, merges = _trained("words", "<unk>", "<s>", "</s>")
        return LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)
    if kind in ("gemma2", "gemma3"):
        vocabulary, merges = _trained("words", "<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
        return GemmaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)
    classes = {"gpt2": GPT2Tokenizer, "qwen": Qwen2Tokenizer, "pythia": GPTNeoXTokenizer}
    vocabulary, merges = _trained("bytes", "<|endoftext|>", *(["<|padding|>"] if kind == "pythia" else []))
    return classes[kind](vocab=vocabulary, merges=merges)


@cache
def _trained(unit: str, *special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return a vocabulary of what the text is made of, special tokens first, and the merges that lead to it."""
    trainer: Any
    if unit == "pieces":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=list(special))
    elif unit == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=list(special), initial_alphabet=alphabet)
    else:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        named = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=named)
    text = documents() + [sentence.text for task in builtin_tasks()[:4] for sentence in task.sentences[::7]]
    tokenizer.train_from_iterator(text, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model.get("merges", [])]


def _model(kind: str, n_vocabulary: int) -> PreTrainedModel:
    if kind == "gpt2":
        sizes = {"n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 2, "n_positions": 128}
        return GPT2LMHeadModel(GPT2Config(vocab_size=n_vocabulary, bos_token_id=0, eos_token_id=0, **sizes))
    shape: dict[str, Any] = {
        "vocab_size": n_vocabulary,
        "hidden_size": D_MODEL,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 128,
    }
    if kind == "bert":
        return BertModel(BertConfig(**shape))
    if kind == "pythia":
        return GPTNeoXForCausalLM(GPTNeoXConfig(**shape, bos_token_id=0, eos_token_id=0))
    shape["num_key_value_heads"] = 1
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    shape["head_dim"] = 8
    if kind == "qwen":
        return Qwen3ForCausalLM(Qwen3Config(**shape))
    shape |= {"sliding_window": SLIDING_WINDOW, "query_pre_attn_scalar": 8}
    shape["layer_types"] = ["sliding_attention", "full_attention", "sliding_attention"]
    if kind == "gemma2":
        return Gemma2ForCausalLM(Gemma2Config(**shape))
    return Gemma3ForCausalLM(Gemma3TextConfig(**shape))
