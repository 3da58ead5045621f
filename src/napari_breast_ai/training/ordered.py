"""An order carried out: trained in its run folder, judged, written, its report made."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import torch

from ..core import Progress
from ..inference import FeatureCache
from .errors import TrainingError
from .order import Order, resolve
from .ready import asked
from .report import write_report
from .rounds import Farm
from .runfolder import RunFolder
from .train import train
from .watching import Control
from .wire import Told, Written
from .written import write_training

REPORT = "report.html"


def train_order(
    order: Order,
    tell: Callable[[Told], None],
    control: Control | None,
    progress: Progress,
    anew: bool = False,
    farm: Farm | None = None,
) -> Written:
    """Begin a run, or go on with the same one where its folder holds what was done of it.

    Args:
        order: see there; nothing of it may be missing.
        tell: told of every event.
        control: pauses and cancels; None where nobody does.
        progress: told after every case, batch and round.
        anew: remove what an earlier run in the folder has done.
        farm: where the rounds run; None runs them here.

    Returns:
        Where the result lies.

    Raises:
        TrainingError: it cannot be trained; see `train` and `RunFolder.open`.
        Cancelled: through the control, or from inside the progress.
    """
    cohort, questions, recipe = resolve(order)
    out = Path(order.out).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The folder {out} cannot be made ({error.strerror}). Choose another one."
        ) from error
    folder = RunFolder(out)
    if anew:
        folder.forget()
    began = (folder.started or {}).get("circumstances") or {}
    if threads := order.threads or began.get("threads"):
        torch.set_num_threads(int(threads))
    reader = order.reader or None
    # The weights of another recipe may still stand there.
    weights = order.weights if recipe.needs_weights and order.weights else None
    wanted = asked(cohort, questions, recipe, weights, reader, order.leave_out)
    with folder.open(wanted, order.arguments()):
        before = folder.state == "finished"
        if not before:
            trained = train(
                cohort,
                questions,
                recipe,
                weights,
                reader=reader,
                leave_out=order.leave_out,
                cache=FeatureCache(Path(order.cache) if order.cache else None),
                folder=folder,
                farm=farm,
                progress=progress,
                watch=tell,
                control=control,
            )
            progress(0, 0, "writing the result")
            write_training(out, trained, command(order))
            folder.finish()
        evaluation = out / "evaluation.json"
        progress(0, 0, "writing the report")
        write_report([evaluation], out / REPORT)
    return Written(str(evaluation), str(out / REPORT), str(out / "bundle"), before)


def command(order: Order) -> str:
    """The command with which a person makes it again, by names of files: a bundle tells nobody's folders."""
    words = ["napari-breast-ai", "train", Path(order.table).name]
    for label in order.labels:
        words += ["--label", label]
    words += ["--recipe", Path(order.recipe).name]
    if order.weights:
        words += ["--weights", Path(order.weights).name]
    for change in order.changes:
        words += ["--set", change]
    words += ["--reader", "READER"] * bool(order.reader) + ["--leave-out"] * order.leave_out
    return shlex.join([*words, "--out", "DIR"])
