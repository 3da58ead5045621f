"""A process that labels is killed at random moments: what it had reported is there."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def kill(*more: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: forking is safe only where no other thread runs."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--folder", str(folder), *more],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_200_kills_lose_nothing(tmp_path: Path) -> None:
    run = kill("--kills", "200", "--seed", "7", folder=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    counted = re.search(
        r"([\d,]+) processes killed .* ([\d,]+) actions reported, 0 problems; ([\d,]+) kills hit an action under way, "
        r"of which ([\d,]+) had arrived; ([\d,]+) last lines were torn",
        run.stdout,
    )
    assert counted is not None, run.stdout
    kills, reported, under_way, arrived, torn = (int(text.replace(",", "")) for text in counted.groups())
    assert kills == 200
    # The kills must have hit what they are aimed at, or they show nothing.
    assert reported > 200 and under_way > 50 and arrived > 5 and torn > 5


def test_the_check_sees_a_journal_that_reports_before_it_writes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = kill("--kills", "20", "--break", folder=Path(folder))
    assert run.returncode == 1
    assert "an action that was reported is lost" in run.stdout
