"""Nothing that a model's folder or repository holds runs unasked, and what cannot be loaded safely is refused by name."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import tiny
from atlas.activations import pretrained
from atlas.activations.model import LanguageModel, load_tokenizer
from atlas.activations.own_code import OwnCode, kept_out
from atlas.activations.pretrained import find
from atlas.errors import ModelError
from atlas.harvest.inputs import describe_model
from pipelines import loading
from pipelines.cli import main

HOOK = tiny.HOOKS["gpt2"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

CODE = """
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

Path({canary!r}).touch()


class OwnConfig(GPT2Config):
    model_type = "own"


class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig


class OwnTokenizer(GPT2Tokenizer):
    pass
"""


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a value of None takes the key away."""
    stored = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))


@pytest.fixture
def folder(models: dict[str, Path], tmp_path: Path) -> Path:
    """A tiny model's folder that may be spoiled."""
    return Path(shutil.copytree(models["gpt2"], tmp_path / "model"))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is there as soon as code has run."""
    return tmp_path / "code has run"


@pytest.fixture
def own(folder: Path, canary: Path) -> Path:
    """A model that transformers does not know, with the code that makes it one."""
    (folder / "modeling_own.py").write_text(CODE.format(canary=str(canary)))
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    edit(folder / "config.json", model_type="own", architectures=["OwnModel"], auto_map=classes)
    edit(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["modeling_own.OwnTokenizer", None]},
    )
    return folder


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Fail where anything is asked on the terminal; own code is copied to a folder of the test's."""

    prompts: list[object] = []

    def asked(prompt: object = "") -> str:
        prompts.append(prompt)
        return "y"

    monkeypatch.setattr(builtins, "input", asked)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    loading._say_own_code.cache_clear()
    yield
    assert not prompts


def refused(load: Callable[..., object], *given: Any) -> str:
    """The one line that a model is refused with."""
    with pytest.raises(ModelError) as caught:
        load(*given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: LanguageModel.load(name, HOOK)], ids=["tokenizer", "model"])
def test_a_models_own_code_is_refused_with_what_it_would_do(load: Callable[[str], object], own: Path, canary: Path) -> None:
    said = refused(load, str(own))

    assert said == (
        f"The language model '{own}' brings Python code of its own (modeling_own.OwnConfig, modeling_own.OwnModel, "
        "modeling_own.OwnTokenizer), which would run with all your rights. Read that code; if you trust it, add "
        "--trust-remote-code."
    )
    assert not canary.exists()


def test_trusted_code_runs_and_its_hash_is_kept(own: Path, canary: Path, models: dict[str, Path]) -> None:
    model = LanguageModel.load(str(own), HOOK, trusts_code=True)

    assert canary.exists() and model.class_name == "OwnModel" and type(model.tokenizer).__name__ == "OwnTokenizer"
    ids = torch.arange(10, 26).view(2, 8)
    assert torch.equal(
        model.rows(ids, torch.ones_like(ids)), LanguageModel.load(str(models["gpt2"]), HOOK).rows(ids, torch.ones_like(ids))
    )
    first = describe_model(model)["own_code_sha256"]
    with (own / "modeling_own.py").open("a") as file:
        file.write("# changed\n")
    assert describe_model(LanguageModel.load(str(own), HOOK, trusts_code=True))["own_code_sha256"] != first


def test_code_that_is_not_needed_is_not_run(folder: Path, canary: Path) -> None:
    (folder / "modeling_own.py").write_text(CODE.format(canary=str(canary)))
    edit(folder / "config.json", auto_map={"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"})

    model = LanguageModel.load(str(folder), HOOK)

    assert not canary.exists() and model.class_name == "GPT2LMHeadModel" and "own_code_sha256" not in describe_model(model)


