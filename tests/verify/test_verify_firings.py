from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from forging import with_rows_changed

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.store import Store
from atlas.verify.firings import verify_firings
from atlas.verify.report import Check
from atlas.verify.subject import checkpoint_check, model_check
from atlas.verify.work import verify_work
from pipelines.cli import main
from templated import only, ring_of, templated

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
N_TEMPLATES = 18
DAYS_TASK = templated(
    DAYS,
    tuple(f"every expert fires on {{label}} in {i}" for i in range(N_TEMPLATES)),
    tuple(f"group {i // 3}" for i in range(N_TEMPLATES)),
    (ring_of(7),),
    cyclic=True,
    natural_mentions=True,
)
MISSAID = {
    "UPDATE points SET norm = norm * 1.001": ("firing", "another norm"),
    "UPDATE points SET y = y + 1": ("firing", "drawn elsewhere"),
    "UPDATE top_firings SET norm = norm * 1.001": ("firing", "another norm"),
    "UPDATE token_sample_firings SET code = list_transform(code, lambda one: one * CAST(1.001 AS FLOAT))": (
        "firing",
        "another code",
    ),
    "DELETE FROM token_sample_firings WHERE expert = 3": ("silence", "expert 3: it fires"),
    "UPDATE token_sample_firings SET expert = (expert + 1) % 6": ("firing", "does not fire"),
    "UPDATE mention_firings SET code = list_transform(code, lambda one: -one)": ("firing", "another code"),
    "UPDATE windows SET tokens = list_reverse(tokens)": ("firing", "another norm"),
    "UPDATE windows SET tokens = tokens[:5] WHERE ordinal = 0 AND label IS NULL": ("window", "is not whole"),
    "UPDATE points SET position = position + 4000": ("firing", "has no row in the model"),
}
"""What is changed in an atlas, and the fault that running the model again finds."""


@dataclass(frozen=True)
class Built:
    """Where a whole run left its things."""

    checkpoint: Path
    work: Path
    site: Path

    @property
    def database(self) -> Path:
        return self.work / "atlas.duckdb"


@pytest.fixture(scope="module")
def built(
    bert: LanguageModel, models: dict[str, Path], corpus: Corpus, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """An atlas of random experts, each firing on about half of what it reads."""
    root = tmp_path_factory.mktemp("firings")
    stream = StreamConfig(window_tokens=32)
    windows = chunk_windows(corpus.read(), bert.tokenizer, stream)
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, bert, stream)])
    wide = tiny.dictionary(n_experts=6, threshold=1.0)
    W_enc = wide.weights.W_enc / x.std()
    weights = wide.weights._replace(W_enc=W_enc, b_enc=wide.weights.b_enc - x.mean(dim=0) @ W_enc)
    middle = float(Smixae(wide.config, weights, 1.0).norms(x).median())
    about = {"model_name": str(models["bert"]), "hook_name": tiny.HOOKS["bert"], "context_size": 32}
    save(Smixae(wide.config, weights, middle), root / "checkpoint", about)
    with pytest.MonkeyPatch.context() as patch:
        only(patch, DAYS_TASK)
        options = ("--checkpoint", root / "checkpoint", "--corpus", corpus_file, "--work", root / "work", "--out", root / "site")
        result = run("build", *options)
        assert result.exit_code == 0, result.stderr
        yield Built(root / "checkpoint", root / "work", root / "site")


def run(*arguments: object) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def found_again(database: Path, checkpoint: Path, model: LanguageModel, sample: int = 200) -> list[Check]:
    with Store(database) as store:
        return list(verify_firings(store, Checkpoint.load(checkpoint), model, sample, 0, lambda _: None))


def faults(checks: list[Check]) -> list[str]:
    return [str(fault) for check in checks for fault in check.faults]


def test_a_whole_run_is_found_again(built: Built) -> None:
    result = run("verify", built.site, "--db", built.database, "--checkpoint", built.checkpoint)

    assert result.exit_code == 0, result.output
    assert "Nothing wrong." in result.stdout
    for name in ("files", "links", "promises", "baked anew", "checkpoint", "model", "windows", "firings", "fires or not"):
        assert name in result.stdout


