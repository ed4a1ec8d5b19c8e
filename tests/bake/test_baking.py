from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas.bake import BakeConfig, BakeReport, bake, require_bakeable
from atlas.bake.amounts import KEYS
from atlas.bake.baking import dictionary_id
from atlas.bake.folder import Record
from atlas.bake.orders import LARGEST_FIRST
from atlas.bake.payloads import DIGITS
from atlas.errors import AboutError, AtlasMissing, ConfigError, OutputOccupied, TemplateError
from atlas.publish.manifest import column, numbers
from atlas.store import Store, write_atlas
from synthetic import HOSTILE, Size, synthetic_tables, write_synthetic


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas."""
    return write_synthetic(tmp_path_factory.mktemp("atlas") / "atlas.duckdb")


@pytest.fixture(scope="module")
def report(atlas_path: Path, tmp_path_factory: pytest.TempPathFactory) -> BakeReport:
    """The report of its bake."""
    return bake(atlas_path, tmp_path_factory.mktemp("baked") / "site")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def payload(folder: Path, name: str) -> Any:
    """Return what a payload file gives to atlas.receive."""
    (path,) = folder.glob(f"data/{name}.*.js")
    prefix = f"atlas.receive({json.dumps(name)},"
    text = path.read_text(encoding="utf-8")
    assert text.startswith(prefix) and text.endswith(");\n")
    return json.loads(text[len(prefix) : -len(");\n")])


def hashes(manifest: Any) -> dict[str, str]:
    """Return the hash of every payload by name, those of families too."""
    found: dict[str, str] = {}
    for name, digests in manifest["files"].items():
        each = [digests[at : at + DIGITS] for at in range(0, len(digests), DIGITS)]
        found |= {f"{name}{place}": digest for place, digest in enumerate(each)} if name.endswith("/") else {name: digests}
    return found


def test_baking_twice_gives_the_same_bytes(atlas_path: Path, report: BakeReport, tmp_path: Path) -> None:
    again = bake(atlas_path, tmp_path / "elsewhere" / "again")
    assert contents(again.folder) == contents(report.folder)


def test_the_report_counts_what_was_written(report: BakeReport) -> None:
    data = [path for path in (report.folder / "data").rglob("*.js")]
    assert (report.experts, report.payloads) == (40, len(data) - 1)
    assert report.payload_bytes == sum(path.stat().st_size for path in data)


def test_the_manifest_names_every_payload(report: BakeReport) -> None:
    files = hashes(payload(report.folder, "atlas"))
    assert {f"{name}.{digest}.js" for name, digest in files.items()} == {
        path.relative_to(report.folder / "data").as_posix()
        for path in report.folder.glob("data/**/*.js")
        if not path.name.startswith("atlas.")
    }


def test_no_page_or_payload_knows_where_it_was_made(atlas_path: Path, report: BakeReport) -> None:
    for name, content in contents(report.folder).items():
        assert str(atlas_path.parent).encode() not in content, name


def test_every_link_and_script_of_the_page_is_there(report: BakeReport) -> None:
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    named = [part.split('"')[0] for attribute in ('src="', 'href="') for part in page.split(attribute)[1:]]
    local = [address for address in named if not address.startswith(("#", "data:"))]
    assert len(local) >= 13
    assert all((report.folder / address).is_file() for address in local)


def test_the_page_allows_no_inline_script(report: BakeReport) -> None:
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert "script-src 'self';" in page and "unsafe-eval" not in page
    assert page.count("<script") == page.count("<script src=") + page.count("<script defer src=")


def test_the_page_says_what_it_is_before_any_script(atlas_path: Path, report: BakeReport) -> None:
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert "40 experts: 2 silent on 104,551 held-out tokens, 2 dense, 13 with a supported order" in page
    with Store(atlas_path) as store:
        floors = store.table("baselines").filter((pl.col("reference") == "random_projection") & (pl.col("metric") == "all_rows"))
        beat = (
            store.table("scores")
            .filter("order_supported")
            .join(floors, on=["task", "hypothesis"])
            .filter(pl.col("all_rows") > pl.col("value"))
        )
    assert f"({beat['expert'].n_unique()} of them above the best random projection), 20 without any claim." in page
    for fact in ("tiny-synthetic", "blocks.3.hook_resid_post", "bidirectional encoder", "318,402", "4.8\u202f% of tokens"):
        assert fact in page
    row = '<a href="#/task/months">Months</a> (12) <span class="about-it">2 hypotheses</span></th><td>198</td><td>8</td>'
    assert f'<th scope="row">{row}' in page


def test_an_atlas_without_a_training_record_says_nothing_of_it(tmp_path: Path) -> None:
    tables = synthetic_tables()
    keys = tables["provenance"]["key"]
    tables["provenance"]["value"][keys.index("training")] = "null"
    write_atlas(tmp_path / "atlas.duckdb", tables)
    folder = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    assert "Training text" not in (folder / "index.html").read_text(encoding="utf-8")


def test_experts_stand_in_the_lists_first_order(atlas_path: Path, report: BakeReport) -> None:
    manifest = payload(report.folder, "atlas")
    with Store(atlas_path) as store:
        experts = store.experts()["expert"].to_list()
    assert column(manifest["experts"]["expert"]) == experts
    size = manifest["shards"]["experts"]
    assert list(payload(report.folder, "experts/1")) == [str(expert) for expert in experts[size : 2 * size]]


def test_bookmarks_belong_to_a_dictionary_on_a_hook_however_its_atlas_was_made(report: BakeReport, tmp_path: Path) -> None:
    tables = synthetic_tables(seed=1, size=Size(experts=8, corpora=2, points=4, windows=2))
    write_atlas(tmp_path / "atlas.duckdb", tables)
    known = payload(report.folder, "atlas")["id"]
    assert payload(bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder, "atlas")["id"] == known
    facts = dict(zip(tables["provenance"]["key"], map(json.loads, tables["provenance"]["value"]), strict=True))
    assert dictionary_id(facts) == known and len(known) == 12
    assert dictionary_id(facts | {"model": facts["model"] | {"hook": "blocks.4.hook_resid_post"}}) != known
    assert dictionary_id(facts | {"dictionary": facts["dictionary"] | {"sha256": "3" * 64}}) != known


def test_every_sort_holds_every_expert_once(report: BakeReport) -> None:
    names = {path.name.split(".")[0] for path in report.folder.glob("data/orders/*.js")}
    assert names == {*LARGEST_FIRST, "number", "title", "cluster", "shape"}
    manifest = payload(report.folder, "atlas")
    for name in names:
        order = payload(report.folder, f"orders/{name}")
        assert sorted(numbers(order["rows"])) == list(range(40)) and 0 < order["known"] <= 40
    rate = column(manifest["experts"]["rate"])
    assert [rate[row] for row in numbers(payload(report.folder, "orders/rate")["rows"])] == sorted(rate, reverse=True)
    shown = numbers(payload(report.folder, "orders/shape")["rows"])
    of = shown_classes(manifest)
    assert [of[row] for row in shown] == sorted(of, key=lambda place: (place < 0, place))


def shown_classes(manifest: Any) -> list[int]:
    """Return the place of the class that the list shows of each expert, -1 where none."""
    sources = {
        source["task"]: dict(zip(numbers(source["rows"]), numbers(source["classes"]), strict=True))
        for source in manifest["shapes"]["sources"]
    }
    tasks = column(manifest["experts"]["cloud_task"])
    return [sources.get(task, {}).get(row, sources[0].get(row, -1)) for row, task in enumerate(tasks)]


def test_the_bins_are_those_of_the_columns(report: BakeReport) -> None:
    manifest = payload(report.folder, "atlas")
    amounts = {amount["key"]: amount for amount in manifest["amounts"]}
    assert tuple(amounts) == KEYS
    assert [key for key in KEYS if "bin" not in amounts[key]] == ["score", "coverage"]
    for key in KEYS[2:]:
        edges, bins = amounts[key]["edges"], numbers(amounts[key]["bin"])
        for value, place in zip(column(manifest["experts"][key]), bins, strict=True):
            assert (place == 255) if value is None else (edges[place] <= value <= edges[place + 1])


def test_the_directory_of_the_search_leads_to_every_shard(report: BakeReport) -> None:
    directory = payload(report.folder, "search/index")
    assert directory.keys() == {"tokens", "titles", "contexts", "common"}
    for kind in ("tokens", "titles", "contexts"):
        firsts = [payload(report.folder, f"search/{kind}/{shard}")["texts"][0] for shard in range(len(directory[kind]))]
        assert directory[kind] == firsts != []
    for shard in range(len(directory["tokens"])):
        lengths = {len(numbers(found)) for found in payload(report.folder, f"tokens/{shard}").values()}
        assert lengths == {len(numbers(payload(report.folder, f"search/tokens/{shard}")["rows"]))}


def test_a_cloud_has_the_context_of_the_strongest_firing(report: BakeReport) -> None:
    experts = column(payload(report.folder, "atlas")["experts"]["expert"])
    shown, words = shown_of(report.folder), payload(report.folder, "texts")
    context = payload(report.folder, "clouds/0")["context"]
    for expert, before, token, after in zip(experts, context["before"], context["token"], context["after"], strict=True):
        one = shown[str(expert)]
        if not one["corpora"]:
            assert (before, token, after) == ("", "", "")
            continue
        tokens = [words[place].replace("##ber", "ber") for place in numbers(one["corpora"][0]["contexts"][0]["tokens"])[:25]]
        assert (before, token, after) == ("".join(tokens[4:12]), tokens[12], "".join(tokens[13:21]))


def test_without_scripts_the_page_lists_the_first_experts(report: BakeReport) -> None:
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    table = page.split("<noscript>")[1].split("</noscript>")[0]
    experts = column(payload(report.folder, "atlas")["experts"]["expert"])
    assert re.findall(r'<th scope="row">(\d+)</th>', table) == [str(expert) for expert in experts]
    assert table.count('<th scope="col">') == 7 and "<caption>All experts</caption>" in table


def test_evidence_stands_by_stratum_and_says_what_it_was_taken_from(report: BakeReport) -> None:
    shown = shown_of(report.folder)["0"]
    (corpus,) = shown["corpora"]
    assert [(one["stratum"], len(one["norm"]), len(numbers(one["tokens"]))) for one in corpus["contexts"]] == [
        *[("top", 20, 500), ("q75", 5, 125), ("q50", 5, 125), ("q25", 5, 125), ("q0", 5, 125)]
    ]
    top, *bands = [one["norm"] for one in corpus["contexts"]]
    assert top == sorted(top, reverse=True)
    assert all(min(one) >= max(other) for one, other in zip(bands[:-1], bands[1:], strict=True))
    assert corpus["sampled"] == corpus["tokens"]["sampled"] == "120 of its 2,290 firings, chosen by a hash (seed\u00a00)"
    assert corpus["tokens"]["share_low"][0] < corpus["tokens"]["share"][0] < corpus["tokens"]["share_high"][0]
    assert sum(corpus["norms"]["count"]) == corpus["stats"]["firings"] == 2_290


def shown_of(folder: Path) -> dict[str, Any]:
    """Return what every expert's page is given, by number."""
    return {number: one for shard in range(5) for number, one in payload(folder, f"experts/{shard}").items()}


