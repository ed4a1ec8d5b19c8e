"""A warm process that makes and reads cases, one a line: what kills it is the case that it was asked for last."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from fuzzing import CASE
from subjects import SUBJECTS, Refused, Subject


def answered(asked: dict[str, Any], subject: Subject) -> dict[str, str]:
    """Return the outcome of one case, right, refused or fault, and why. The folder of a fault is left as it is."""
    folder = Path(asked["folder"])
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / CASE).write_text(json.dumps({"kind": asked["kind"], "seed": asked["seed"]}), encoding="utf-8")
        subject.spoil(Random(f"{asked['kind']} {asked['seed']}"), folder)
    try:
        subject.read(folder)
        found = {"outcome": "right", "why": ""}
    except Refused as error:
        found = {"outcome": "refused", "why": str(error)}
    except Exception:
        return {"outcome": "fault", "why": traceback.format_exc()}
    if not asked["keep"]:
        shutil.rmtree(folder)
    return found


def main() -> None:
    """Answer until there is nothing more to read."""
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    # Whatever else prints goes to the log.
    os.dup2(2, 1)
    originals = Path(sys.argv[1])
    subject = cache(lambda name: SUBJECTS[name](originals))
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(answered(asked, subject(asked["kind"]))), file=answers, flush=True)


if __name__ == "__main__":
    main()
