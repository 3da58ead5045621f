"""One process of the check: scans folders of broken files, reads what groups, and prints what went wrong as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from napari_breast_ai.study import StudyError, assemble, scan

try:
    import resource
except ImportError:  # Windows: no measure of memory
    resource = None  # type: ignore[assignment]

ROOM = 6 << 30
"""Bytes of address space above the base, so that a mistake ends this process and not the machine."""


def peak_mib() -> float:
    """The most memory this process ever had, MiB; 0 where the system does not tell."""
    if resource is None:
        return 0.0
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return value / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _bound() -> None:
    if resource is not None and Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))


def check(folder: Path, at: Path, problems: list[str], counts: dict[str, int]) -> None:
    """Scan a folder (or one file) and read all that groups."""
    files = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder]
    try:
        at.write_text(f"scan {folder}")
        index = scan(folder)
        told = index.to_json()
        json.dumps(told, allow_nan=False)
        index.dce()
    except StudyError:
        pass
    except Exception:  # noqa: BLE001 - that is what is looked for
        problems.append(f"scan {folder.name}: {traceback.format_exc(limit=-4)}")
        return
    unused = [u.file for u in index.unused]
    grouped = {path for group in index.groups for path in group.paths}
    if sorted([*unused, *grouped]) != files or index.files != len(files):
        odd = sorted({*unused, *grouped} ^ set(files))[:3] or "a file twice"
        problems.append(f"audit {folder.name}: {odd}")
    counts["unused"] += len(unused)
    counts["grouped"] += len(grouped)
    for group in index.groups:
        try:
            at.write_text(f"assemble {[path.name for path in group.paths][:4]}")
            volume = assemble(group)
            counts["read"] += 1
            if volume.data.dtype.kind == "f" and not np.isfinite(volume.data).all():
                counts["not finite"] += 1
        except StudyError as error:
            counts["refused"] += 1
            if not str(error).strip().endswith((".", "files.")):
                problems.append(f"no sentence: {error}")
        except Exception:  # noqa: BLE001
            problems.append(f"assemble {[p.name for p in group.paths][:3]}: {traceback.format_exc(limit=-4)}")


def main(arguments: list[str]) -> int:
    """Check the folders (or files) of a list: LIST AT [--each]."""
    folders, at = [Path(line) for line in Path(arguments[0]).read_text().splitlines()], Path(arguments[1])
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    problems: list[str] = []
    counts = dict.fromkeys(("unused", "grouped", "read", "refused", "not finite"), 0)
    _bound()
    base = peak_mib()
    slowest, grown = (0.0, ""), base
    slow: list[dict[str, Any]] = []
    for folder in folders:
        start = time.perf_counter()
        check(folder, at, problems, counts)
        took = time.perf_counter() - start
        slowest = max(slowest, (took, folder.name))
        if took > 1.0:
            slow.append({"name": folder.name, "s": round(took, 2)})
        if (now := peak_mib()) > grown + 200:
            slow.append({"name": folder.name, "MiB": round(now - base)})
            grown = now
    print(
        json.dumps(
            {
                "problems": problems,
                "counts": counts,
                "slowest_s": round(slowest[0], 3),
                "slowest": slowest[1],
                "grown_mib": round(peak_mib() - base, 1),
                "remarkable": slow,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
