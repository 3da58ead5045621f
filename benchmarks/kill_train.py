"""Is a training that was killed the same in the end? It is killed (SIGKILL) at random moments and taken up again.

Each process trains with the same command in the same folder until it is killed; the one that lives to the end must
leave the weights, the predictions and the evaluation of a training that nobody disturbed, byte for byte.

    python benchmarks/kill_train.py
    python benchmarks/kill_train.py --kills 6 --folder /dev/shm
    python benchmarks/kill_train.py --kills 3 --break     # forgets the random numbers: this must fail
    python benchmarks/kill_train.py --kills 2 --at-states # killed as it leaves a state: the same on a busy machine
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

CHILD = """
import os, signal, sys
import napari_breast_ai.training.runfolder as runfolder
from napari_breast_ai.cli import main
runfolder.EVERY_S = 0.0  # a state after each epoch, or short fits would have none
if {dies_at}:
    leave, left_so_far = runfolder.RunFolder.leave, []
    def leave_and_die(self, number, state):
        leave(self, number, state)
        left_so_far.append(number)
        if len(left_so_far) == {dies_at}:
            # Windows has no SIGKILL; its SIGTERM ends a process as hard.
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    runfolder.RunFolder.leave = leave_and_die
if {broken}:
    whole = runfolder.RunFolder.left
    def left(self, number):
        import numpy as np
        state = whole(self, number)
        if state is not None:
            state["fit"]["rng"] = np.random.default_rng(99).bit_generator.state
        return state
    runfolder.RunFolder.left = left
sys.exit(main(sys.argv[1:]))
"""
COMPARED = (
    "evaluation.json",
    "predictions.csv",
    "bundle/model.safetensors",
    "bundle/config.json",
    "bundle/README.md",
)
LONGEST_S = 1.5
ROUNDS = 4


def make_table(folder: Path, pictures: int = 36) -> Path:
    """Pictures of bright squares and bright lines that are hard to see, two of each patient, with their boxes."""
    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,path,kind,box_y0,box_x0,box_y1,box_x1"]
    for i in range(pictures):
        image = rng.integers(20, 120, (64, 64)).astype(np.uint8)
        y, x = (int(v) for v in rng.integers(4, 36, 2))
        kind = ("line", "square")[i // 2 % 2]
        image[y : y + 24, x : x + (24 if kind == "square" else 4)] += 60
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"c{i},p{i // 2},{i}.png,{kind},{y},{x},{y + 23},{x + 23}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


def command(table: Path, out: Path, recipe: str, broken: bool, epochs: int, dies_at: int = 0) -> list[str]:
    """One process that trains, or goes on; with `dies_at` it is killed as it has left that many states."""
    sets = [
        "preparation.source.kind=picture",
        "preparation.size=[64, 64]",
        "protocol.kind=kfold",
        "protocol.folds=3",
    ]
    sets += [f"fit.epochs={epochs}"]
    return [
        *(sys.executable, "-u", "-c", CHILD.format(broken=broken, dies_at=dies_at)),
        *("train", str(table), "--label", "kind=square,line", "--recipe", recipe, "--weights", "random"),
        *(word for one in sets for word in ("--set", one)),
        *("--out", str(out), "--cache", str(table.parent / "cache"), "--threads", "1"),
    ]  # fmt: skip


def begin(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")


def finish(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=600)
    if process.returncode:
        raise SystemExit(f"The training failed: {said}")


def disturbed(words: list[str], out: Path, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill the training again and again, and let it end at last; kills, and how many hit a fit that had left a state."""
    killed = inside = 0
    while killed < kills:
        process = begin(words)
        assert process.stdout is not None
        said = ""
        # Sometimes at any moment of its life, else while it fits.
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0, 4))
        else:
            while line := process.stdout.readline():
                said += line
                if "slices of" in line:
                    break
            # On a busy machine the first epoch may take longer than any fixed time.
            state, patience = out / "run" / "under-way.safetensors", time.monotonic() + 60
            while not state.exists() and process.poll() is None and time.monotonic() < patience:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, LONGEST_S) ** 2)
        if process.poll() is None:
            process.kill()
            process.communicate()
            killed += 1
            inside += (out / "run" / "under-way.safetensors").exists()
        else:
            rest, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"The training failed: {said}{rest}")
            break
    finish(begin(words))
    return killed, inside


def killed_at_states(
    commands: Callable[[int], list[str]], kills: int, epochs: int, rng: random.Random
) -> int:
    """Kill the training as it leaves a state, `kills` times, and let it end at last; how often that was."""
    killed = 0
    for _ in range(kills):
        # Not more states than are left to a run whose every process comes this far.
        process = begin(commands(rng.randint(2, max(2, ROUNDS * (epochs - 1) // kills - epochs))))
        said, _ = process.communicate(timeout=600)
        if process.returncode == 0:
            break
        if process.returncode > 0 and sys.platform != "win32":
            raise SystemExit(f"The training failed: {said}")
        killed += 1
    finish(begin(commands(0)))
    return killed


def differing(one: Path, other: Path) -> list[str]:
    """The files that are not the same, byte for byte."""
    return [name for name in COMPARED if (one / name).read_bytes() != (other / name).read_bytes()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another each time)")
    parser.add_argument("--recipe", default="attention-squeezenet")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--folder", type=Path, default=None, help="where to train (default: the system's)")
    parser.add_argument("--at-states", action="store_true", help="at moments that depend on no clock")
    parser.add_argument("--break", action="store_true", dest="broken", help="forget the random numbers")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    rng = random.Random(seed)
    killed = inside = runs = 0
    problems: list[str] = []
    with tempfile.TemporaryDirectory(dir=given.folder) as room:
        table = make_table(Path(room))
        finish(begin(command(table, Path(room) / "whole", given.recipe, False, given.epochs)))
        whole = json.loads((Path(room) / "whole/evaluation.json").read_text())
        rounds, epochs = len(whole["runs"]), max((len(one["epochs"]) for one in whole["course"]), default=0)
        while killed < given.kills:
            out = Path(room) / f"out{runs}"
            words = partial(command, table, out, given.recipe, given.broken, given.epochs)
            todo = min(given.kills - killed, 8)
            if given.at_states:
                more = hit = killed_at_states(words, todo, given.epochs, rng)
            else:
                more, hit = disturbed(words(), out, todo, rng)
            killed, inside, runs = killed + more, inside + hit, runs + 1
            problems += [f"run {runs}: {name} differs" for name in differing(Path(room) / "whole", out)]
    print(
        f"{killed} processes killed in {runs} trainings of {rounds} rounds of {epochs} epochs and a final fit "
        f"({given.recipe}, seed {seed}); {inside} kills hit a fit that had left its state; {len(problems)} problems."
    )
    for problem in problems:
        print(problem)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
