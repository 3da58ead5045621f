"""Dialogs that ask for a folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QFileDialog, QWidget


def choose_study(parent: QWidget | None, title: str = "Open the folder of a breast DCE study") -> str:
    """Ask for a study's folder; "" where the person thinks better of it."""
    return _choose(parent, title, "study folder")


def choose_table(parent: QWidget | None) -> str:
    """Ask for a worklist; "" where the person thinks better of it."""
    settings = QSettings("napari-breast-ai", "napari-breast-ai")
    start = str(settings.value("study folder", ""))
    kinds = "Tables (*.csv *.tsv *.txt);;All files (*)"
    return str(QFileDialog.getOpenFileName(parent, "Open a worklist", start, kinds)[0])


def choose_output(parent: QWidget | None, title: str, name: str) -> str:
    """Ask where to keep a file; "" where the person thinks better of it."""
    settings = QSettings("napari-breast-ai", "napari-breast-ai")
    start = Path(str(settings.value("study folder", ""))).parent / name
    return str(QFileDialog.getSaveFileName(parent, title, str(start))[0])


def choose_moved(parent: QWidget | None) -> str:
    """Ask where the images of cases lie now; "" where the person thinks better of it."""
    return _choose(parent, "Where do the images lie now?", "study folder")


def choose_files(parent: QWidget | None) -> list[str]:
    """Ask for files of a study, or an archive; none where the person thinks better of it."""
    settings = QSettings("napari-breast-ai", "napari-breast-ai")
    start = str(settings.value("study folder", ""))
    files = QFileDialog.getOpenFileNames(parent, "Open files of a study, or a zip archive", start)[0]
    return [str(file) for file in files]


def choose_bundle(parent: QWidget | None) -> str:
    """Ask for a model bundle's folder; "" where the person thinks better of it."""
    return _choose(parent, "Open the folder of a model bundle", "bundle folder")


def _choose(parent: QWidget | None, title: str, remembered: str) -> str:
    settings = QSettings("napari-breast-ai", "napari-breast-ai")
    folder = str(QFileDialog.getExistingDirectory(parent, title, str(settings.value(remembered, ""))))
    if folder:
        settings.setValue(remembered, folder)
    return folder
