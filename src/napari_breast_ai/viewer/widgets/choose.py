"""Dialogs that ask for a folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from .remembered import settings


def choose_study(parent: QWidget | None, title: str = "Open the folder of a breast DCE study") -> str:
    """Ask for a study's folder; "" where the person thinks better of it."""
    return _choose(parent, title, "study folder")


def choose_table(parent: QWidget | None) -> str:
    """Ask for a worklist; "" where the person thinks better of it."""
    known = settings()
    start = str(known.value("study folder", ""))
    kinds = "Tables (*.csv *.tsv *.txt);;All files (*)"
    return str(QFileDialog.getOpenFileName(parent, "Open a worklist", start, kinds)[0])


def choose_cohort(parent: QWidget | None) -> str:
    """Ask for a cohort table; "" where the person thinks better of it."""
    return _choose_file(
        parent, "Open a table of cases", "cohort table", "Tables (*.csv *.tsv *.txt);;All files (*)"
    )


def choose_weights(parent: QWidget | None) -> str:
    """Ask for a file of weights; "" where the person thinks better of it."""
    kinds = "Weights (*.safetensors *.pth *.pt);;All files (*)"
    return _choose_file(parent, "The backbone's ImageNet weights", "weights file", kinds)


def choose_recipe(parent: QWidget | None) -> str:
    """Ask for a training recipe; "" where the person thinks better of it."""
    return _choose_file(
        parent, "Open a training recipe", "recipe file", "Recipes (*.yaml *.yml);;All files (*)"
    )


def choose_curve(parent: QWidget | None) -> str:
    """Ask for the file of an arterial input; "" where the person thinks better of it."""
    return _choose_file(parent, "Open an arterial input", "input file", "Tables (*.csv);;All files (*)")


def choose_t1_map(parent: QWidget | None) -> str:
    """Ask for a T1 map; "" where the person thinks better of it."""
    kinds = "Images (*.nii *.nii.gz *.nrrd *.mha *.dcm);;All files (*)"
    return _choose_file(parent, "Open a T1 map in seconds", "map file", kinds)


def choose_flip_angles(parent: QWidget | None) -> str:
    """Ask for the images of several flip angles; "" where the person thinks better of it."""
    return _choose(parent, "Open the folder of the images of several flip angles", "angles folder")


def choose_result(parent: QWidget | None, start: str) -> str:
    """Ask for the folder that a training's result goes to; "" where the person thinks better of it."""
    return str(QFileDialog.getExistingDirectory(parent, "A folder for the training's result", start))


def _choose_file(parent: QWidget | None, title: str, remembered: str, kinds: str) -> str:
    known = settings()
    file = str(QFileDialog.getOpenFileName(parent, title, str(known.value(remembered, "")), kinds)[0])
    if file:
        known.setValue(remembered, file)
    return file


def choose_output(parent: QWidget | None, title: str, name: str) -> str:
    """Ask where to keep a file; "" where the person thinks better of it."""
    known = settings()
    start = Path(str(known.value("study folder", ""))).parent / name
    return str(QFileDialog.getSaveFileName(parent, title, str(start))[0])


def choose_moved(parent: QWidget | None) -> str:
    """Ask where the images of cases lie now; "" where the person thinks better of it."""
    return _choose(parent, "Where do the images lie now?", "study folder")


def choose_files(parent: QWidget | None) -> list[str]:
    """Ask for files of a study, or an archive; none where the person thinks better of it."""
    known = settings()
    start = str(known.value("study folder", ""))
    files = QFileDialog.getOpenFileNames(parent, "Open files of a study, or a zip archive", start)[0]
    return [str(file) for file in files]


def choose_bundle(parent: QWidget | None) -> str:
    """Ask for a model bundle's folder; "" where the person thinks better of it."""
    return _choose(parent, "Open the folder of a model bundle", "bundle folder")


def choose_segmentation(parent: QWidget | None) -> str:
    """Ask for the folder of a network that outlines breasts; "" where the person thinks better of it."""
    return _choose(parent, "Open the folder of a segmentation bundle", "segmentation folder")


def choose_target(parent: QWidget | None, title: str) -> str:
    """Ask for a folder to write into; "" where the person thinks better of it."""
    return _choose(parent, title, "target folder")


def choose_index(parent: QWidget | None, title: str) -> str:
    """Ask for the folder of an index of similar cases; "" where the person thinks better of it."""
    return _choose(parent, title, "index folder")


def _choose(parent: QWidget | None, title: str, remembered: str) -> str:
    known = settings()
    folder = str(QFileDialog.getExistingDirectory(parent, title, str(known.value(remembered, ""))))
    if folder:
        known.setValue(remembered, folder)
    return folder
