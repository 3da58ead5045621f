"""What `kinetics` does on request: motion corrected first, the breasts outlined and their figures written."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import DceVolume, Progress
from .common import CommandError

if TYPE_CHECKING:
    from ..annotations.lesions import Lesion
    from ..kinetics import KineticMaps, Segmenter
    from ..kinetics.motion import Method

CORRECTED = "motion-corrected.nii.gz"


def add_breast(sub: argparse.ArgumentParser) -> None:
    """Add the options of this module."""
    sub.add_argument(
        "--motion",
        action="store_true",
        help=f"register the phases to the pre-contrast one first, and write them as {CORRECTED}",
    )
    sub.add_argument(
        "--motion-by",
        choices=("flow", "demons", "bspline", "elastix"),
        help="the elastic step of --motion: our own (flow, the default), SimpleITK's demons or B-spline, or elastix",
    )
    sub.add_argument(
        "--breast", action="store_true", help="outline the breasts: density and background enhancement"
    )
    sub.add_argument(
        "--segmentation",
        metavar="BUNDLE",
        help="outline the breasts with this network (a folder); as --breast",
    )
    sub.add_argument(
        "--bpe",
        type=float,
        metavar="%",
        help="tissue that enhances by this much counts as enhancing (default 20)",
    )
    sub.add_argument("--device", choices=("cpu", "cuda", "mps"), help="of the network; default: the best one")


def corrected(
    volume: DceVolume, pre: int | None, method: Method | None, out: Path, progress: Progress
) -> tuple[DceVolume, list[Path]]:
    """The study with its motion removed, written beside everything else; nothing is written over."""
    from ..kinetics import MotionSettings, correct_motion
    from ..study import write_nifti

    target = out / CORRECTED
    if target.exists():
        raise CommandError(
            f"{target} exists already, and a corrected study is never written over. Remove it, or choose another "
            "folder with --out."
        )
    found = correct_motion(volume, pre, MotionSettings(method=method or "flow"), progress)
    for phase, (before, after) in enumerate(zip(found.before_mm, found.after_mm, strict=True)):
        if phase != found.pre:
            print(
                f"Motion of phase {phase}: {before:.2f} mm before, {after:.2f} mm left after the correction."
            )
    said = f"{found.volume.description}, motion corrected".removeprefix(", ")
    paths = write_nifti(replace(found.volume, description=said), target, progress)
    return found.volume, list(paths)


def segmenter(arguments: argparse.Namespace) -> Segmenter | None:
    """Who outlines the breasts, where that was asked for: before the work, so that a wrong bundle is said at once."""
    if arguments.segmentation:
        from ..inference.segmentation import Network

        return Network.load(arguments.segmentation, arguments.device)
    if arguments.device is not None:
        raise CommandError("--device belongs to --segmentation: give a network too.")
    if arguments.breast:
        from ..kinetics import segment_breast

        return segment_breast
    if arguments.bpe is not None:
        raise CommandError("--bpe belongs to --breast or --segmentation: give one of these too.")
    return None


def write_breasts(
    find: Segmenter,
    arguments: argparse.Namespace,
    maps: KineticMaps,
    lesions: Iterable[Lesion],
    out: Path,
    progress: Progress,
) -> list[Path]:
    """Masks and figures of the breasts."""
    from ..kinetics import area_of_boxes, breast_figures
    from ..kinetics.density import BPE_THRESHOLD
    from ..kinetics.write import write_breasts

    masks = find(maps.volume, maps.choice.pre, progress)
    areas = [area_of_boxes(one.boxes, maps.geometry.shape) for one in lesions]
    threshold = BPE_THRESHOLD if arguments.bpe is None else arguments.bpe
    rows = breast_figures(masks, maps, areas, threshold)
    print(f"Breasts: {masks.how}.")
    for sentence in dict.fromkeys((*masks.warnings, *(one for row in rows for one in row.remarks))):
        print(f"Note: {sentence}")
    for row in rows:
        bpe = (
            "no background enhancement"
            if row.bpe_percent is None
            else f"background enhancement {row.bpe_percent:.0f} %, {row.bpe_part_percent:.0f} % of the tissue from "
            f"{threshold:g} % on"
        )
        print(
            f"{row.side}: breast {row.breast_ml:.0f} ml, fibroglandular tissue {row.tissue_ml:.0f} ml, density "
            f"{row.density_percent:.1f} %; {bpe}"
        )
    return list(write_breasts(masks, rows, maps.geometry, out))
