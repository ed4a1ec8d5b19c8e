"""Do faults to the whole path, many times, and print what came of them as a Markdown table.

    .venv/bin/python tools/reliability.py --kills 200 --damages 100 --disks 40 --seed 0

Each run is told on stderr as it ends; the folder of one that did not come out right is kept and named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "reliability")]


def main() -> int:
    """Do them, and return 1 if one did not come out right."""
    import damage
    import disk
    import kills
    from harness import reference
    from outcomes import table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="Kills at random moments.  [default: 200]")
    parser.add_argument("--damages", type=int, default=0, help="Files that are cut short, or have one other bit.  [default: 0]")
    parser.add_argument("--disks", type=int, default=0, help="Full disks of any size; needs the right to mount.  [default: 0]")
    parser.add_argument("--seed", type=int, default=0, help="Of moments, files and sizes.  [default: 0]")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="atlas-reliability-"))
    wanted = reference(folder / "reference")
    done = []
    faults = {kills: given.kills, damage: given.damages, disk: given.disks}
    for outcome in chain.from_iterable(of.outcomes(wanted, count, given.seed, folder) for of, count in faults.items()):
        done.append(outcome)
        said = "right" if outcome.is_good else f"WRONG, in {folder}: {outcome.details}"
        print(f"{len(done)} of {sum(faults.values())}: {outcome.fault}: {said}", file=sys.stderr, flush=True)
    print(table(done))
    return 0 if all(outcome.is_good for outcome in done) else 1


if __name__ == "__main__":
    sys.exit(main())
