"""Another series of the same study in a second view, at the same place in the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel

from ..core import BreastAIError, DceVolume
from ..core.geometry import FloatArray
from . import layers as look

if TYPE_CHECKING:
    from .session import Session

CROSS = "Linked position"


def problem(volume: DceVolume | None, other_frame_of_reference: str) -> str:
    """Why a series cannot be linked to the study on the screen, in a sentence; "" where it can."""
    if volume is None:
        return "There is no study to see it beside. Open one first."
    mine = volume.identity.frame_of_reference_uid
    if not mine or not other_frame_of_reference:
        return (
            "The files do not name a frame of reference (FrameOfReferenceUID): nothing says where the two series "
            "lie to each other, so they are not linked. Open the series by itself."
        )
    if mine != other_frame_of_reference:
        return (
            "The two series have different frames of reference (FrameOfReferenceUID): the patient was moved or "
            "the scan begun anew, so equal coordinates are not the same place. Open the series by itself."
        )
    return ""


class Beside:
    """The second view. It follows the session's slice and pointer, and the session follows its slider.

    Attributes:
        model: the viewer model of the second view.
        volume: what it shows.
        point: the linked place, patient coordinates in mm, shape (3,).
        outside: the place lies before the first or after the last slice of `volume`.
    """

    def __init__(self, session: Session, volume: DceVolume) -> None:
        if why := problem(session.volume, volume.identity.frame_of_reference_uid):
            raise BreastAIError(why)
        assert session.volume is not None
        self._session = session
        self._study = session.volume
        self.volume = volume
        self.outside = False
        self._busy = False
        low, high = look.contrast(volume.data)
        self.model = ViewerModel(title=volume.description)
        self.model.add_image(
            volume.data,
            name=volume.description or "Beside",
            scale=(1.0, *volume.geometry.spacing),
            units=look.UNITS,
            axis_labels=look.AXES,
            colormap="gray",
            interpolation2d="linear",
            contrast_limits=(low, high),
        )
        self._cross = self.model.add_points(
            np.zeros((1, 3)),
            name=CROSS,
            scale=volume.geometry.spacing,
            units=look.UNITS[-3:],
            axis_labels=look.AXES[-3:],
            symbol="cross",
            size=max(volume.geometry.shape[1:]) / 40,
            face_color="#ffd54a",
            border_width=0,
        )
        self._cross.editable = False
        # As the study is shown: the head or the front above, the patient's right on the left.
        self.model.scene.camera.orientation2d = look.upright(volume)
        self.model.canvas.overlays.scale_bar.visible = True
        self.model.canvas.background_color_override = "black"
        rows, columns = self._study.geometry.shape[1:]
        self.point: FloatArray = self._study.geometry.to_patient(
            (session.slice_index, (rows - 1) / 2, (columns - 1) / 2)
        )
        self._pointer = tuple(session.viewer.cursor.position[-2:])
        session.study_changed.connect(self._on_study)
        session.position_changed.connect(self._follow)
        session.viewer.cursor.events.position.connect(self._on_pointer)
        self.model.dims.events.current_step.connect(self._on_slider)
        self._show()

    @property
    def index(self) -> FloatArray:
        """The linked place in the second view's index coordinates (slice, row, column), not rounded."""
        return self.volume.geometry.to_index(self.point)

    @property
    def title(self) -> str:
        """What it shows, in a few words."""
        return self.volume.description or "Beside"

    @property
    def text(self) -> str:
        """Where the second view is, in words."""
        z, count = self._nearest(), self.volume.n_slices
        if self.outside:
            return f"Slice {z} of 0–{count - 1}: the place lies outside this series"
        off = abs(float(self.index[0]) - z) * self.volume.geometry.spacing[0]
        return f"Slice {z} of 0–{count - 1}, {off:.1f} mm from the linked place"

    @property
    def sides(self) -> str:
        """The patient's side at each edge of the second view; "" where nothing tells."""
        return "   ".join(f"{edge} {side}" for edge, side in look.sides(self.volume).items())

    def belongs(self, volume: DceVolume | None) -> bool:
        """Whether a study is the one that it is beside, or another volume of the same study in the same frame."""
        return (
            volume is not None
            and volume.identity.study_uid == self._study.identity.study_uid
            and not problem(volume, self.volume.identity.frame_of_reference_uid)
        )

    def close(self) -> None:
        """Follow no more."""
        self._session.study_changed.disconnect(self._on_study, missing_ok=True)
        self._session.position_changed.disconnect(self._follow, missing_ok=True)
        self.model.dims.events.current_step.disconnect(self._on_slider)
        try:
            self._session.viewer.cursor.events.position.disconnect(self._on_pointer)
        except ReferenceError:  # the window has gone first
            return

    def _on_study(self) -> None:
        """The same study has come in another volume: its phases in another order, or another of its series."""
        if self.belongs(volume := self._session.volume):
            assert volume is not None
            self._study = volume

    def _follow(self) -> None:
        """The study's slice has changed: same row and column, another slice."""
        if self._busy or self._session.volume is not self._study:
            return
        place = self._study.geometry.to_index(self.point)
        place[0] = self._session.slice_index
        self.point = self._study.geometry.to_patient(place)
        self._show()

    def _on_pointer(self, event: Any = None) -> None:
        if self._session.volume is not self._study:
            return
        position = self._session.viewer.cursor.position
        # The position tells of the sliders too: only where the pointer itself has moved does the place.
        if len(position) < 3 or tuple(position[-2:]) == self._pointer:
            return
        self._pointer = tuple(position[-2:])
        _, dy, dx = self._study.geometry.spacing
        row, column = position[-2] / dy, position[-1] / dx
        rows, columns = self._study.geometry.shape[1:]
        if -0.5 <= row <= rows - 0.5 and -0.5 <= column <= columns - 0.5:
            self.point = self._study.geometry.to_patient((self._session.slice_index, row, column))
            self._show()

    def _on_slider(self, event: Any = None) -> None:
        """The person has moved the second view's slice: the place moves with it, and the study follows."""
        if self._busy or self._session.volume is not self._study:
            return
        z = round(self.model.dims.point[-3] / self.volume.geometry.spacing[0])
        place = self.index
        if z == self._nearest():
            return
        place[0] = z
        self.point = self.volume.geometry.to_patient(place)
        self._busy = True
        try:
            self._session.go_to(round(float(self._study.geometry.to_index(self.point)[0])))
        finally:
            self._busy = False
        self._show()

    def _nearest(self) -> int:
        return min(max(round(float(self.index[0])), 0), self.volume.n_slices - 1)

    def _show(self) -> None:
        place = self.index
        z = self._nearest()
        self.outside = abs(float(place[0]) - z) > 0.5 + 1e-6
        self._busy = True
        try:
            dims = self.model.dims
            dims.set_point(dims.ndim - 3, z * self.volume.geometry.spacing[0])
            self._cross.data = np.array([[z, place[1], place[2]]])
            self._cross.visible = not self.outside
        finally:
            self._busy = False
