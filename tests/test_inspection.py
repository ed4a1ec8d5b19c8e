from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.bake import BakeConfig, bake
from atlas.dictionary import Checkpoint, save
from atlas.errors import AtlasDamaged, CheckpointError, NothingToInspect, StageDamaged
from atlas.harvest.config import HarvestConfig
from atlas.harvest.harvest import harvest
from atlas.harvest.survey import survey
from atlas.inspection import Inspection, inspect
from atlas.sealed import write_arrays, write_json
from atlas.stages import Stage
from atlas.store import SCHEMA_VERSION, Store, write_atlas
from synthetic import synthetic_tables, write_synthetic

INPUTS = {"checkpoint": "abc", "settings": {"seed": 0}}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint that says what it was trained on."""
    return tiny.checkpoint(tmp_path_factory.mktemp("checkpoint") / "c", {"model_name": "gpt2", "atlas": {"k": 3}}, threshold=0.25)


def part(work: Path, index: int, count: int, next_chunk: int, chunks: int) -> Path:
    """What a harvest keeps of a shard that was stopped."""
    about = {"inputs": INPUTS, "corpus": 0, "next_chunk": next_chunk, "chunks": chunks, "finished": next_chunk == chunks}
    path = work / "harvest" / "corpus-0" / f"part-{index}-of-{count}.safetensors"
    write_arrays(path, {"x": np.zeros(1)}, {"about": json.dumps(about)})
    write_json(work / "harvest" / "subject.json", {"corpora": [{"chunks": chunks}, {"chunks": 2}]})
    return path


# A checkpoint


def test_a_checkpoint_is_what_loading_it_says(checkpoint: Path) -> None:
    found, loaded = inspect(checkpoint), Checkpoint.load(checkpoint)
    config = loaded.smixae.config
    assert (found.kind, found.path) == ("checkpoint", str(checkpoint))
    assert found.groups["checkpoint"] == {
        "architecture": loaded.architecture,
        "d_in": config.d_in,
        "experts": config.n_experts,
        "d_expert": config.d_expert,
        "d_code": config.d_code,
        "rescaled_by_decoder_norm": True,
        "normalisation": "none",
        "threshold": 0.25,
        "parameters": sum(tensor.numel() for tensor in loaded.smixae.weights),
        "bytes": sum(path.stat().st_size for path in checkpoint.iterdir()),
        "sha256": loaded.sha256,
    }
    assert found.groups["metadata"] == {"sae_lens_version": "6.39.0", "model_name": "gpt2", "atlas.k": 3}
    shape = f"F32 {config.d_in} × {config.n_experts * config.d_expert}"
    assert found.groups["tensors"]["W_enc"] == shape
    assert found.groups["tensors"]["threshold"] == "F64 scalar"


def test_a_good_checkpoint_has_no_problems(checkpoint: Path) -> None:
    assert "problems" not in inspect(checkpoint).groups


def changed(folder: Path, config: dict[str, object], tensors: dict[str, torch.Tensor | None]) -> None:
    """Change keys of cfg.json, and tensors; None takes one away."""
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    kept = {name: tensor for name, tensor in (load_file(folder / WEIGHTS) | tensors).items() if tensor is not None}
    save_file(kept, folder / WEIGHTS)


WEIGHTS = "sae_weights.safetensors"


@pytest.mark.parametrize(
    ("config", "tensors", "problem"),
    [
        pytest.param({"architecture": "topk"}, {}, {"architecture": "not smixae or smixae_rebased"}, id="architecture"),
        pytest.param({"d_in": -1}, {}, {"widths": "d_in, n_experts, d_expert and d_bottleneck have to be"}, id="width"),
        pytest.param({}, {"W_enc": torch.zeros(2, 3)}, {"W_enc": "F32 2 × 3, where cfg.json says 16 × 48"}, id="shape"),
        pytest.param({}, {"W_bottleneck": None}, {"W_bottleneck": "missing"}, id="tensor"),
        pytest.param({}, {"b_dec": torch.zeros(16, dtype=torch.int32)}, {"b_dec": "I32 16: no floating numbers"}, id="integers"),
        pytest.param({}, {"threshold": torch.tensor(-1.0)}, {"threshold": "has to be one number, not below 0"}, id="threshold"),
        pytest.param({}, {"W_dec": torch.full((48, 16), torch.nan)}, {"decoder norms": "not finite"}, id="numbers"),
        pytest.param(
            {"normalize_activations": "expected_average_only_in"},
            {},
            {"activation_scaler.json": "missing, and rows of"},
            id="factor",
        ),
    ],
)
def test_what_a_checkpoint_would_be_refused_for_is_named(
    config: dict[str, object], tensors: dict[str, torch.Tensor | None], problem: dict[str, str], tmp_path: Path
) -> None:
    folder = tiny.checkpoint(tmp_path / "c", {})
    changed(folder, config, tensors)

    found = inspect(folder).groups["problems"]

    assert found.keys() == problem.keys()
    assert all(str(found[name]).startswith(said) for name, said in problem.items())
    with pytest.raises(CheckpointError):
        Checkpoint.load(folder)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("numbers", [1, 200, 10**9], ids=["an expert at a time", "three at a time", "all at once"])
def test_decoder_norms_are_those_of_the_dictionary(
    numbers: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.inspection.BLOCK_NUMBERS", numbers)
    smixae = tiny.dictionary()
    smixae.weights.W_dec[4:8] = 0.0
    save(smixae, tmp_path, {})
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    stored = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(stored, tmp_path / "sae_weights.safetensors")

    found = inspect(tmp_path).groups

    norms = Checkpoint.load(tmp_path).smixae.decoder_norm.double().numpy()
    assert found["decoder norms"] == pytest.approx(
        {"min": 0.0, "median": np.median(norms), "max": norms.max(), "zero": 1}, rel=1e-5
    )
    assert found["checkpoint"]["threshold"] == pytest.approx(float(stored["threshold"]), rel=1e-7)


def test_published_shapes_give_the_published_counts_of_parameters(tmp_path: Path) -> None:
    n, e, d, m = 2048, 16, 3, 2304
    shapes = {
        "W_enc": [m, n * e],
        "b_enc": [n * e],
        "W_bottleneck": [n, e, d],
        "W_latent_dec": [n, d, e],
        "W_dec": [n * e, m],
        "b_dec": [m],
        "threshold": [],
        "n_passes_since_fired": [n],
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + 2 * math.prod(shape)]}
    text = json.dumps(header).encode()
    with (tmp_path / "sae_weights.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        # A file of zeros that takes no room on the disk.
        file.truncate(8 + len(text) + end)
    (tmp_path / "cfg.json").write_text("{}")

    found = inspect(tmp_path).groups

    assert found["checkpoint"]["parameters"] == 151_226_624
    assert found["decoder norms"] == {"min": 0.0, "median": 0.0, "max": 0.0, "zero": n}


def test_damaged_weights_give_no_number_that_json_lacks(checkpoint: Path, tmp_path: Path) -> None:
    tensors = load_file(checkpoint / "sae_weights.safetensors")
    tensors |= {"W_dec": torch.full_like(tensors["W_dec"], torch.inf), "threshold": torch.tensor(torch.nan)}
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text("{}")

    found = inspect(tmp_path).groups

    assert found["decoder norms"] == {"min": None, "median": None, "max": None, "zero": 0}
    assert found["checkpoint"]["threshold"] is None


def test_an_unfolded_checkpoint_says_its_scale(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "c")
    config = json.loads((checkpoint / "cfg.json").read_text())
    (tmp_path / "c" / "cfg.json").write_text(json.dumps({**config, "normalize_activations": "expected_average_only_in"}))
    (tmp_path / "c" / "activation_scaler.json").write_text('{"scaling_factor": 0.25}')
    facts = inspect(tmp_path / "c").groups["checkpoint"]
    assert (facts["normalisation"], facts["scale"]) == ("expected_average_only_in", 0.25)
    assert facts["sha256"] == Checkpoint.load(tmp_path / "c").sha256


def test_a_training_run_is_the_checkpoint_that_it_left(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    assert inspect(tmp_path).groups == inspect(checkpoint).groups


def test_a_checkpoint_on_the_hub_says_its_commit(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--someone--smixae" / "snapshots" / commit
    shutil.copytree(checkpoint, snapshot / "l12")
    (tmp_path / "models--someone--smixae" / "refs").mkdir()
    (tmp_path / "models--someone--smixae" / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    found = inspect("someone/smixae/l12")

    assert (found.kind, found.path) == ("checkpoint", "someone/smixae/l12")
    assert found.groups == {"hub": {"revision": commit}, **inspect(checkpoint).groups}


def test_what_is_on_no_hub_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="'someone/nothing' is not in the hub's cache"):
        inspect("someone/nothing")
    for path in ("work/atlas.duckdb", "./someone/nothing", "nothing"):
        with pytest.raises(NothingToInspect, match="does not exist"):
            inspect(path)


def test_a_checkpoint_of_another_kind_is_shown_too(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text('{"architecture": "standard"}')
    write_arrays(tmp_path / "sae_weights.safetensors", {"W_dec": np.zeros((2, 3), np.float32), "threshold": np.zeros(2)})
    groups = inspect(tmp_path).groups
    assert groups["checkpoint"]["architecture"] == "standard" and groups["checkpoint"]["threshold"] is None
    assert groups["tensors"]["W_dec"] == "F32 2 × 3"


def test_half_a_checkpoint_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"has no sae_weights\.safetensors"):
        inspect(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(CheckpointError, match=r"cfg\.json' is not JSON"):
        inspect(tmp_path)
    (tmp_path / "cfg.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds a list"):
        inspect(tmp_path)
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        inspect(tmp_path)


# A work folder


def test_a_work_folder_says_how_far_each_stage_is(tmp_path: Path) -> None:
    (tmp_path / "train" / "checkpoint").mkdir(parents=True)
    part(tmp_path, 0, 2, 5, 8)
    part(tmp_path, 1, 2, 8, 8)
    stages = inspect(tmp_path).groups["stages"]
    # Of the chunks 0 to 7 the first shard has run 0, 2 and 4, the second all of its four; a second corpus has two.
    assert stages == {
        "train": "half",
        "harvest": "half: 7 of 10 chunks, by the shards 0/2, 1/2",
        "probe": "absent",
        "geometry": "absent",
        "evaluate": "absent",
        "assemble": "absent",
    }


def test_a_folder_with_a_stages_name_in_it_is_no_work_folder(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "00001.jpg").write_bytes(b"x")
    with pytest.raises(NothingToInspect):
        inspect(tmp_path)


def test_a_harvest_that_was_stopped_says_how_far_it_came(
    bert: LanguageModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)
    monkeypatch.setattr("atlas.harvest.harvest.SAVING_SHARE", 1e9)
    checkpoint = Checkpoint.load(tiny.checkpoint(tmp_path / "checkpoint", {}, d_in=bert.d_model, threshold=0.0))

    def stop(*, chunks: int, of: int, tokens: int) -> None:
        if chunks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harvest(checkpoint, bert, [corpus], tmp_path / "work", HarvestConfig(), progress=stop, save_every_s=0.0)
    chunks = survey(corpus, bert.tokenizer).chunks
    assert inspect(tmp_path / "work").groups["stages"]["harvest"] == f"half: 3 of {chunks} chunks, by the shards 0/1"


def test_finished_stages_say_what_from_and_how_long(tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})
    probe = {"harvest": INPUTS, "seed": 1}
    Stage(tmp_path, "probe", probe).finish({}, {})
    Stage(tmp_path, "geometry", {"harvest": INPUTS, "probe": probe, "seed": 2}).finish({}, {})
    write_atlas(tmp_path / "atlas.duckdb", {})
    found = inspect(tmp_path)
    assert found.kind == "work folder"
    done = dict.fromkeys(("harvest", "probe", "geometry"), "done")
    stages = {"train": "absent", **done, "evaluate": "absent", "assemble": "done"}
    assert found.groups["stages"] == stages
    assert {"checkpoint": "abc", "settings.seed": 0}.items() <= found.groups["harvest"].items()
    assert isinstance(found.groups["harvest"]["seconds"], float) and "finished" in found.groups["harvest"]
    assert {"harvest": "the one in this folder", "seed": 1}.items() <= found.groups["probe"].items()
    here = dict.fromkeys(("harvest", "probe"), "the one in this folder")
    assert {**here, "seed": 2}.items() <= found.groups["geometry"].items()
    assert found.groups["assemble"]["bytes"] == (tmp_path / "atlas.duckdb").stat().st_size
    assert "train" not in found.groups


def test_a_probe_of_another_harvest_is_told(tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})
    Stage(tmp_path, "probe", {"harvest": INPUTS | {"checkpoint": "other"}}).finish({}, {})
    assert inspect(tmp_path).groups["probe"]["harvest"] == "another than the one in this folder"


def test_a_damaged_stage_is_said_in_one_line(tmp_path: Path) -> None:
    part(tmp_path, 0, 1, 1, 2).write_bytes(b"half")
    with pytest.raises(StageDamaged, match="part-0-of-1"):
        inspect(tmp_path)
    (tmp_path / "harvest" / "done.json").write_text("{}")
    with pytest.raises(StageDamaged, match="done.json"):
        inspect(tmp_path)


# An atlas


def test_an_atlas_says_what_it_was_made_from_and_how_large_it_is(tmp_path: Path) -> None:
    tables = synthetic_tables()
    tables["run_log"] = {"stage": ["probe"], "key": ["seconds"], "value": ["1.5"]}
    write_atlas(tmp_path / "a.duckdb", tables)
    found = inspect(tmp_path / "a.duckdb")
    assert found.kind == "atlas"
    assert found.groups["atlas"]["bytes"] == (tmp_path / "a.duckdb").stat().st_size
    assert found.groups["atlas"]["schema_version"] == SCHEMA_VERSION
    assert found.groups["model"]["hook"] == "blocks.3.hook_resid_post"
    assert found.groups["fidelity"]["fvu_held_out"] == 0.274
    assert found.groups["run_log"] == {"probe.seconds": 1.5}
    with Store(tmp_path / "a.duckdb") as store:
        assert found.groups["tables"]["points"] == store.table("points").height > 0
    assert found.groups["tables"]["provenance"] == len(tables["provenance"]["key"]) + 1


def test_a_damaged_atlas_is_said_in_one_line(tmp_path: Path) -> None:
    content = write_synthetic(tmp_path / "a.duckdb").read_bytes()
    (tmp_path / "a.duckdb").write_bytes(content[:5000])
    with pytest.raises(AtlasDamaged):
        inspect(tmp_path / "a.duckdb")


# A site


def site(tmp_path: Path) -> Path:
    return bake(write_synthetic(tmp_path / "a.duckdb"), tmp_path / "site", BakeConfig(title="Ours & <theirs>")).folder


def test_a_site_says_what_it_shows(tmp_path: Path) -> None:
    folder = site(tmp_path)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "baked.json"]
    assert inspect(folder) == Inspection(
        "site",
        str(folder),
        {
            "site": {
                "title": "Ours & <theirs>",
                "experts": 40,
                "tasks": 3,
                "payloads": len([path for path in files if path.is_relative_to(folder / "data")]),
                "files": len(files),
                "bytes": sum(path.stat().st_size for path in files),
                "as_baked": True,
            }
        },
    )


def test_a_site_that_was_changed_says_where(tmp_path: Path) -> None:
    folder = site(tmp_path)
    (payload,) = folder.glob("data/clouds/0.*.js")
    payload.unlink()
    (folder / "index.html").write_text("<title>x</title>")
    found = inspect(folder)
    assert (found.groups["site"]["as_baked"], found.groups["site"]["title"]) == (False, "x")
    assert found.groups["not as baked"] == {payload.relative_to(folder).as_posix(): "missing", "index.html": "changed"}


# Nothing


def test_anything_else_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path, what in ((tmp_path / "none", "does not exist"), (tmp_path, "is nothing"), (tmp_path / "notes.txt", "is nothing")):
        with pytest.raises(NothingToInspect, match=rf"{what}.* Looked for a checkpoint \(cfg\.json.*DuckDB file\)\.$"):
            inspect(path)


def test_inspecting_never_loads_torch(checkpoint: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in (checkpoint, tmp_path / "a.duckdb", site(tmp_path), tmp_path / "work")]
    Stage(tmp_path / "work", "harvest", INPUTS).finish({}, {})
    program = """
import sys
from pathlib import Path
for name in ("torch", "transformers", "playwright"):
    sys.modules[name] = None
from atlas.inspection import inspect
print([inspect(Path(path)).kind for path in sys.argv[1:]])
"""
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['checkpoint', 'atlas', 'site', 'work folder']\n", "")
