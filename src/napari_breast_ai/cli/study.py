"""Commands about studies: look at a folder, open it in the window, write it in another format."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..core import Progress
from .common import Commands, add_times, window_function, write_text
from .console import say_index


def register(commands: Commands) -> None:
    """Add `view`, `index` and `convert`."""
    view = commands.add("view", _view, "open a study in napari")
    view.add_argument("path", type=Path, help="a folder of DICOM")
    view.add_argument("--model", help="a bundle to have ready: its name or folder")
    view.add_argument("--screenshot", type=Path, metavar="PNG", help="take a picture of the window")
    view.add_argument(
        "--no-wait", action="store_true", help="close the window once it is open (and its picture taken)"
    )
    add_times(view)

    index = commands.add("index", _index, "say where every file of a folder belongs, or why it is unused")
    index.add_argument("path", type=Path)
    index.add_argument(
        "--json", type=Path, metavar="FILE", help="write the audit as JSON; - for standard output"
    )
    index.add_argument(
        "--overrules", type=Path, metavar="FILE", help="decisions about roles, phases and groups to apply"
    )
    index.add_argument(
        "--as-found", action="store_true", help="without the decisions that are kept beside the case"
    )

    convert = commands.add("convert", _convert, "write a study as NIfTI (with a JSON of times) or as DICOM")
    convert.add_argument("path", type=Path, help="anything that can be opened")
    convert.add_argument("out", type=Path, help="a file ending in .nii.gz, or a new folder for DICOM")
    convert.add_argument("--to", choices=("nifti", "dicom"), help="default: by the ending of OUT")
    convert.add_argument(
        "--keep-study",
        action="store_true",
        help="DICOM: keep the UIDs of the study, to lie beside its source",
    )
    add_times(convert)


def _view(arguments: argparse.Namespace, progress: Progress) -> None:
    """Open a study in napari."""
    from ..study import read_study

    volume = read_study(arguments.path, progress, arguments.times)
    for warning in volume.warnings:
        print(f"Note: {warning}")
    bundle = None
    if arguments.model:
        from ..models import load_bundle

        bundle = load_bundle(arguments.model)
    viewer = window_function("show")(
        volume,
        source=arguments.path,
        bundle=bundle,
        screenshot=arguments.screenshot,
        block=not arguments.no_wait,
    )
    if viewer is not None:
        viewer.close()


def _index(arguments: argparse.Namespace, progress: Progress) -> None:
    """Say where every file of a folder belongs."""
    from ..study import apply, overruled, read_overrules, scan

    given = None if arguments.overrules is None else read_overrules(arguments.overrules)
    index = scan(arguments.path, progress)
    if not arguments.as_found:
        index = overruled(index)
    if given is not None:
        index = apply(index, given)
    if arguments.json is None:
        say_index(index)
        return
    text = json.dumps(index.to_json(), indent=2) + "\n"
    if str(arguments.json) == "-":
        print(text, end="")
    else:
        write_text(arguments.json, text)
        print(
            f"Wrote {arguments.json}: {index.files} files, {len(index.groups)} groups, {len(index.unused)} unused."
        )


def _convert(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write a study as NIfTI or DICOM."""
    from ..study import read_study, write_dicom_series, write_nifti

    kind = arguments.to or ("nifti" if arguments.out.name.lower().endswith((".nii", ".nii.gz")) else "dicom")
    volume = read_study(arguments.path, progress, arguments.times)
    for warning in volume.warnings:
        print(f"Note: {warning}")
    shape = " × ".join(str(n) for n in volume.data.shape)
    if kind == "nifti":
        image, beside = write_nifti(volume, arguments.out, progress)
        print(f"Wrote {image} (phase × slice × row × column: {shape}) and {beside.name}.")
    else:
        files = write_dicom_series(volume, arguments.out, arguments.keep_study, progress)
        print(f"Wrote {len(files)} DICOM files (phase × slice × row × column: {shape}) to {arguments.out}.")
