"""Small language models and dictionaries, made in milliseconds and saved as real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from atlas.dictionary import Smixae, SmixaeConfig, Weights, save
from atlas.probe.tasks import builtin_tasks

D_MODEL = 16
N_LAYERS = 3
HOOKS = {"gpt2": "transformer.h.1", "llama": "model.layers.1", "bert": "encoder.layer.1"}
"""The second of three blocks, by the path that each class has it at."""

KINDS = tuple(HOOKS)


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


def _tokenizer(kind: str) -> PreTrainedTokenizerFast:
    text = documents() + [sentence.text for task in builtin_tasks() for sentence in task.sentences()[::7]]
    if kind == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
        ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ids)
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    elif kind == "gpt2":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=700, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        tokenizer.train_from_iterator(text, trainer)
        names = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    else:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=900, special_tokens=special))
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _model(kind: str, n_vocabulary: int) -> PreTrainedModel:
    if kind == "bert":
        return BertModel(
            BertConfig(
                vocab_size=n_vocabulary,
                hidden_size=D_MODEL,
                num_hidden_layers=N_LAYERS,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=128,
            )
        )
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=n_vocabulary, n_embd=D_MODEL, n_layer=N_LAYERS, n_head=2, n_positions=128))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=n_vocabulary,
            hidden_size=D_MODEL,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=32,
            max_position_embeddings=128,
        )
    )
