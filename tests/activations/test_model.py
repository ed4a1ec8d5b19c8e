"""The language model stops at its hook, with the rows that the whole model would have there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
)

import tiny
from atlas.activations.model import (
    DEVICE_MAPS,
    DTYPES,
    LanguageModel,
    load_tokenizer,
    nearest_hooks,
)
from atlas.activations.pretrained import PACKAGED_MODEL, packaged_folder
from atlas.errors import ModelError


@pytest.fixture(params=tiny.FAMILIES)
def family(request: pytest.FixtureRequest, models: dict[str, Path]) -> LanguageModel:
    """A tiny model of every family, cut after its second block."""
    return LanguageModel.load(str(models[request.param]), tiny.HOOKS[request.param])


def hidden_states(model: LanguageModel, ids: Tensor) -> Tensor:
    """Return what the model itself says it holds after its second block."""
    dtype = DTYPES[model.dtype]
    whole = AutoModel.from_pretrained(model.name, dtype=dtype)(input_ids=ids, output_hidden_states=True).hidden_states
    # hidden_states[0] are the embeddings, so block 1 of 0, 1, 2 ends at index 2.
    return whole[2].float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_rows_equal_the_hidden_states_after_the_hooked_block(kind: str, dtype: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind], dtype=DTYPES[dtype])
    ids = torch.arange(10, 26).view(2, 8)

    rows = model.rows(ids, torch.ones_like(ids))

    torch.testing.assert_close(rows, hidden_states(model, ids))


def test_rows_are_the_first_part_of_a_tuple(family: LanguageModel) -> None:
    ids = torch.arange(10, 26).view(2, 8)
    expected = family.rows(ids, torch.ones_like(ids))
    forward = family._point.forward
    # As blocks of earlier transformers and of models outside of it give them, attention weights behind.
    family._point.forward = lambda *given, **named: (forward(*given, **named), None)

    assert torch.equal(family.rows(ids, torch.ones_like(ids)), expected)


def test_padding_does_not_change_rows(family: LanguageModel) -> None:
    # Longer than the window that every other block of Gemma sees.
    lengths = [5, tiny.SLIDING_WINDOW + 1, 40]
    ids = torch.zeros(3, 64, dtype=torch.int64)
    attended = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(10, 10 + length)
        attended[row, :length] = 1

    rows = family.rows(ids, attended)

    for row, length in enumerate(lengths):
        alone = family.rows(ids[row : row + 1, :length], attended[row : row + 1, :length])[0]
        torch.testing.assert_close(rows[row, :length], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(alone, hidden_states(family, ids[row : row + 1, :length])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gemma2", "gemma3"])
def test_block_with_a_sliding_window_sees_no_further_back(kind: str, models: dict[str, Path]) -> None:
    first, second = (LanguageModel.load(str(models[kind]), f"model.layers.{block}") for block in (0, 1))
    ids = torch.arange(10, 50).view(1, 40)
    other = torch.cat([torch.tensor([[600]]), ids[:, 1:]], dim=1)

    differs = [(model.rows(ids, ids) != model.rows(other, ids))[0].any(dim=1) for model in (first, second)]

    assert differs[0].nonzero().flatten().tolist() == list(range(tiny.SLIDING_WINDOW))
    assert differs[1].all()


def test_blocks_after_the_hook_are_never_run(models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"])
    ran: list[int] = []
    for index, block in enumerate(model._model.model.layers):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    ids = torch.ones(1, 4, dtype=torch.int64)

    model.rows(ids, ids)

    assert ran == [0, 1]


def test_unknown_hook_names_the_nearest(models: dict[str, Path]) -> None:
    with pytest.raises(
        ModelError, match=r"no hook 'model.layer.1'\. The nearest it has: model\.layers\.1, .*\. Name one with --hook\.$"
    ):
        LanguageModel.load(str(models["llama"]), "model.layer.1")


@pytest.mark.parametrize(
    ("hook", "nearest"),
    [
        ("model.layers.7", "model.layers.2"),
        ("layers.1", "model.layers.1"),
        ("blocks.1.hook_resid_post", "model.layers.1"),
        ("model.layers.1.mpl", "model.layers.1"),
        ("h.0", "model.layers.0"),
        ("", "model.layers.0"),
    ],
)
def test_nearest_hook_is_a_block_of_the_nearest_number(hook: str, nearest: str) -> None:
    names = ["", "model", "model.embed_tokens", "model.layers", "model.norm", "lm_head"]
    for block in range(3):
        names += [f"model.layers.{block}{part}" for part in ("", ".self_attn", ".self_attn.q_proj", ".mlp", ".mlp.experts.1")]

    found = nearest_hooks(hook, names)

    assert found[0] == nearest
    assert len(found) == len(set(found)) <= 3 and "" not in found
    if hook == "model.layers.1.mpl":
        assert "model.layers.1.mlp" in found


def test_model_without_blocks_names_what_it_has() -> None:
    assert nearest_hooks("encoderr", ["", "pooler", "encoder"])[0] == "encoder"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_rows_of_a_shorter_dtype_are_close_and_given_as_float32(kind: str, dtype: str, models: dict[str, Path]) -> None:
    full = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind])
    short = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind], dtype=DTYPES[dtype])
    ids = torch.arange(10, 74).view(2, 32)

    expected, rows = full.rows(ids, torch.ones_like(ids)), short.rows(ids, torch.ones_like(ids))

    assert (full.dtype, short.dtype) == ("float32", dtype)
    assert rows.dtype == torch.float32
    # bfloat16 keeps 8 bits, float16 11; what a block adds is some times as long as what it is added to.
    scale = float(expected.abs().max())
    assert 0 < float((rows - expected).abs().max()) < scale * {"bfloat16": 2**-5, "float16": 2**-8}[dtype]


def test_broken_weights_say_so(models: dict[str, Path], tmp_path: Path) -> None:
    copied = shutil.copytree(models["bert"], tmp_path / "bert")
    (copied / "model.safetensors").write_bytes(b"half")

    with pytest.raises(ModelError, match="^The language model '.*bert' cannot be loaded: .*header"):
        LanguageModel.load(str(copied), tiny.HOOKS["bert"])


def test_missing_model_says_so() -> None:
    with pytest.raises(ModelError, match="'nowhere/nothing' cannot be loaded"):
        LanguageModel.load("nowhere/nothing", "h.0")


AROUND = {
    "gpt2": ([], []),
    "llama": (["<s>"], []),
    "bert": (["[CLS]"], ["[SEP]"]),
    "gemma2": (["<bos>"], []),
    "gemma3": (["<bos>"], []),
    "qwen": ([], []),
    "pythia": ([], []),
}


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_specials_are_the_tokenizers_own(kind: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind])
    before, after = AROUND[kind]

    inner = model.tokenizer.encode("every expert", add_special_tokens=False)

    assert model.specials.wrap(inner) == model.tokenizer.encode("every expert")
    assert model.specials_around == {"before": before, "after": after}
    assert set(model.tokenizer.convert_tokens_to_ids([*before, *after])) <= model.specials.ids


@pytest.mark.parametrize("kind", tiny.FAMILIES)
def test_each_family_keeps_the_tokenizer_of_its_own(kind: str, models: dict[str, Path]) -> None:
    names = {"gpt2": "GPT2", "llama": "Llama", "bert": "Bert", "qwen": "Qwen2", "pythia": "GPTNeoX"}

    assert type(load_tokenizer(str(models[kind]))).__name__ == f"{names.get(kind, 'Gemma')}Tokenizer"


def test_text_part_of_a_model_that_also_sees_is_used(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["gemma3"], tmp_path / "seeing")
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    text = Gemma3TextConfig.from_pretrained(models["gemma3"]).to_dict()
    seeing = Gemma3Config(text_config=text, vision_config={**vision, "image_size": 28, "patch_size": 14})
    Gemma3ForConditionalGeneration(seeing).save_pretrained(tmp_path / "seeing")

    model = LanguageModel.load(str(tmp_path / "seeing"), "model.language_model.layers.1")

    assert (model.class_name, model.d_model, model.max_tokens) == ("Gemma3ForConditionalGeneration", tiny.D_MODEL, 128)
    assert model.has_head and model.is_causal


def test_packaged_model_is_the_published_one() -> None:
    assert packaged_folder() is not None
    model = LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2")

    assert (model.d_model, model.is_causal, model.auto_class) == (384, False, "AutoModel")


def test_model_is_the_same_one_however_its_tokenizer_was_used() -> None:
    used, fresh = (LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2") for _ in range(2))
    used.tokenizer("a sentence", add_special_tokens=False, return_offsets_mapping=True)
    used.tokenizer.encode("a document", verbose=False)

    assert used.tokenizer_sha256 == fresh.tokenizer_sha256
    assert used.tokenizer_sha256 == LanguageModel.load(PACKAGED_MODEL, "encoder.layer.2").tokenizer_sha256


@pytest.mark.parametrize(("hook", "found"), [("encoder", "BaseModelOutput"), ("pooler", r"shape \(1, 16\)")])
def test_hook_that_gives_no_rows_is_refused(hook: str, found: str, models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=f"hook '{hook}' of .* gives .*{found}.*not a row per token"):
        _ = LanguageModel.load(str(models["bert"]), hook).d_model


def test_class_that_loads_no_model_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="no AutoModel class 'logging'"):
        LanguageModel.load(str(models["bert"]), tiny.HOOKS["bert"], "logging")


# Which class loads a model


@pytest.fixture(scope="module")
def bodies(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the same models saved without a head, and of a BERT saved with its masked one."""
    root = tmp_path_factory.mktemp("bodies")
    for kind in ("gpt2", "llama"):
        shutil.copytree(models[kind], root / kind)
        AutoModel.from_pretrained(models[kind]).save_pretrained(root / kind)
    shutil.copytree(models["bert"], root / "bert")
    AutoModelForMaskedLM.from_pretrained(models["bert"]).save_pretrained(root / "bert")
    return {kind: root / kind for kind in tiny.KINDS}


