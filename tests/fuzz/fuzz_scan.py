"""Coverage-guided fuzzing of the scan with atheris, where that can be installed (Linux; not on every Python).

    pip install atheris
    python tests/fuzz/fuzz_scan.py CORPUS -max_len=20000 -timeout=5 -rss_limit_mb=2048

CORPUS is a folder; it is filled with the seeds first where it is empty. What raises anything but a StudyError, hangs
or grows too large is written to the current folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: pip install atheris (or use tests/fuzz/run.py, which needs nothing)")

sys.path.insert(0, str(Path(__file__).resolve().parent))

import seeds

with atheris.instrument_imports(include=["napari_breast_ai.study"]):
    from napari_breast_ai.study import StudyError, assemble, scan

_PLACE = Path(tempfile.mkdtemp(prefix="fuzz-")) / "file"


def one(data: bytes) -> None:
    """Scan a file of these bytes and read what groups."""
    _PLACE.write_bytes(data)
    index = scan(_PLACE)
    grouped = {path for group in index.groups for path in group.paths}
    if len(grouped) + len(index.unused) != 1:
        raise AssertionError("the file is not in the audit once")
    for group in index.groups:
        try:
            assemble(group)
        except StudyError:
            continue


def main() -> None:
    """Command line of libFuzzer."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            for name, content in seeds.made().items():
                (folder / name).write_bytes(content)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
