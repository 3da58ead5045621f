"""Take the documentation's pictures anew: `make screenshots`. All of them show synthetic studies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QCoreApplication, QEventLoop
from safetensors.torch import save_file

from napari_breast_ai.annotations import Journal, Placing, journal_path
from napari_breast_ai.annotations.lesions import lesion_of
from napari_breast_ai.annotations.suggest import ENHANCEMENT, from_enhancement, unlike
from napari_breast_ai.inference import predict
from napari_breast_ai.models import load_bundle
from napari_breast_ai.phantom import Kind, Phantom, PhantomSpec, make_phantom
from napari_breast_ai.viewer.commands import ANNOTATE, PLUGIN, TRAIN
from napari_breast_ai.viewer.launch import SIZE, _settle, show
from napari_breast_ai.viewer.widgets.planes_dock import find

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MODEL = "demo-attention-squeezenet"
PICTURES = {"review.png": ("nme", 6), "review-igm.png": ("igm", 13)}
ANNOTATED = ("annotate.png", "igm", 13)
TRAINED = "train.png"
KINETIC, PLANES, REVIEW = "kinetics.png", "planes.png", "Review"
BREASTS = "breasts.png"


def annotate(phantom: Phantom) -> None:
    """The Annotate dock with the true boxes as a reader's own, one lesion without its last slices, and suggestions."""
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_BREAST_AI_DATA"] = folder
        volume = phantom.volume
        drawn = [replace(box, id="", author="", lesion="") for box in phantom.truth.boxes]
        middle = sorted(box.z for box in drawn)[len(drawn) // 2]
        journal = Journal(
            journal_path(None, volume.identity, "reader-1"), "reader-1", placing=Placing.of(volume)
        )
        for box in drawn:
            if box.z <= middle:
                journal.add(replace(box, lesion=lesion_of(box, journal.boxes)))
        journal.offer(unlike(from_enhancement(volume, drawn[0].label), journal.boxes), ENHANCEMENT)
        show(
            volume,
            reader="reader-1",
            front=ANNOTATE,
            place=middle,
            screenshot=IMAGES / ANNOTATED[0],
            block=False,
        )
    print(f"{ANNOTATED[0]}: {len(journal.boxes)} boxes, {len(journal.offers)} suggestions")


def pictures(folder: Path) -> Path:
    """A cohort table of lesions of both kinds, a picture each, with their boxes."""
    lines = ["case_id,patient_id,path,diagnosis,box_y0,box_x0,box_y1,box_x1"]
    for number in range(16):
        kind: Kind = ("igm", "nme")[number % 2]
        phantom = make_phantom(PhantomSpec(kind=kind, seed=500 + number, shape=(12, 128, 128)))
        box = max(phantom.truth.boxes, key=lambda one: one.area)
        volume = phantom.volume
        early = volume.data[min(2, volume.n_phases - 1), box.z].astype(float)
        grey = early - volume.data[volume.pre_contrast, box.z]
        grey = np.clip(grey / np.percentile(grey, 99.5), 0, 1)
        Image.fromarray((grey * 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
        edges = (box.y0 + 0.5, box.x0 + 0.5, box.y1 - 0.5, box.x1 - 0.5)
        case = f"phantom-{number:02d}"
        lines.append(
            ",".join([case, case, f"{number:02d}.png", kind.upper(), *(f"{one:g}" for one in edges)])
        )
    table = folder / "phantoms.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def backbone(folder: Path) -> Path:
    """The demonstration model's own backbone, as weights for another training."""
    state = load_bundle(MODEL).model.backbone.state_dict()
    file = folder / "phantoms.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file


def train() -> None:
    """The Train dock in the middle of a training on pictures of phantoms."""
    with TemporaryDirectory() as room:
        os.environ["NAPARI_BREAST_AI_DATA"] = room
        viewer = napari.Viewer(title="napari-breast-ai")
        viewer.window.resize(*SIZE)
        shell, dock = viewer.window.add_plugin_dock_widget(PLUGIN, TRAIN)
        shell.raise_()
        training = dock.session.training
        training.open_table(pictures(Path(room)))
        wait(lambda: training.prospect.rounds > 0)
        training.choose(
            recipe="attention-squeezenet",
            weights=str(backbone(Path(room))),
            changes=(
                "preparation.source.kind=picture",
                "protocol.kind=kfold",
                "protocol.folds=4",
                "fit.epochs=300",
            ),
        )
        wait(lambda: training.ready)
        training.start()

        def far_enough() -> bool:
            course = None if training.run is None else training.run.current
            return course is not None and course.started.round == 3 and len(course.epochs) > 180

        wait(far_enough)
        _settle(0.3)
        viewer.screenshot(str(IMAGES / TRAINED), canvas_only=False, flash=False)
        training.cancel()
        wait(lambda: not training.busy)
        viewer.close()
        dock.session.shut_down()
    print(TRAINED)


def kinetics_and_planes() -> None:
    """The Kinetics dock with the curves of a lesion, and the orthogonal planes beside a study with its heat map."""
    phantom = make_phantom(PhantomSpec(kind="nme", seed=6))
    bundle = load_bundle(MODEL)
    for name, dock in ((KINETIC, "Kinetics"), (PLANES, REVIEW)):
        with TemporaryDirectory() as room:
            os.environ["NAPARI_BREAST_AI_DATA"] = room
            viewer = napari.Viewer(title="napari-breast-ai")
            viewer.window.resize(*SIZE)
            _, part = viewer.window.add_plugin_dock_widget(PLUGIN, dock)
            session = part.session
            session.show_study(phantom.volume, reading=1)
            for box in phantom.truth.boxes:
                session.journal.add(
                    replace(box, id="", author="", lesion=lesion_of(box, session.journal.boxes))
                )
            session.go_to(max(phantom.truth.boxes, key=lambda one: one.area).z)
            if name == PLANES:
                session.set_bundle(bundle)
                session.set_prediction(predict(phantom.volume, bundle))
                part.study.planes_button.click()
            _settle(4)
            if name == PLANES:
                box = next(one for one in session.journal.boxes if one.z == session.slice_index)
                middle = (round((box.y0 + box.y1) / 2), round((box.x0 + box.x1) / 2))
                find(session).planes.go((session.slice_index, *middle))
                _settle(1)
            viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)
            viewer.close()
            session.shut_down()
        print(name)


def breasts() -> None:
    """The Kinetics dock with both breasts outlined and measured, the lesion boxed."""
    phantom = make_phantom(PhantomSpec(kind="nme", seed=6, shape=(12, 256, 256), n_phases=4, density="b"))
    with TemporaryDirectory() as room:
        os.environ["NAPARI_BREAST_AI_DATA"] = room
        viewer = napari.Viewer(title="napari-breast-ai")
        viewer.window.resize(*SIZE)
        _, part = viewer.window.add_plugin_dock_widget(PLUGIN, "Kinetics")
        session = part.session
        session.show_study(phantom.volume, reading=1)
        for box in phantom.truth.boxes:
            session.journal.add(replace(box, id="", author="", lesion=lesion_of(box, session.journal.boxes)))
        session.go_to(max(phantom.truth.boxes, key=lambda one: one.area).z)
        session.kinetics.layers.show(map="")
        wait(lambda: session.kinetics.maps is not None)
        if part.breasts.folded:
            part.breasts.heading.click()
        part.breasts.outline_button.click()
        wait(lambda: session.kinetics.breasts.measured is not None)
        _settle(2)
        viewer.screenshot(str(IMAGES / BREASTS), canvas_only=False, flash=False)
        viewer.close()
        session.shut_down()
    print(BREASTS)


def wait(true: Callable[[], bool], seconds: float = 600.0) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)
        time.sleep(0.01)


def main() -> None:
    if "train" in sys.argv[1:]:
        train()
        return
    if "more" in sys.argv[1:]:
        kinetics_and_planes()
        breasts()
        return
    if "breasts" in sys.argv[1:]:
        breasts()
        return
    bundle = load_bundle(MODEL)
    for name, (kind, seed) in PICTURES.items():
        phantom = make_phantom(PhantomSpec(kind=kind, seed=seed))
        prediction = predict(phantom.volume, bundle)
        show(
            phantom.volume,
            boxes=phantom.truth.boxes,
            bundle=bundle,
            prediction=prediction,
            screenshot=IMAGES / name,
            block=False,
        )
        print(f"{name}: {kind} {seed}, {prediction.case.probabilities}")
    _, kind, seed = ANNOTATED
    annotate(make_phantom(PhantomSpec(kind=kind, seed=seed)))
    kinetics_and_planes()
    breasts()
    train()


if __name__ == "__main__":
    main()
