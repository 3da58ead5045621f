"""What a fit is given to tell its epochs, and to be taken up where an earlier one was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

State: TypeAlias = dict[str, Any]
"""Tensors, arrays and plain values, nested in dictionaries and lists: what `packing.pack` takes."""


def nothing() -> None:
    """No map to show."""


class Fitting:
    """A fit that nobody watches and nobody keeps; see `rounds.Watched` for the other one.

    A fit with epochs looks at `left` first: None begins anew, else it is what `state` gave after some epoch, and the fit
    goes on from there to the same weights, bit for bit, as if it had not been stopped. A fit without epochs is done
    again as a whole.

    Attributes:
        left: see above.
        shown: index of the example whose attention is shown; it is none that the fit learns from.
        course: what was told after each epoch, those before the stop included.
    """

    def __init__(self, left: State | None = None, shown: int | None = None) -> None:
        """Begin anew, or where `left`, as `kept` gave it, says."""
        self.left: State | None = left["fit"] if left else None
        self.shown = shown
        self.course: list[dict[str, Any]] = [dict(one) for one in left["course"]] if left else []

    def step(self) -> None:
        """A step inside an epoch is over.

        Raises:
            Cancelled: the fit is to stop.
        """

    def epoch(
        self,
        epoch: int,
        epochs: int,
        *,
        loss: float,
        auc: float | None,
        kept: bool,
        tasks: Mapping[str, float] | None = None,
        state: Callable[[], State],
        look: Callable[[], NDArray[np.float32] | None] = nothing,
    ) -> None:
        """An epoch is over.

        Args:
            epoch: from 1.
            epochs: how many there are at most.
            loss: mean over the epoch.
            auc: on the patients who choose the epoch, or None.
            kept: whether these weights are the best so far, of any task.
            tasks: AUC of each task that keeps weights of its own, on the same patients; None where there is but one.
            state: gives all that the fit needs to go on from here.
            look: gives the attention (h, w) on the example that is shown.

        Raises:
            Cancelled: the fit is to stop.
        """
        told = {"epoch": epoch, "loss": loss, "auc": auc, "kept": kept}
        self.course.append(told | ({"tasks": dict(tasks)} if tasks else {}))

    def kept(self, state: Callable[[], State]) -> State:
        """What a later `Fitting` takes as `left`."""
        return {"course": self.course, "fit": state()}
