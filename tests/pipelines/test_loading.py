"""Commands load the model that is named, where it is asked for, and say what differs from the dictionary's training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import tiny
from atlas.activations.model import DEVICE_MAPS
from atlas.errors import ConfigError
from pipelines.cli import main
from pipelines.loading import Subject, load_subject, named_subject, torch_device
from pipelines.options import SubjectOptions, device_map_option


def loaded(models: dict[str, Path], kind: str, folder: Path, device_map: str = "none", **metadata: Any) -> Subject:
    """Return the subject of a checkpoint for one of the tiny models."""
    named = {"model_name": str(models[kind]), "hook_name": tiny.HOOKS[kind], **metadata}
    tiny.checkpoint(folder / "checkpoint", named)
    return load_subject(named_subject(SubjectOptions(str(folder / "checkpoint"), None, None, "cpu", "float32", device_map)))


@pytest.mark.parametrize(
    ("kind", "prepend_bos", "is_said"),
    [
        ("gpt2", True, True),
        ("qwen", True, True),
        ("gpt2", False, False),
        ("gpt2", None, False),
        ("gemma2", True, False),
        ("llama", True, False),
        ("bert", True, False),
    ],
)
def test_training_behind_a_token_that_the_tokenizer_does_not_put_is_said(
    kind: str,
    prepend_bos: bool | None,
    is_said: bool,
    models: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    metadata = {} if prepend_bos is None else {"prepend_bos": prepend_bos}

    subject = loaded(models, kind, tmp_path, **metadata)

    said = capsys.readouterr()
    expected = (
        "The checkpoint was trained behind a beginning-of-text token (prepend_bos), and the model's tokenizer puts none; "
        "the windows go without."
    )
    assert said.err.splitlines()[1:] == ([expected] if is_said else [])
    assert said.out == ""
    assert subject.model.specials_around["before"] == {"gemma2": ["<bos>"], "llama": ["<s>"], "bert": ["[CLS]"]}.get(kind, [])


@pytest.mark.parametrize("device_map", ["none", *DEVICE_MAPS])
def test_model_is_spread_as_asked(
    device_map: str, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    load = AutoModelForCausalLM.from_pretrained
    asked: list[str | None] = []

    def from_pretrained(source: str, device_map: str | None, **more: Any) -> Any:
        asked.append(device_map)
        return load(source, device_map=device_map, **more)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", from_pretrained)

    subject = loaded(models, "llama", tmp_path, device_map)

    assert asked == [None if device_map == "none" else device_map]
    assert subject.model.device == subject.checkpoint.smixae.weights.W_enc.device == torch.device("cpu")
    where = "cpu" if device_map == "none" else f"devices as '{device_map}' spreads it"
    assert capsys.readouterr().err == f"Loading {models['llama']}, cut at model.layers.1, on {where}\n"


def test_option_names_the_maps_that_there_are() -> None:
    decorated: Any = device_map_option(lambda: None)
    (option,) = decorated.__click_params__

    assert option.type.choices == ("none", *DEVICE_MAPS) and option.default == "none"


def test_spread_model_measures_the_same(models: dict[str, Path], corpus_file: Path, tmp_path: Path) -> None:
    named = {"model_name": str(models["llama"]), "hook_name": tiny.HOOKS["llama"], "context_size": 48}
    tiny.checkpoint(tmp_path / "checkpoint", named)
    command = ["inspect", str(tmp_path / "checkpoint"), "--json", "--corpus", str(corpus_file), "--tokens", "300"]

    whole, spread = (CliRunner().invoke(main, [*command, "--device-map", name]) for name in ("none", "balanced"))

    assert (whole.exit_code, spread.exit_code) == (0, 0)
    assert whole.stdout == spread.stdout and '"fold"' in whole.stdout


def test_map_without_anything_to_run_is_refused(tmp_path: Path) -> None:
    tiny.checkpoint(tmp_path / "checkpoint", {})

    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "checkpoint"), "--device-map", "auto"])

    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == "Error: --device-map says nothing without text to measure on; add --corpus.\n"


@pytest.mark.parametrize(
    ("rank", "expected"), [(None, "cuda"), ("0", "cuda:0"), ("3", "cuda:3"), ("5", "cuda:1")], ids=["alone", "0", "3", "5"]
)
def test_each_process_of_torchrun_has_a_gpu_of_its_own(rank: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    current: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.set_device", current.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)

    assert torch_device("auto") == torch_device("cuda") == torch.device(expected)
    assert torch_device("cpu") == torch.device("cpu")
    assert current == ([] if rank is None else [torch.device(expected)] * 2)


def test_without_a_gpu_there_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")

    assert torch_device("auto") == torch_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="--device cuda was asked for, but torch sees no CUDA device; use --device cpu"):
        torch_device("cuda")