def test_the_model_is_run_in_what_the_atlas_says_that_it_computed_in(
    built: Built, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, DAYS_TASK)
    options = ("--checkpoint", built.checkpoint, "--corpus", corpus_file, "--work", tmp_path / "work", "--out", tmp_path / "site")
    assert run("build", *options, "--dtype", "bfloat16").exit_code == 0

    result = run("verify", tmp_path / "work" / "atlas.duckdb", "--checkpoint", built.checkpoint)

    assert result.exit_code == 0, result.output


def test_its_work_folder_is_whole(built: Built) -> None:
    result = run("verify", built.work, "--format", "json")

    told = json.loads(result.stdout)
    assert result.exit_code == 0 and told["n_faults"] == 0
    assert {check["check"] for check in told["checks"]} == {"files of the stages", "assembled anew", "contents", "promises"}
    assert all(check["things"] for check in told["checks"])


@pytest.mark.parametrize("statement", MISSAID)
def test_what_the_model_does_not_do_is_told(statement: str, built: Built, bert: LanguageModel, tmp_path: Path) -> None:
    kind, what = MISSAID[statement]
    damaged = with_rows_changed(built.database, tmp_path / "atlas.duckdb", statement, recorded=True)

    assert [fault for fault in faults(found_again(damaged, built.checkpoint, bert)) if fault.startswith(kind) and what in fault]


def test_another_checkpoint_is_told(built: Built, tmp_path: Path) -> None:
    other = Checkpoint.load(tiny.checkpoint(tmp_path / "other", {}, n_experts=6, seed=7))
    with Store(built.database) as store:
        told = faults([checkpoint_check(store, other)])
        assert not faults([checkpoint_check(store, Checkpoint.load(built.checkpoint))])

    assert [fault for fault in told if fault.startswith("checkpoint: provenance, dictionary: sha256")]
    assert [fault for fault in told if fault.startswith("checkpoint: experts, expert 0: decoder_norm")]


def test_another_model_and_tokenizer_are_told(built: Built, models: dict[str, Path]) -> None:
    other = LanguageModel.load(str(models["gpt2"]), tiny.HOOKS["gpt2"])
    with Store(built.database) as store:
        told = faults([model_check(store, other)])

    assert [fault for fault in told if fault.startswith("model: provenance, model: revision_or_sha256")]
    assert [fault for fault in told if fault.startswith("tokenizer: provenance, model: tokenizer_sha256")]
    assert [fault for fault in told if fault.startswith("tokenizer: vocabulary, token")]


def test_a_changed_file_of_a_stage_is_told(built: Built, tmp_path: Path) -> None:
    work = shutil.copytree(built.work, tmp_path / "work")
    path = work / "harvest" / "tables.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    told = faults(list(verify_work(work, lambda _: None)))

    assert [
        fault for fault in told if fault.startswith("stage: harvest/tables.safetensors: ") and "not what was written" in fault
    ]


def test_a_database_that_the_stages_do_not_give_is_told(built: Built, tmp_path: Path) -> None:
    work = shutil.copytree(built.work, tmp_path / "work")
    with_rows_changed(built.database, work / "atlas.duckdb", "UPDATE titles SET title = 'Better' WHERE expert = 1", recorded=True)

    told = faults(list(verify_work(work, lambda _: None)))

    assert told == ["database: atlas.duckdb, titles: is not what the stages give (its values are others)"]


def test_faults_are_counted_and_end_in_exit_code_one(built: Built, tmp_path: Path) -> None:
    damaged = with_rows_changed(built.database, tmp_path / "atlas.duckdb", "UPDATE points SET norm = 0", recorded=True)

    result = run("verify", damaged, "--most", "2")

    assert result.exit_code == 1
    told = [line for line in result.stdout.splitlines() if line.startswith("agreement: ")]
    assert len(told) == 3 and told[0].startswith("agreement: points, task ") and told[-1].endswith(" more")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nothing at 'nowhere'"),
        (("{empty}",), "no site and no work folder"),
        (("{database}", "--db", "{database}"), "--db is for a site"),
        (("{database}", "--model", "bert"), "name it with --checkpoint"),
        (("{site}", "--checkpoint", "{checkpoint}"), "name one with --db"),
    ],
)
def test_what_cannot_be_verified_is_refused_in_one_line(
    arguments: tuple[str, ...], said: str, built: Built, tmp_path: Path
) -> None:
    known = {"empty": tmp_path, "database": built.database, "site": built.site, "checkpoint": built.checkpoint}

    result = run("verify", *(argument.format(**known) for argument in arguments))

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert said in line
