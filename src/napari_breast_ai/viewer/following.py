"""The study on the screen follows what is decided about it: the image that is looked at stays, its series changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import DceVolume, FrameRef, Progress
from . import layers as look

if TYPE_CHECKING:
    from ..study import Group, Loader, StudyIndex
    from .session import Session

FOLLOW = "follow"
_KEPT = ("visible", "opacity", "gamma", "colormap", "interpolation2d")


def follow(session: Session, index: StudyIndex) -> None:
    """Show the study on the screen as the index has it now, where that is another series than it was.

    The group is taken that holds the image on the screen. Pixels that are in memory are not read again.
    """
    volume, loader = session.volume, session.loader
    if volume is None or not volume.frames:
        return
    here = volume.frames[session.phase_index][session.slice_index]
    group = next((one for one in index.groups if here in _refs(one)), None)
    if group is None or not _differs(session, group):
        return

    def work(progress: Progress) -> Loader:
        from ..study import Loader, recall_times

        made = Loader(group)
        made.volume = recall_times(made.volume, session.source)
        _adopt(made, volume, None if loader is None else loader.loaded)
        phase, z = _place(made, here) or (0, 0)
        made.load(progress, (phase, z), only={(phase, z), (made.volume.pre_contrast, z)})
        return made

    def show(made: Loader) -> None:
        # Another study may have been opened meanwhile.
        if session.volume is volume:
            # The sliders may have been moved meanwhile.
            now = volume.frames[session.phase_index][session.slice_index]
            show_instead(session, made.volume, made, _place(made, now) or _place(made, here))

    session.workers.start(FOLLOW, "Follow the decision", work, done=show, failed=session.fail)


def _refs(group: Group) -> set[FrameRef]:
    return {FrameRef(frame.source.sop_instance_uid, frame.number) for frame in group.frames}


def _differs(session: Session, group: Group) -> bool:
    """Whether the group would look otherwise than what is on the screen."""
    volume = session.volume
    assert volume is not None
    frames = tuple(
        tuple(FrameRef(frame.source.sop_instance_uid, frame.number) for frame in phase.frames)
        for phase in group.phases
    )
    return frames != volume.frames or group.pre_contrast != volume.pre_contrast


def _adopt(made: Loader, volume: Any, loaded: Any) -> None:
    """Take over the pixels of the same images from the volume on the screen; `loaded` None: all of them are there."""
    old, new = volume.data, made.volume.data
    if made.volume.frames == volume.frames and old.dtype == new.dtype:
        made.volume = replace(made.volume, data=old)
        made.loaded = np.ones(old.shape[:2], dtype=bool) if loaded is None else loaded
        return
    if not np.can_cast(old.dtype, new.dtype):
        return
    at = {ref: (p, z) for p, refs in enumerate(volume.frames) for z, ref in enumerate(refs)}
    for p, refs in enumerate(made.volume.frames):
        for z, ref in enumerate(refs):
            place = at.get(ref)
            if place is not None and (loaded is None or loaded[place]):
                new[p, z] = old[place]
                made.loaded[p, z] = True


def _place(made: Loader, ref: FrameRef) -> tuple[int, int] | None:
    """Where the image is in the new volume."""
    return next(((p, refs.index(ref)) for p, refs in enumerate(made.volume.frames) if ref in refs), None)


def show_instead(
    session: Session, volume: DceVolume, loader: Loader | None = None, place: tuple[int, int] | None = None
) -> None:
    """Show a study in place of the one on the screen whose images it holds; zoom and how they look stay.

    Args:
        session: of the window.
        volume: the study as it is now.
        loader: where it is still to be filled.
        place: phase and slice to show; None for those of now.
    """
    viewer, old = session.viewer, session.volume
    place = place or (session.phase_index, session.slice_index)
    camera = viewer.scene.camera
    seen = (camera.center, camera.zoom, camera.angles)
    kept: dict[str, dict[str, Any]] = {}
    boxes: tuple[Any, ...] = ()
    for layer in viewer.layers:
        entry = look.info(layer)
        if entry.get("volume") is not old:
            continue
        if entry["role"] in look.FILLED:
            kept[entry["role"]] = {name: getattr(layer, name) for name in _KEPT}
        if entry["role"] == look.DYNAMIC:
            kept[look.DYNAMIC]["contrast_limits"] = layer.contrast_limits
        if entry["role"] == look.REFERENCE:
            boxes = entry["boxes"]
    asked = session.prediction is not None
    reading = session.journal.reading if session.journal is not None else 1
    session.show_study(volume, session.source, boxes, loader, reading)
    for layer in viewer.layers:
        role = look.info(layer).get("role", "")
        for name, value in kept.get(role, {}).items():
            # A single phase has nothing but black there, over the only image.
            if (role, name, volume.n_phases) != (look.SUBTRACTION, "visible", 1):
                setattr(layer, name, value)
    session.go_to(place[1], place[0])
    camera.center, camera.zoom, camera.angles = seen
    if asked:
        session.say(
            "The study on the screen has followed the decision: run the model again on what it is now."
        )
