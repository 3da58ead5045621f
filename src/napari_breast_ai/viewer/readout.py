"""The lines in the canvas that follow the sliders."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from napari.components.overlays import TextOverlay

from . import layers as look
from .notices import RESEARCH_USE

if TYPE_CHECKING:
    from .session import Session

NAME = "breast_ai"
SIZE, LARGE = 10, 20
"""Points, for a reader and for people who look on."""

_LETTER_PX = 0.95
"""The usual width of a letter for each point of its size; it need only be near enough to break lines by."""


class Readout:
    """A text in the upper left corner: slice, phase and its time, and the model's scores of this slice."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # No box behind the text: vispy would link a new shader program for it with every line written.
        self._overlay = TextOverlay(
            position="top_left", font_size=SIZE, visible=False, color="white", box=False
        )
        session.viewer.canvas.overlays[NAME] = self._overlay
        session.viewer.dims.events.ndisplay.connect(self.refresh)
        session.viewer.dims.events.order.connect(self.refresh)
        session.viewer.canvas.events.size.connect(self.refresh)
        for signal in (
            session.position_changed,
            session.study_changed,
            session.prediction_changed,
            session.boxes_changed,
            session.range.changed,
            session.presenter.changed,
        ):
            signal.connect(self.refresh)

    @property
    def text(self) -> str:
        """What is written in the canvas."""
        return self._overlay.text if self._overlay.visible else ""

    def refresh(self, event: Any = None) -> None:
        """Write anew."""
        large = self._session.presenter.on
        lines = describe(self._session)
        if large:
            said = said_of_case(self._session)
            lines = [*said, *(line for line in lines if line not in said)]
        size = LARGE if large else SIZE
        text = "\n".join(fitted(lines, self._session.viewer.canvas.size[1], size))
        # With every slice napari would check each of these anew.
        overlay, wanted = self._overlay, {"font_size": size, "text": text, "visible": bool(lines)}
        changed = {name: value for name, value in wanted.items() if getattr(overlay, name) != value}
        for name, value in changed.items():
            setattr(overlay, name, value)
        if changed:
            self._place_now()

    def _place_now(self) -> None:
        """Have napari place its texts before the next picture: in it, it would have to paint a second one.

        It does so whenever it hears of the tiling; nothing of it changes here.
        """
        tiling = self._session.viewer.canvas.overlay_tiling
        tiling.events(type_name="middle_center", value=tiling.middle_center)

    def remove(self) -> None:
        """Take the lines off the canvas."""
        self._session.viewer.dims.events.ndisplay.disconnect(self.refresh)
        self._session.viewer.dims.events.order.disconnect(self.refresh)
        self._session.viewer.canvas.events.size.disconnect(self.refresh)
        if NAME in self._session.viewer.canvas.overlays:
            del self._session.viewer.canvas.overlays[NAME]


def said_of_case(session: Session) -> list[str]:
    """What the model says of the whole case in a line, and whether that is certain."""
    if session.prediction is None:
        return []
    scores = session.prediction.case.probabilities
    case = "Case, taught live, not calibrated:   " if session.live.scores_taught else "Case:   "
    line = case + "   ".join(f"{k} {'–' if v is None else f'{v:.2f}'}" for k, v in scores.items())
    return [line, *filter(None, [session.range.doubt])]


def fitted(lines: Iterable[str], width: int, size: int = SIZE) -> list[str]:
    """Lines broken so that a canvas of that many pixels shows them whole; first between what belongs together."""
    room = max(12, int((width - 16) / (_LETTER_PX * size)))
    found: list[str] = []
    for line in lines:
        # No break inside a part that fits.
        parts = [
            one if len(one) > room else one.replace(" ", "\N{NO-BREAK SPACE}") for one in line.split("   ")
        ]
        found.extend(one.replace("\N{NO-BREAK SPACE}", " ") for one in wrap("   ".join(parts), room))
    return found


def describe(session: Session) -> list[str]:
    """The lines for where the session is, counted from 0 as the sliders and the files do."""
    volume, prediction = session.volume, session.prediction
    if volume is None:
        return []
    z, phase = session.slice_index, session.phase_index
    time = "time unknown" if "unknown" in volume.times.source else f"{volume.times.start_s[phase]:.0f} s"
    when = "pre-contrast" if phase == volume.pre_contrast else time
    parts = []
    if volume.n_slices > 1:
        parts.append(f"Slice {_of(z, volume.n_slices)}")
    if volume.n_phases > 1:
        parts.append(f"Phase {_of(phase, volume.n_phases)}, {when}")
    lines = ["   ".join(parts)] if parts else []
    journal = session.journal
    if journal is not None and journal.empty_case:
        lines.append("No lesion in this case, as you said")
    elif journal is not None and z in journal.empty_slices:
        lines.append("No lesion on this slice, as you said")
    if prediction is not None and prediction.slices:
        if z in prediction.slices:
            at = prediction.slices.index(z)
            for group in prediction.groups:
                scores = [f"{label} {prediction.probabilities[label][at]:.2f}" for label in group.labels]
                lines.append("   ".join(scores))
            if session.live.scores_taught:
                lines.append("Scores taught live, not calibrated")
            if doubt := session.range.doubt:
                lines.append(doubt)
        else:
            lines.append("This slice is still to come" if prediction.pending else "This slice was not scored")
    if caption := session.kinetics.layers.caption:
        lines.append(caption)
    # The letters hold for the slices as they are opened, not for a turned or a 3D view.
    dims = session.viewer.dims
    if (edges := look.sides(volume)) and dims.ndisplay == 2 and dims.order == tuple(range(dims.ndim)):
        lines.append("   ".join(f"{edge} {side}" for edge, side in edges.items()))
    if volume.identity.synthetic:
        lines.append("Synthetic data")
    lines.append(RESEARCH_USE)
    return lines


def _of(index: int, count: int) -> str:
    return f"{index} of 0–{count - 1}" if count > 1 else f"{index}"