@pytest.mark.parametrize("saved", ["with its head", "without"])
@pytest.mark.parametrize(
    ("kind", "auto_class"), [("gpt2", "AutoModelForCausalLM"), ("llama", "AutoModelForCausalLM"), ("bert", "AutoModel")]
)
def test_causal_models_keep_their_head_and_encoders_have_none(
    kind: str, auto_class: str, saved: str, models: dict[str, Path], bodies: dict[str, Path]
) -> None:
    model = LanguageModel.load(str((models if saved == "with its head" else bodies)[kind]), tiny.HOOKS[kind])

    assert model.auto_class == auto_class
    # GPT-2's head is its embeddings, and Llama's a matrix of its own.
    assert model.has_head == (kind == "gpt2" or (kind == "llama" and saved == "with its head"))


@pytest.mark.parametrize(
    ("kind", "named", "hook", "has_head"),
    [
        ("gpt2", "AutoModel", "h.1", False),
        ("gpt2", "AutoModelForCausalLM", "transformer.h.1", True),
        ("bert", "AutoModelForMaskedLM", "bert.encoder.layer.1", False),
        ("bert", "AutoModelForCausalLM", "bert.encoder.layer.1", False),
    ],
)
def test_class_that_a_checkpoint_names_is_used(
    kind: str, named: str, hook: str, has_head: bool, models: dict[str, Path], bodies: dict[str, Path]
) -> None:
    model = LanguageModel.load(str((bodies if kind == "bert" else models)[kind]), hook, named)

    assert (model.auto_class, model.has_head) == (named, has_head)


