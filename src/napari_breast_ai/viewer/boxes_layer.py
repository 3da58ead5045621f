"""The reader's boxes as a Shapes layer, and every action on it as a line in the journal.

The journal is the truth; the layer shows it. After each action of the person the layer is compared with the
journal and the difference written; after each change of the journal (undo, another class) the layer is
brought in line. Boxes lie in a 3D (slice, row, column) layer over the 4D image, so that they show in every
phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from napari.layers import Layer, Shapes
from psygnal import Signal

from ..annotations.lesions import lesion_of
from ..core import Box, BreastAIError, DceVolume
from . import layers as look
from .box_shapes import box_of, moved, settled, spread, straight, text_offset
from .palette import label_color, rgba
from .shortcuts import tooltip

if TYPE_CHECKING:
    from .session import Session


class BoxesLayer:
    """The boxes layer of a session: made with the study, gone with it.

    Attributes:
        last: id of the box that was drawn, changed or jumped to last, or "".
        mode_changed: emitted when drawing may have been switched on or off.
    """

    mode_changed: ClassVar[Signal] = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer: Shapes | None = None
        self.last = ""
        self._quiet = False
        self._drawing = False
        self._resting = False
        self._colors: dict[str, str] = {}
        session.study_changed.connect(self._on_study)
        session.boxes_changed.connect(self._pull)
        session.label_changed.connect(self._on_label)
        session.protocol_changed.connect(self._on_protocol)
        session.viewer.layers.events.removed.connect(self._on_removed)
        session.viewer.layers.selection.events.active.connect(self._on_mode)
        session.viewer.layers.selection.events.active.connect(self._rest)

    @property
    def layer(self) -> Shapes | None:
        """The layer, or None without a study."""
        return self._layer

    @property
    def drawing(self) -> bool:
        """Whether a drag on the canvas draws a box."""
        return (
            self._layer is not None
            and self._layer.mode == "add_rectangle"
            and self._session.viewer.layers.selection.active is self._layer
        )

    @property
    def selecting(self) -> bool:
        """Whether a click on the canvas selects boxes, and a drag moves them."""
        return (
            self._layer is not None
            and self._layer.mode == "select"
            and self._session.viewer.layers.selection.active is self._layer
        )

    @property
    def selected(self) -> frozenset[str]:
        """Ids of the boxes that the person has selected. A box that has just been drawn is not."""
        if self._layer is None or self.drawing:
            return frozenset()
        return frozenset(str(self._layer.features["id"].iloc[i]) for i in self._layer.selected_data)

    def draw(self, on: bool = True) -> None:
        """Let a drag on the canvas draw a box, or move the picture again."""
        self._mode("add_rectangle" if on else "pan_zoom")

    def edit(self, on: bool = True) -> None:
        """Let a click on the canvas select boxes and a drag move and resize them, or draw again."""
        self._mode("select" if on else "add_rectangle")

    def select(self, box_id: str) -> None:
        """Mark a box as the one that is meant."""
        self.last = box_id
        if self._layer is not None and self.selecting:
            ids = [str(value) for value in self._layer.features["id"]]
            self._layer.selected_data = {ids.index(box_id)} if box_id in ids else set()

    def _mode(self, mode: str) -> None:
        layer = self._layer
        if layer is None:
            return
        if mode != "pan_zoom":
            layer.visible = True
            self._session.viewer.layers.selection.active = layer
            if layer.selected_data:
                layer.selected_data = set()
        layer.mode = mode

    def put(self, layer: Layer) -> None:
        """Add another layer of ours: napari makes it the active one, but what the mouse does shall stay."""
        layers = self._session.viewer.layers
        active, mine = layers.selection.active, self._layer
        mode = "" if mine is None else str(mine.mode)
        layers.append(layer)
        if active is not None:
            layers.selection.active = active
        if mine is not None and active is mine and mine.mode != mode:
            mine.mode = mode

    def undo(self) -> None:
        """Take the last change back."""
        self._try("undo")

    def redo(self) -> None:
        """Make the undone change again."""
        self._try("redo")

    # ------------------------------------------------------- study and classes

    def _on_study(self) -> None:
        session = self._session
        self.last = ""
        if session.volume is None or session.journal is None:
            layer, self._layer = self._layer, None
            if layer is not None and layer in session.viewer.layers:
                session.viewer.layers.remove(layer)
            return
        if self._layer is not None and self._layer in session.viewer.layers:
            self._take_place(self._layer, session.volume)
        else:
            self._make(session.volume)
        assert self._layer is not None
        self._layer.editable = not session.journal.read_only
        self._rest()

    def _take_place(self, layer: Shapes, volume: DceVolume) -> None:
        """Use the layer for another study."""
        with self._silence():
            layer.selected_data = set()
            if len(layer.data):
                layer.remove(list(range(len(layer.data))))
            layer.metadata = look.entry(look.BOXES, volume)
            # napari lays all layers out anew for each of these, whether it changes or not. Once it must: else the
            # sliders keep the ends of the study before.
            layer.scale = volume.geometry.spacing
            if layer.current_edge_width != (width := look.edge_width(volume)):
                layer.current_edge_width = width
            if not np.array_equal(layer.text.translation, offset := text_offset(volume)):
                layer.text.translation = offset

    def _make(self, volume: DceVolume) -> None:
        session = self._session
        layer = Shapes(
            ndim=3,
            **look.shared_settings(volume),
            name="Boxes",
            # Typed although empty: napari cannot guess the kind of a column without rows.
            features=pd.DataFrame({name: pd.Series([], dtype=object) for name in ("label", "id")}),
            edge_color="label",
            face_color="transparent",
            edge_width=look.edge_width(volume),
            text={
                "string": "{label}",
                "size": 9,
                "color": "white",
                "anchor": "upper_left",
                "translation": text_offset(volume),
            },
            metadata=look.entry(look.BOXES, volume),
        )
        layer.help = f"Draw a box: {tooltip('draw')}"
        self._layer, self._resting, self._colors = layer, False, {}
        self._color_classes()
        active = session.viewer.layers.selection.active
        session.viewer.add_layer(layer)
        if active is not None:
            session.viewer.layers.selection.active = active
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)
        layer.events.mode.connect(self._on_mode)
        self._pull()
        self._on_label(session.current_label)

    def _on_mode(self, event: Any = None) -> None:
        self.mode_changed.emit()

    def _rest(self, event: Any = None) -> None:
        """Hide the layer while it is empty and nobody draws in it, and show it again when either changes.

        An empty layer that is shown costs as much with every slice as one with boxes, and napari and vispy link
        two shader programs for it each time.
        """
        layer = self._layer
        if layer is None:
            return
        idle = not len(layer.data) and self._session.viewer.layers.selection.active is not layer
        if idle and layer.visible:
            self._resting, layer.visible = True, False
        elif not idle and self._resting:
            self._resting, layer.visible = False, True

    def _labels(self) -> list[str]:
        boxes = self._session.journal.boxes if self._session.journal is not None else ()
        return list(
            dict.fromkeys(
                [*self._session.protocol.labels, self._session.current_label, *(box.label for box in boxes)]
            )
        )

    def _color_classes(self) -> None:
        """Give every class its own colour, whatever class is drawn first."""
        assert self._layer is not None
        colors = {label: label_color(label, self._session.protocol) for label in self._labels()}
        if colors == self._colors:
            return  # else every key to a class would paint the whole window
        self._colors = colors
        self._layer.edge_color_cycle_map = {label: rgba(color) for label, color in colors.items()}
        self._layer.refresh_colors(update_color_mapping=False)

    def _on_label(self, label: str) -> None:
        layer, journal = self._layer, self._session.journal
        if layer is None or journal is None:
            return
        self._color_classes()
        layer.feature_defaults["label"] = label
        # A value to start from that no box has: a drawn shape without an id of its own is a new box.
        layer.feature_defaults["id"] = ""
        layer.events.feature_defaults()
        ids = [box.id for box in journal.boxes if box.id in self.selected and box.label != label]
        if ids:
            self._try("relabel", ids, label)

    def _on_protocol(self) -> None:
        if self._layer is not None:
            self._color_classes()

    # --------------------------------------------------- from hand to journal

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event, "action", ""))
        if action in ("adding", "changing", "removing"):
            # A rectangle that is being drawn has corners already; it counts when the button is up.
            self._drawing = action == "adding"
            return
        self._drawing = False
        self._push()
        self._rest()

    def _on_features(self, event: Any) -> None:
        if not self._drawing:
            self._push()

    def _push(self) -> None:
        """Write what the person did into the journal."""
        layer, journal = self._layer, self._session.journal
        if self._quiet or layer is None or journal is None:
            return
        known = {box.id: box for box in journal.boxes}
        seen: set[str] = set()
        dropped: list[int] = []
        ids = [str(value) if value else "" for value in layer.features["id"]]
        labels = [str(value) for value in layer.features["label"]]
        still = settled(layer.data, [known.get(box_id) for box_id in ids])
        crooked = False
        with self._silence():
            try:
                for row, corners in enumerate(layer.data):
                    box_id = ids[row] if ids[row] in known and ids[row] not in seen else ""
                    if box_id and still[row] and known[box_id].label == labels[row]:
                        seen.add(box_id)
                        continue
                    box = self._box(corners, labels[row])
                    if box is None and box_id and spread(corners):
                        # Seen from the side a box can be pulled through slices; it stays as it was.
                        seen.add(box_id)
                        crooked = True
                        continue
                    if box is None:
                        dropped.append(row)
                        seen.discard(box_id)
                        continue
                    if not box_id:
                        box = replace(box, lesion=lesion_of(box, journal.boxes))
                        made = journal.add(box, self._session.phase_index)
                        layer.features.loc[row, "id"] = made.id
                        self.last = box_id = made.id
                    else:
                        before = known[box_id]
                        if moved(before, box):
                            journal.move(box_id, box, self._session.phase_index)
                            self.last = box_id
                        if before.label != box.label:
                            journal.relabel(box_id, box.label)
                    seen.add(box_id)
                    crooked = crooked or not straight(corners, layer.shape_type[row])
                if gone := [box_id for box_id in known if box_id not in seen]:
                    journal.delete(gone)
            except BreastAIError as error:
                self._session.fail(error)
                self._rebuild()
                return
            if dropped:
                layer.remove(dropped)
        if crooked:
            self._rebuild()

    def _box(self, corners: Any, label: str) -> Box | None:
        """The box that a shape means; None where it is too small, or runs through slices, which is said."""
        assert self._session.volume is not None
        if spread(corners):
            self._session.say(
                "Boxes are drawn on slices. Turn the view back to slices (Ctrl+R, Ctrl+T) and draw again."
            )
            return None
        return box_of(corners, label, self._session.volume.geometry.shape)

    # --------------------------------------------------- from journal to layer

    def _pull(self) -> None:
        """Bring the layer in line with the journal."""
        layer, journal = self._layer, self._session.journal
        if self._quiet or layer is None or journal is None:
            return
        shown = [str(value) for value in layer.features["id"]]
        boxes = {box.id: box for box in journal.boxes}
        same = shown == list(boxes) and not any(
            moved(boxes[box_id], box)
            for box_id, corners, still in zip(
                shown, layer.data, settled(layer.data, list(boxes.values())), strict=True
            )
            if not still and (box := self._box(corners, "?")) is not None
        )
        if not same:
            self._rebuild()
            self._rest()
        elif [str(value) for value in layer.features["label"]] != [box.label for box in journal.boxes]:
            self._color_classes()
            with self._silence():
                features = layer.features.copy()
                for row, box in enumerate(journal.boxes):
                    features.loc[row, "label"] = box.label
                layer.features = features
                layer.refresh_colors()
                layer.refresh_text()

    def _rebuild(self) -> None:
        """Show exactly the journal's boxes."""
        layer, journal, volume = self._layer, self._session.journal, self._session.volume
        if layer is None or journal is None or volume is None:
            return
        self._color_classes()
        with self._silence():
            layer.selected_data = set()
            if len(layer.data):
                layer.remove(list(range(len(layer.data))))
            boxes = journal.boxes
            if boxes:
                layer.add_rectangles(
                    [look.rectangle(box) for box in boxes], edge_width=look.edge_width(volume)
                )
                features = layer.features.copy()
                features["label"] = pd.Series([box.label for box in boxes], dtype=object)
                features["id"] = pd.Series([box.id for box in boxes], dtype=object)
                layer.features = features
                layer.refresh_colors()
                layer.refresh_text()

    def _try(self, action: str, *arguments: Any) -> None:
        journal = self._session.journal
        if journal is not None:
            self._session.editing.do(lambda: getattr(journal, action)(*arguments))

    def _on_removed(self, event: Any) -> None:
        """A person who removes the layer removes it from the screen; no box is deleted by it."""
        if self._layer is not None and event.value is self._layer:
            self._layer = None

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Changes made here are not actions of the person."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before