def test_two_corpora_each_have_points_with_contexts_and_evidence(tmp_path: Path) -> None:
    made = bake(write_synthetic(tmp_path / "atlas.duckdb", size=Size(corpora=2)), tmp_path / "site")
    manifest = payload(made.folder, "atlas")
    assert [task["kind"] for task in manifest["tasks"]] == ["corpus", "corpus", "labelled", "labelled"]
    assert {name for name in hashes(manifest) if name.startswith(("labels/", "scores/"))} == {
        *("labels/2", "labels/3", "scores/2", "scores/3")
    }
    shown = shown_of(made.folder)["0"]
    assert [one["task"] for one in shown["corpora"]] == [0, 1]
    assert shown["corpora"][0]["contexts"] != shown["corpora"][1]["contexts"]
    clouds = {one["task"]: one for one in shown["tasks"]}
    assert all("hover" in clouds[task] and "window" not in clouds[task] for task in (0, 1))
    assert "window" in clouds[2] and "hover" not in clouds[2] and "means" in clouds[2]
    page = (made.folder / "index.html").read_text(encoding="utf-8")
    assert "<h2>Another corpus</h2>" in page and "measured on 16,000 tokens, of these, chosen by a hash" in page


def test_tables_that_are_not_shown_are_not_read(atlas_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = Store.table

    def table(store: Store, name: str) -> pl.DataFrame:
        read.append(name)
        return whole(store, name)

    monkeypatch.setattr(Store, "table", table)
    bake(atlas_path, tmp_path / "site")
    assert "vocabulary" in read
    assert not {"points", "top_firings", "token_sample_firings", "mention_firings", "co_firing"} & set(read)


def test_hostile_text_travels_as_data(report: BakeReport) -> None:
    assert set(HOSTILE) <= set(payload(report.folder, "texts"))


def test_a_thousand_points_stay_small(tmp_path: Path) -> None:
    size = Size(experts=8, windows=200, window_tokens=128, points=1_000, month_templates=80, number_templates=10)
    made = bake(write_synthetic(tmp_path / "atlas.duckdb", size=size), tmp_path / "site")
    assert (
        sum(path.stat().st_size for path in made.folder.glob("data/*/0.*.js") if path.parent.name in ("experts", "windows")) / 8
        < 90_000
    )


def test_a_missing_atlas_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(AtlasMissing):
        bake(tmp_path / "none.duckdb", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_baking_needs_no_torch(atlas_path: Path, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
for name in ("torch", "transformers", "safetensors", "pyarrow"):
    sys.modules[name] = None
from atlas.bake import bake
bake(Path({str(atlas_path)!r}), Path({str(tmp_path / "site")!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_author_may_give_title_words_and_templates(atlas_path: Path, report: BakeReport, tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("# Who we are\n\nA <b>lab</b>.\n", encoding="utf-8")
    (tmp_path / "own" / "static" / "css").mkdir(parents=True)
    (tmp_path / "own" / "static" / "css" / "theme.css").write_text(":root {}")
    config = BakeConfig(title="Ours <b>", about=tmp_path / "about.md", templates=tmp_path / "own")
    folder = bake(atlas_path, tmp_path / "site", config).folder
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<title>Ours &lt;b&gt;</title>" in page and "tiny-synthetic \u00b7" not in page
    assert "<h2>Who we are</h2>\n<p>A &lt;b&gt;lab&lt;/b&gt;.</p>" in page
    (theme,) = folder.glob("assets/*/css/theme.css")
    assert theme.read_text() == ":root {}"
    assert f'href="assets/{theme.parts[-3]}/css/theme.css"' in page
    # The record of where it comes from names what is the author's, and the manifest that record.
    ours = ("data/atlas.", "data/provenance.")
    found = contents(report.folder).items()
    data = {name: content for name, content in found if name.startswith("data/") and not name.startswith(ours)}
    assert data
    assert data.items() <= contents(folder).items()


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "\udcff"])
def test_a_title_is_one_line_of_text(title: str) -> None:
    with pytest.raises(ConfigError, match="--title is .*; give one line of text"):
        BakeConfig(title=title)


@pytest.mark.parametrize("title", ["Ж\u00a0é 👩\u200d🔬", "0"])
def test_any_other_title_will_do(title: str) -> None:
    assert BakeConfig(title=title).title == title


def test_what_a_bake_would_refuse_is_known_before(tmp_path: Path) -> None:
    require_bakeable(tmp_path / "site", BakeConfig())
    with pytest.raises(AboutError):
        require_bakeable(tmp_path / "site", BakeConfig(about=tmp_path / "none.md"))
    with pytest.raises(TemplateError):
        require_bakeable(tmp_path / "site", BakeConfig(templates=tmp_path / "none"))
    with pytest.raises(OutputOccupied):
        require_bakeable(Path(__file__), BakeConfig())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_template_leaves_the_earlier_site(atlas_path: Path, tmp_path: Path) -> None:
    before = contents(bake(atlas_path, tmp_path / "site").folder)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "index.html.jinja").write_text("{{ front.nothing }}")
    with pytest.raises(TemplateError, match="index.html.jinja', line 1"):
        bake(atlas_path, tmp_path / "site", BakeConfig(templates=tmp_path / "own"))
    assert contents(tmp_path / "site") == before


def test_the_record_knows_every_file_of_the_site(report: BakeReport) -> None:
    record = Record.read(report.folder)
    assert record is not None and record.changed(report.folder) == []
    assert {*record.files, "baked.json"} == contents(report.folder).keys()