def test_class_of_another_library_is_refused_before_anything_is_loaded() -> None:
    message = "^transformers has no AutoModel class 'HookedTransformer' to load 'nowhere/nothing' with; give --model and --hook"
    with pytest.raises(ModelError, match=message):
        LanguageModel.load("nowhere/nothing", "blocks.8.hook_resid_pre", "HookedTransformer")


# Predictions

CAUSAL = ("gpt2", "llama")


def padded_ids() -> tuple[Tensor, Tensor]:
    """Two windows of eight and five tokens, and where they are."""
    ids = torch.arange(10, 26).view(2, 8)
    attended = torch.ones_like(ids)
    attended[1, 5:] = 0
    return ids, attended


def whole_model(folder: Path) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", CAUSAL)
def test_logits_are_the_models_own(kind: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind])
    ids, attended = padded_ids()

    expected = whole_model(models[kind])(input_ids=ids, attention_mask=attended).logits

    assert torch.equal(model.logits(ids, attended), expected)
    assert expected.shape == (2, 8, len(model.embeddings)) and expected.std() > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", CAUSAL)
def test_replacing_the_hook_by_itself_changes_nothing(kind: str, dtype: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind], dtype=DTYPES[dtype])
    ids, attended = padded_ids()
    seen: list[Tensor] = []

    def same(x: Tensor) -> Tensor:
        seen.append(x)
        return x

    logits = model.logits(ids, attended, replace=same)

    assert logits.dtype == torch.float32
    assert torch.equal(logits, model.logits(ids, attended))
    assert len(seen) == 1 and torch.equal(seen[0], model.rows(ids, attended))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", CAUSAL)
