"""Write broken files by the thousand and hold the study room against them.

    python tests/fuzz/run.py --count 10000           # each file alone, timed: the whole check, some minutes
    python tests/fuzz/run.py --count 1000 --together # fifty in a folder, as the tests do it

Prints a JSON summary and fails where a file raised, hung, took too much time or memory, or fell out of the audit.
Files that made trouble are kept in the folder of --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import mutate  # noqa: E402
import seeds  # noqa: E402

MOST_S, MOST_MIB = 5.0, 1024.0
_PER_PROCESS = 200
_PER_FOLDER = 50


def _write(files: list[tuple[str, bytes]], folder: Path, together: bool) -> list[Path]:
    """The files in folders; returns what is to be scanned, one by one."""
    places = []
    for number, (name, content) in enumerate(files):
        holder = folder / f"{number // _PER_FOLDER:03d}"
        holder.mkdir(parents=True, exist_ok=True)
        path = holder / name
        path.write_bytes(content)
        places.append(holder if together else path)
    return list(dict.fromkeys(places))


def _examine(places: list[Path], work: Path, limit_s: float) -> dict[str, Any]:
    listed, at = work / "list", work / "at"
    listed.write_text("\n".join(map(str, places)))
    at.write_text("start")
    command = [sys.executable, "-W", "ignore", str(HERE / "batch.py"), str(listed), str(at)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"problems": [f"hang: {at.read_text()}"]}
    if done.returncode:
        return {"problems": [f"died ({done.returncode}): {at.read_text()} {done.stderr[-1500:]}"]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if done.stderr.strip():
        found["problems"].append(f"said on stderr: {done.stderr[-500:]}")
    return found


def run(count: int, seed: int, together: bool, real: Path | None, keep: Path | None) -> dict[str, Any]:
    """Check `count` files and sum up."""
    source = seeds.made() | (seeds.real(real) if real is not None and real.is_dir() else {})
    total: dict[str, Any] = {
        "files": 0, "seeds": len(source), "problems": [], "counts": {}, "slowest_s": 0.0, "slowest": "",
        "grown_mib": 0.0, "remarkable": [],
    }  # fmt: skip
    for start in range(0, count, _PER_PROCESS):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            work = Path(name)
            files = mutate.mutated(source, min(_PER_PROCESS, count - start), seed, start)
            places = _write(files, work / "files", together)
            found = _examine(places, work, 60.0 + 0.3 * _PER_PROCESS)
            total["files"] += len(files)
            total["problems"].extend(found["problems"])
            for kind, number in found.get("counts", {}).items():
                total["counts"][kind] = total["counts"].get(kind, 0) + number
            if found.get("slowest_s", 0.0) > total["slowest_s"]:
                total["slowest_s"], total["slowest"] = found["slowest_s"], found["slowest"]
            total["grown_mib"] = max(total["grown_mib"], found.get("grown_mib", 0.0))
            total["remarkable"].extend(found.get("remarkable", []))
            if found["problems"] and keep is not None:
                shutil.copytree(work, keep / f"{start:06d}", dirs_exist_ok=True)
    if not together and total["slowest_s"] > MOST_S:
        total["problems"].append(f"{total['slowest']} took {total['slowest_s']} s")
    if total["grown_mib"] > MOST_MIB:
        total["problems"].append(f"memory grew by {total['grown_mib']} MiB")
    return total


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", action="store_true", help="scan fifty files at once")
    parser.add_argument("--keep", type=Path, help="folder for files that made trouble")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("NBAI_DATA"), help="real files (NBAI_DATA)"
    )
    given = parser.parse_args()
    real = None if given.data is None else Path(given.data) / "dicom" / "pydicom_odd"
    total = run(given.count, given.seed, given.together, real, given.keep)
    print(json.dumps(total, indent=1))
    return 1 if total["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
