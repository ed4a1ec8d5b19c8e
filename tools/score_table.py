"""Prints the best expert of every hypothesis of an atlas as a Markdown table, and what the whole dictionary does."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from atlas.store import Store

ALPHA = 0.05
REFERENCES = ("chance", "random_projection", "top_components", "word_embedding")
HEAD = (
    "| task | hypothesis | expert | all rows: R², of classes balanced accuracy (interval) | where it fires (n) | covered "
    "| p_order adjusted (family) "
    "| left-out label "
    "| order | chance | best random projection | top components | word embedding (left-out) | supported |"
)


def main(path: Path) -> None:
    """Print the table of the atlas at `path`."""
    with Store(path) as store:
        stats, scores, baselines, provenance = (*map(store.table, ("expert_stats", "scores", "baselines")), store.provenance())
        fidelity = provenance["fidelity"]
        print(
            f"{len(stats)} experts on {fidelity['held_out_tokens']:,} held-out tokens: FVU {fidelity['fvu_held_out']:.4f}, ",
            end="",
        )
        silent, dense = stats["silent"].sum(), stats["dense"].sum()
        print(f"{fidelity['firings_per_token']:.2f} firings per token, {silent} silent, {dense} dense, ", end="")
        supported = scores.filter(pl.col("order_supported"))["expert"].n_unique()
        bases = store.table("titles")["basis"].value_counts(sort=True).rows()
        print(f"{supported} with a supported order; titles: {', '.join(f'{n} {basis}' for basis, n in bases)}.\n")
        print(HEAD + "\n|" + "---|" * (HEAD.count("|") - 1))
        for task in store.tasks():
            for hypothesis in task.hypotheses:
                here = (pl.col("task") == task.task) & (pl.col("hypothesis") == hypothesis.hypothesis)
                found = scores.filter(here).sort("rank")
                left = baselines.filter(here & (pl.col("metric") == "left_out_label"))
                embedding = left.filter(pl.col("reference") == "word_embedding")["value"][0]
                best = found.row(0, named=True)
                cells = [
                    task.title,
                    hypothesis.title,
                    best["expert"],
                    f"{best['all_rows']:.2f} ({best['all_rows_low']:.2f}–{best['all_rows_high']:.2f})",
                    f"{best['where_it_fires']:.2f} ({best['n_where_it_fires']})",
                    f"{best['covered']} of {len(task.labels)}",
                    f"{best['p_order_adjusted']:.4f} ({hypothesis.testable})" if best["testable"] else "not testable",
                    f"{best['left_out_label']:.2f}",
                    "supported" if best["order_supported"] else "" if hypothesis.classes else "not supported",
                    *(f"{hypothesis.references[name]:.2f}" for name in REFERENCES[:3]),
                    f"{hypothesis.references['word_embedding']:.2f} ({embedding:.2f})",
                    "" if hypothesis.classes else found["order_supported"].sum(),
                ]
                print("| " + " | ".join(map(str, cells)) + " |")
        names = {(task.task, one.hypothesis): f"{task.title}, {one.title}" for task in store.tasks() for one in task.hypotheses}
        halves = scores.filter(pl.col("p_within_halves") > ALPHA).group_by("task", "hypothesis").len().sort("task", "hypothesis")
        print("\nNo more than two halves: " + "; ".join(f"{names[t, h]} {n}" for t, h, n in halves.iter_rows()) + ".")
        groups = store.table("shattered").filter("listed").group_by("task", "hypothesis", maintain_order=True)
        read = [f"{names[key]} by {' and '.join(map(str, rows['expert']))} {rows['all_rows'][-1]:.2f}" for key, rows in groups]
        print("Read together: " + "; ".join(read) + ".")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "work/atlas.duckdb"))