def test_replacing_the_hook_is_what_another_hook_does(kind: str, dtype: str, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models[kind]), tiny.HOOKS[kind], dtype=DTYPES[dtype])
    ids, attended = padded_ids()
    shift = torch.linspace(-1, 1, tiny.D_MODEL)
    whole = whole_model(models[kind]).to(DTYPES[dtype])
    # A block reads its input after the one before it has written: what block 2 reads is what block 1 gave.
    third = dict(whole.named_modules())[tiny.HOOKS[kind].replace(".1", ".2")]

    for replace in (torch.zeros_like, lambda x: x * 0.5 + shift):

        def read(_: nn.Module, inputs: tuple[Tensor, ...], replace=replace) -> tuple[Tensor, ...]:
            return (replace(inputs[0].float()).to(DTYPES[dtype]), *inputs[1:])

        handle = third.register_forward_pre_hook(read)
        expected = whole(input_ids=ids, attention_mask=attended).logits.float()
        handle.remove()

        logits = model.logits(ids, attended, replace=replace)

        assert torch.equal(logits, expected)
        assert not torch.equal(logits, model.logits(ids, attended)), "nothing stays behind, and replacing does something"


def test_other_parts_of_a_tuple_stay(models: dict[str, Path]) -> None:
    # The attention gives its output and its weights; with the output as it was, so are the predictions.
    model = LanguageModel.load(str(models["llama"]), "model.layers.1.self_attn")
    ids, attended = padded_ids()
    whole = whole_model(models["llama"])
    given: list[object] = []
    whole.model.layers[1].self_attn.register_forward_hook(lambda _m, _i, output: given.append(output))
    whole.model.layers[1].self_attn.o_proj.register_forward_hook(lambda _m, _i, output: torch.zeros_like(output))

    expected = whole(input_ids=ids, attention_mask=attended).logits

    assert isinstance(given[0], tuple) and len(given[0]) == 2
    assert torch.equal(model.logits(ids, attended, replace=torch.zeros_like), expected)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_model_without_a_head_predicts_nothing(kind: str, models: dict[str, Path], bodies: dict[str, Path]) -> None:
    model = LanguageModel.load(str({"bert": models["bert"], "llama": bodies["llama"]}[kind]), tiny.HOOKS[kind])

    with pytest.raises(ModelError, match=rf"{kind}', loaded as {model.class_name}, has no causal language-model head"):
        model.logits(*padded_ids())


def test_predictions_need_a_hook_that_gives_rows(models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(models["llama"]), "model")

    with pytest.raises(ModelError, match=r"hook 'model' of .* gives a BaseModelOutput.*not a row per token"):
        model.logits(*padded_ids(), replace=torch.zeros_like)


# Several devices

PARTS: dict[str, str | int] = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.layers.2": "cpu",
    "model.norm": "cpu",
    "lm_head": "disk",
}
"""A second place, where there is one device: accelerate fetches what is on disk when it is run."""


@pytest.mark.parametrize(
    "device_map", ["cpu", *DEVICE_MAPS, PARTS, {"model": "disk", "lm_head": "cpu"}], ids=["cpu", *DEVICE_MAPS, "parts", "apart"]
)
def test_model_in_several_places_gives_the_same(device_map: str | dict[str, str | int], models: dict[str, Path]) -> None:
    whole = LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"])
    spread = LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"], device_map=device_map)
    ids, attended = padded_ids()

    assert spread.device == torch.device("cpu")
    assert (spread.d_model, spread.dtype, spread.has_head) == (whole.d_model, whole.dtype, True)
    assert torch.equal(spread.rows(ids, attended), whole.rows(ids, attended))
    assert torch.equal(spread.logits(ids, attended), whole.logits(ids, attended))
    assert torch.equal(
        spread.logits(ids, attended, replace=torch.zeros_like), whole.logits(ids, attended, replace=torch.zeros_like)
    )


def test_rows_are_given_where_they_are_asked_for(models: dict[str, Path]) -> None:
    # There is no second device to compute on here; the one without values stands for it.
    model = LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"], device="meta", device_map="cpu")
    ids, attended = padded_ids()
    seen: list[str] = []

    def replace(x: Tensor) -> Tensor:
        seen.append(x.device.type)
        return torch.zeros(x.shape)

    assert model.device.type == "meta" and model.embeddings.device.type == "cpu"
    assert model.rows(ids, attended).device.type == "meta"
    assert model.logits(ids, attended, replace=replace).device.type == "meta"
    assert seen == ["meta"]


def test_device_map_that_names_no_place_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="llama' cannot be loaded: "):
        LanguageModel.load(str(models["llama"]), tiny.HOOKS["llama"], device_map="everywhere")
