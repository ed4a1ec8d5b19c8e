"""A Hugging Face model that stops at one hook point, and its tokenizer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from atlas.activations.pretrained import Pretrained, code_sha256, find
from atlas.errors import ModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What a language model's weights and activations can be held in."""

ENCODERS = (
    "albert",
    "bert",
    "big_bird",
    "camembert",
    "convbert",
    "data2vec-text",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "ernie",
    "esm",
    "eurobert",
    "funnel",
    "ibert",
    "layoutlm",
    "longformer",
    "luke",
    "megatron-bert",
    "mobilebert",
    "modernbert",
    "mpnet",
    "mra",
    "nomic_bert",
    "nystromformer",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roc_bert",
    "roformer",
    "squeezebert",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
    "yoso",
)
"""Model types whose tokens see both sides."""


DEVICE_MAPS = ("auto", "balanced", "sequential")
"""Ways to spread a model over several devices."""


class LanguageModel:
    """A pretrained transformer up to one hook point: token ids in, residual-stream rows out.

    Blocks after the hook and the head are run for `logits` only. Token ids may be given on any device.
    """

    def __init__(
        self,
        name: str,
        hook: str,
        auto_class: str,
        model: nn.Module,
        tokenizer: Any,
        fingerprint: str,
        missing: frozenset[str] = frozenset(),
        device: torch.device | None = None,
    ) -> None:
        self.name = name
        self.hook = hook
        self.auto_class = auto_class
        """The transformers class that loads it, such as AutoModelForCausalLM."""
        self.fingerprint = fingerprint
        """The weights' sha256 of a local folder, or the hub's commit."""
        self.tokenizer = tokenizer
        # Taken now, because a tokenizer notes in itself how it was last called.
        self.tokenizer_sha256 = _tokenizer_sha256(tokenizer)
        self._model = model.eval().requires_grad_(False)
        self._point = _module(model, hook)
        self._missing = missing
        """Parameters that are not in the weights, and were drawn at random."""
        self.own_code_sha256 = code_sha256(model, model.config, tokenizer)
        """Of the Python code that the model brought along, where that was run; else None."""
        self.device = next(model.parameters()).device if device is None else device
        """Where rows and logits are given."""

    @classmethod
    def load(
        cls,
        name: str,
        hook: str,
        class_name: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        device_map: str | dict[str, str | int] | None = None,
        trusts_code: bool = False,
    ) -> LanguageModel:
        """Return the model `name` (a hub id or a local folder) cut at the submodule with the dotted path `hook`.

        Without `class_name`, an encoder, and what transformers has no causal class for, is loaded as AutoModel, any other
        as AutoModelForCausalLM. `dtype` is that of its weights and of what it computes; rows are given as float32 in any
        case. With a `device_map` (one of DEVICE_MAPS, a device, or a device for each submodule) the weights go where it says,
        and rows are still given on `device`. Weights are read from safetensors only. Code that a model brings along runs only if
        `trusts_code`.

        Raises:
            ModelError: the model cannot be loaded, needs code that is not trusted, has no such hook (the nearest that it has are
                named), or lacks weights that the hook's rows depend on.
        """
        import transformers

        loader = None if class_name is None else _auto_class(name, class_name)
        found = find(name, trusts_code)
        config = _config(found)
        tokenizer = _tokenizer(found, config)
        try:
            if loader is None:
                known = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
                own = trusts_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
                causal = config.model_type not in ENCODERS and (known or own)
                loader = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
            with found.guard:
                model, report = loader.from_pretrained(
                    found.source,
                    dtype=dtype,
                    device_map=device_map,
                    output_loading_info=True,
                    use_safetensors=True,
                    **found.options,
                )
        except Exception as error:  # as in `_config`
            raise found.refusal(error) from error
        placed = model.to(device) if device_map is None else model
        given = None if device_map is None else torch.device(device)
        loaded = cls(name, hook, loader.__name__, placed, tokenizer, found.fingerprint, frozenset(report["missing_keys"]), given)
        loaded._require_weights()
        return loaded

    @cached_property
    def d_model(self) -> int:
        """Width of the residual stream at the hook."""
        ids = torch.zeros(1, 1, dtype=torch.int64, device=self.device)
        return int(self.rows(ids, torch.ones_like(ids)).shape[-1])

    @property
    def _enters(self) -> torch.device:
        """Where token ids go: to the first weights, which are the embeddings; accelerate itself fetches what is stored apart."""
        first = next(self._model.parameters())
        return self.device if first.is_meta else first.device

    @property
    def dtype(self) -> str:
        """What weights and activations are held in: a key of DTYPES."""
        return str(next(self._model.parameters()).dtype).removeprefix("torch.")

    @property
    def class_name(self) -> str:
        """The transformers class the weights were loaded into."""
        return type(self._model).__name__

    @property
    def is_causal(self) -> bool:
        """Whether a row depends on earlier tokens only: not so in BERT and its kin."""
        config: Any = self._model.config
        return config.model_type not in ENCODERS

    @property
    def has_head(self) -> bool:
        """Whether it predicts the next token: it has a causal language-model head, and all of its weights are the saved ones."""
        model: Any = self._model
        if not self.is_causal or model.config.is_encoder_decoder or not model.can_generate():
            return False
        # transformers draws at random what the weights lack. A head that is tied to saved embeddings is not lacking.
        return model.get_output_embeddings() is not None and self._missing.isdisjoint(
            name for name, _ in model.named_parameters()
        )

    @property
    def max_tokens(self) -> int | None:
        """Most tokens that the model reads at once; None where it does not say."""
        config: Any = self._model.config
        return getattr(config.get_text_config(), "max_position_embeddings", None)

    @cached_property
    def specials(self) -> Specials:
        """The special tokens of its tokenizer."""
        return Specials(self.tokenizer)

    @property
    def specials_around(self) -> dict[str, list[str]]:
        """The special tokens that stand before and after the text of every window, as the tokenizer puts them."""
        return {
            "before": self.tokenizer.convert_ids_to_tokens(self.specials.prefix),
            "after": self.tokenizer.convert_ids_to_tokens(self.specials.suffix),
        }

    @property
    def embeddings(self) -> Float[Tensor, "vocabulary d_embedding"]:
        """The static word embedding of every token id."""
        weight: Tensor = self._model.get_input_embeddings().weight  # type: ignore[operator]
        return weight

    @torch.no_grad()
    def rows(
        self, token_ids: Int64[Tensor, "window position"], attended: Int64[Tensor, "window position"]
    ) -> Float[Tensor, "window position d_in"]:
        """Return the hook's output for padded windows; `attended` is 1 on real tokens and 0 on padding."""
        reached: list[Tensor] = []

        def stop(_module: nn.Module, _inputs: Any, output: Any) -> None:
            reached.append(self._stream(output, token_ids))
            raise _Reached

        handle = self._point.register_forward_hook(stop)
        try:
            self._model(input_ids=token_ids.to(self._enters), attention_mask=attended.to(self._enters))
        except _Reached:
            return reached[0].float().to(self.device)
        finally:
            handle.remove()
        raise self._not_reached()

    @torch.no_grad()
    def logits(
        self,
        token_ids: Int64[Tensor, "window position"],
        attended: Int64[Tensor, "window position"],
        replace: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "window position vocabulary"]:
        """Return what the whole model predicts after each token of padded windows, before the softmax.

        `replace` is given the hook's output as float32, (window, position, d_in), and returns what the blocks after it read in
        its place; it is rounded to the model's dtype.

        Raises:
            ModelError: the model has no causal language-model head, or its hook gives no rows.
        """
        if not self.has_head:
            raise ModelError(
                f"'{self.name}', loaded as {self.class_name}, has no causal language-model head in its weights, so that it "
                "predicts no tokens; name a model that has one with --model."
            )
        replaced: list[Tensor] = []

        def put(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            assert replace is not None
            given = self._stream(output, token_ids)
            replaced.append(replace(given.float().to(self.device)).to(given.device, given.dtype))
            return (replaced[-1], *output[1:]) if isinstance(output, tuple) else replaced[-1]

        handle = self._point.register_forward_hook(put) if replace is not None else None
        try:
            found = self._model(
                input_ids=token_ids.to(self._enters),
                attention_mask=attended.to(self._enters),
                use_cache=False,
                return_dict=True,
            )
        finally:
            if handle is not None:
                handle.remove()
        if replace is not None and not replaced:
            raise self._not_reached()
        logits: Tensor = found.logits
        return logits.float().to(self.device)

    def _stream(self, output: Any, token_ids: Tensor) -> Tensor:
        """Return the rows in what the hooked module gives: itself, or the first part of a tuple.

        Raises:
            ModelError: they are not one per token.
        """
        found = output[0] if isinstance(output, tuple) else output
        if isinstance(found, Tensor) and found.ndim == 3 and found.shape[:2] == token_ids.shape:
            return found
        kind = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ModelError(
            f"The hook '{self.hook}' of '{self.name}' gives {kind}, not a row per token; name a block (model.layers.12)."
        )

    def _require_weights(self) -> None:
        """Refuse a model whose rows would be made with parameters that the weights lack: transformers draws them at random."""
        if not self._missing:
            return
        ran: set[str] = set()
        modules = dict(self._model.named_modules())
        handles = [module.register_forward_pre_hook(lambda *_, name=name: ran.add(name)) for name, module in modules.items()]
        ids = torch.zeros(1, 1, dtype=torch.int64, device=self._enters)
        try:
            self.rows(ids, torch.ones_like(ids))
        finally:
            for handle in handles:
                handle.remove()
        used = {f"{name}.{own}" for name in ran for own, _ in modules[name].named_parameters(recurse=False)}
        if lacking := sorted(used & self._missing):
            raise ModelError(
                f"The weights of '{self.name}' lack {len(lacking)} of the tensors that rows at '{self.hook}' are made with, such "
                f"as {lacking[0]}; give the whole model."
            )

    def _not_reached(self) -> ModelError:
        return ModelError(f"The forward pass of '{self.name}' never reached the hook '{self.hook}'.")


class _Reached(Exception):  # noqa: N818 - it is a jump out of the forward pass, not an error
    """The forward pass has come to the hook."""


class Specials:
    """The special tokens that a tokenizer puts around a window, and those that are never evidence."""

    def __init__(self, tokenizer: Any) -> None:
        inner = tokenizer.encode("a", add_special_tokens=False)
        whole = tokenizer.encode("a")
        start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
        self.prefix: list[int] = whole[:start]
        self.suffix: list[int] = whole[start + len(inner) :]
        # The token for an unknown word stands for text; in some vocabularies it is an end-of-text token as well.
        unknown = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        self.ids: frozenset[int] = frozenset(tokenizer.all_special_ids) - unknown
        pad = tokenizer.pad_token_id
        self.pad: int = pad if pad is not None else tokenizer.eos_token_id or 0

    def wrap(self, token_ids: Sequence[int]) -> list[int]:
        """Return the window as the model is used to seeing it."""
        return [*self.prefix, *token_ids, *self.suffix]


def load_tokenizer(name: str, trusts_code: bool = False) -> Any:
    """Return the tokenizer of the model `name`, a hub id or a local folder; its own code runs only if it is trusted.

    Raises:
        ModelError: it cannot be loaded.
    """
    found = find(name, trusts_code)
    return _tokenizer(found, _config(found))


def _config(found: Pretrained) -> Any:
    import transformers

    try:
        with found.guard:
            return transformers.AutoConfig.from_pretrained(found.source, **found.options)
    except Exception as error:  # transformers raises whatever it stumbles on in a file that is not as it should be
        raise found.refusal(error) from error


def _tokenizer(found: Pretrained, config: Any) -> Any:
    import transformers

    try:
        with found.guard:
            tokenizer = transformers.AutoTokenizer.from_pretrained(found.source, config=config, **found.options)
    except Exception as error:  # as above
        raise found.refusal(error) from error
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
        raise ModelError(f"The language model '{found.name}' gives a {type(tokenizer).__name__} in place of a tokenizer.")
    return tokenizer


def _auto_class(name: str, class_name: str) -> Any:
    """Return the class of transformers that a checkpoint names.

    Raises:
        ModelError: it is another library's.
    """
    import transformers

    found = getattr(transformers, class_name, None) if class_name.startswith("AutoModel") else None
    if found is None:
        raise ModelError(
            f"transformers has no AutoModel class '{class_name}' to load '{name}' with; give --model and --hook, the path of a "
            "block in transformers' own model (model.layers.12)."
        )
    return found


def _module(model: nn.Module, hook: str) -> nn.Module:
    modules = dict(model.named_modules())
    if hook not in modules or not hook:
        near = ", ".join(nearest_hooks(hook, modules))
        raise ModelError(f"The model has no hook '{hook}'. The nearest it has: {near or 'none'}. Name one with --hook.")
    return modules[hook]


def nearest_hooks(hook: str, names: Iterable[str]) -> list[str]:
    """Return up to three of a model's modules that a mistyped hook may mean: blocks first, those of the nearest number foremost.

    A block is an entry of the outermost list of modules (`model.layers.12`); its output is the residual stream.
    """
    known = [name for name in names if name]
    blocks = [name for name in known if re.fullmatch(r"(\D+\.)?\d+", name)]
    number = next(iter(re.findall(r"\d+", hook)), None)

    def likeness(name: str) -> tuple[int, float]:
        away = 0 if number is None else abs(int(name.rpartition(".")[2]) - int(number))
        return -away, SequenceMatcher(None, hook, name).ratio()

    near = sorted(blocks, key=likeness, reverse=True)[:2]
    return list(dict.fromkeys([*near, *get_close_matches(hook, known, n=3, cutoff=0.3)]))[:3]


def _tokenizer_sha256(tokenizer: Any) -> str:
    """Return a hash of all that a tokenizer does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    described = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(described.encode()).hexdigest()