def test_a_command_says_which_code_it_trusts_and_whose(own: Path, canary: Path, tmp_path: Path) -> None:
    checkpoint = tiny.checkpoint(tmp_path / "checkpoint", {"model_name": str(own), "hook_name": HOOK})
    trace = ["trace", "one text", "--checkpoint", str(checkpoint), "--device", "cpu"]

    refusal = CliRunner().invoke(main, [*trace, "--model", str(own)])
    nameless = CliRunner().invoke(main, [*trace, "--trust-remote-code"])
    assert not canary.exists()
    trusted = CliRunner().invoke(main, [*trace, "--trust-remote-code", "--model", str(own)])

    assert refusal.exit_code == 1 and "add --trust-remote-code" in refusal.stderr
    assert nameless.exit_code == 1 and "--trust-remote-code trusts the model that --model names" in nameless.stderr
    assert trusted.exit_code == 0, trusted.stderr
    assert trusted.stderr.count(f"--trust-remote-code: {own} runs Python code of its own with your rights: modeling_own") == 1


@pytest.mark.parametrize("named", ["AutoModelForCausalLM", "AutoTokenizer", "RagRetriever", "logging", 5, ["x"]], ids=str)
def test_a_tokenizers_class_that_is_no_tokenizer_is_refused(named: object, own: Path, canary: Path) -> None:
    edit(own / "tokenizer_config.json", tokenizer_class=named, auto_map=None)

    assert f"names {named!r} as its tokenizer's class; that is no tokenizer" in refused(load_tokenizer, str(own))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("tokenizer", "config"),
    [
        ("AutoProcessorFast", None),
        ("AutoModelFast", None),
        ("GenerationConfigFast", None),
        ("AutoTokenizerFast", None),
        (None, "AutoProcessor"),
        ("", "AutoProcessor"),
        ("", "GenerationConfig"),
    ],
)
@pytest.mark.parametrize("is_looked_at", [True, False], ids=["by name", "by what it would run"])
def test_a_class_that_would_lead_to_own_code_is_refused_however_it_is_spelt(
    tokenizer: str | None,
    config: str | None,
    is_looked_at: bool,
    own: Path,
    canary: Path,
    monkeypatch: pytest.MonkeyPatch,
    models: dict[str, Path],
) -> None:
    if not is_looked_at:  # what if the look missed one?
        monkeypatch.setattr(pretrained, "_require_tokenizer", lambda *_: None)
    shutil.copy(models["gpt2"] / "config.json", own / "config.json")
    code = {auto: "modeling_own.OwnTokenizer" for auto in ("AutoProcessor", "AutoFeatureExtractor", "AutoModel")}
    edit(own / "config.json", auto_map=code, tokenizer_class=config, model_type="bert")
    edit(own / "tokenizer_config.json", auto_map=None, tokenizer_class=tokenizer)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (own / name).write_text(json.dumps({"auto_map": code, "processor_class": "OwnTokenizer"}))

    refused(load_tokenizer, str(own))

    assert not canary.exists()


def test_transformers_is_kept_from_own_code_while_it_loads_and_then_as_before(own: Path, canary: Path) -> None:
    from transformers import dynamic_module_utils
    from transformers.dynamic_module_utils import get_class_from_dynamic_module, resolve_trust_remote_code

    before = dict(vars(dynamic_module_utils))
    with kept_out():
        for trusted in (None, True):
            with pytest.raises(OwnCode):
                resolve_trust_remote_code(None, str(own), False, True)
            with pytest.raises(OwnCode):
                get_class_from_dynamic_module("modeling_own.OwnModel", str(own), trust_remote_code=trusted)
    assert not canary.exists() and vars(dynamic_module_utils) == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"_attn_implementation": "kernels-community/flash-attn2"}, "_attn_implementation = 'kernels-community/flash-attn2'"),
        ({"attn_implementation": "sdpa|someone/kernel@main:f"}, "attn_implementation = 'sdpa|someone/kernel@main:f'"),
        ({"attn_implementation": {"": "eager", "text_config": "a/b"}}, "attn_implementation = 'a/b'"),
        ({"text_config": [{"_experts_implementation": "sonicmoe"}]}, "_experts_implementation = 'sonicmoe'"),
        ({"kernel_config": {"RMSNorm": "someone/norm:RMSNorm"}}, "kernel_config = 'someone/norm:RMSNorm'"),
    ],
    ids=str,
)
def test_kernels_that_a_configuration_asks_for_are_refused(changes: dict[str, Any], named: str, folder: Path) -> None:
    edit(folder / "config.json", **changes)

    assert f"its config.json has {named}, code from elsewhere" in refused(find, str(folder))


def test_implementations_of_transformers_may_be_chosen(folder: Path) -> None:
    edit(folder / "config.json", attn_implementation="eager", step_kernel="native", conv_kernel=4)

    assert LanguageModel.load(str(folder), HOOK).d_model == tiny.D_MODEL


def test_a_chat_template_is_never_rendered(folder: Path, canary: Path) -> None:
    template = "{{ cycler.__init__.__globals__.os.system('touch \"" + str(canary) + "\"') }}"
    (folder / "chat_template.jinja").write_text(template)
    edit(folder / "tokenizer_config.json", chat_template=template)

    assert load_tokenizer(str(folder)).encode("a text")
    assert not canary.exists()


def test_an_adapter_is_refused_rather_than_left_out(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else", "peft_type": "LORA"}))

    assert "is an adapter of another one (adapter_config.json)" in refused(find, str(folder))


@pytest.mark.parametrize(
    "part", ["../else.safetensors", "/etc/passwd", "pytorch_model.bin", "sub/../../x.safetensors", "..\\x.safetensors", 5, None]
)
def test_an_index_that_leads_to_other_files_is_refused(part: object, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "else.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"w": part}}))

    assert refused(find, str(folder)) == (
        f"The language model '{folder}' names {part!r} in its model.safetensors.index.json; "
        "only .safetensors files beside it are read."
    )


def test_weights_in_several_files_are_read(folder: Path, models: dict[str, Path]) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(tensors)}
    for part in set(parts.values()):
        save_file({name: tensors[name] for name in tensors if parts[name] == part}, folder / part, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))
    ids = torch.ones(1, 4, dtype=torch.int64)

    assert torch.equal(
        LanguageModel.load(str(folder), HOOK).rows(ids, ids), LanguageModel.load(str(models["gpt2"]), HOOK).rows(ids, ids)
    )


def test_weights_that_rows_need_and_do_not_have_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    lacking = [name for name in tensors if name.endswith("h.1.mlp.c_fc.weight") or name.endswith("h.2.mlp.c_fc.weight")]
    assert len(lacking) == 2
    save_file({name: tensors[name] for name in tensors if name not in lacking}, folder / "model.safetensors", {"format": "pt"})

    assert (
        "lack 1 of the tensors that rows at 'transformer.h.1' are made with, such as transformer.h.1.mlp.c_fc.weight"
        in refused(LanguageModel.load, str(folder), HOOK)
    )
    assert LanguageModel.load(str(folder), "transformer.h.0").d_model == tiny.D_MODEL, "blocks behind the hook are not needed"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", "[" * 100_000),
        ("config.json", "\0"),
        ("tokenizer_config.json", "5"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "\x80\x04."),
        ("model.safetensors.index.json", '"x"'),
    ],
)
def test_a_broken_file_is_one_line(file: str, content: str, folder: Path) -> None:
    (folder / file).write_text(content)

    assert f"'{folder}'" in refused(load_tokenizer, str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_embd": "x"},
        {"n_embd": -4},
        {"n_embd": 32},
        {"model_type": ["x"]},
        {"model_type": "no_such"},
        {"attn_implementation": "someone/kernel"},
        {"transformers_weights": "../x.safetensors"},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    ],
    ids=str,
)
def test_a_configuration_that_is_not_the_weights_is_one_line(changes: dict[str, Any], folder: Path) -> None:
    edit(folder / "config.json", **changes)

    assert "cannot be loaded: " in refused(LanguageModel.load, str(folder), HOOK)


def test_a_file_is_no_model(folder: Path) -> None:
    assert "is a file; give its folder" in refused(load_tokenizer, str(folder / "model.safetensors"))


@pytest.mark.parametrize(
    "name", ["../../x", "a/b/c", "a b", "\0", "a/" + "x" * 300, "/no/such/folder", "-rf", "https://example.org/x"]
)
def test_a_name_that_is_no_model_is_one_line(name: str) -> None:
    refused(find, name)


def test_a_model_of_the_hub_is_known_by_its_commit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canary: Path
) -> None:
    repository = tmp_path / "hub" / "models--someone--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    model = LanguageModel.load("someone/small", HOOK)

    assert model.fingerprint == COMMIT
    (repository / "snapshots" / COMMIT / "adapter_config.json").write_text("{}")
    assert "is an adapter" in refused(find, "someone/small")
