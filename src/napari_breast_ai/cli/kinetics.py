"""The command that reads a study's kinetics: maps, tables and curves without a window."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import Box, BreastAIError, DceVolume, Progress
from .common import CommandError, Commands, add_times, output_folder
from .console import RESEARCH_USE
from .kinetics_breast import add_breast, corrected, segmenter, write_breasts
from .values import count

if TYPE_CHECKING:
    from ..annotations.lesions import Lesion
    from ..kinetics import Area, Curve, Growing, KineticMaps, LesionKinetics, Thresholds


def register(commands: Commands) -> None:
    """Add `kinetics`."""
    sub = commands.add("kinetics", _kinetics, "enhancement over time: maps, a table of lesions, curves")
    sub.add_argument("path", type=Path, help="anything that can be opened")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    boxes = sub.add_mutually_exclusive_group()
    boxes.add_argument("--boxes", type=Path, metavar="FILE", help="boxes: a journal or a JSON list")
    boxes.add_argument("--reader", metavar="NAME", help="the boxes that this reader drew on the study")
    for name, what in (("pre", "before contrast"), ("early", "early after it"), ("late", "late after it")):
        sub.add_argument(
            f"--{name}", type=count, metavar="N", help=f"the phase {what}, from 0; default: by time"
        )
    sub.add_argument(
        "--shown", type=float, default=50.0, metavar="%", help="colour from this enhancement on (default 50)"
    )
    sub.add_argument("--medium", type=float, default=50.0, metavar="%", help="below it is slow (default 50)")
    sub.add_argument("--fast", type=float, default=100.0, metavar="%", help="above it is fast (default 100)")
    sub.add_argument(
        "--course",
        type=float,
        default=10.0,
        metavar="%",
        help="washout and persistent begin here (default 10)",
    )
    sub.add_argument(
        "--fewest", type=count, default=1, metavar="N", help="voxels that make a worst curve (default 1)"
    )
    sub.add_argument(
        "--grow", action="store_true", help="grow a region from each lesion's boxes, and sum that up"
    )
    growing = sub.add_argument_group("regions (--grow)")
    for flag, unit, text in (
        ("part", "0..1", "down to this part of the strong enhancement in the boxes (default 0.4)"),
        ("least", "%", "but of no voxel that enhances by less (default 50)"),
        ("margin", "MM", "so far beyond the boxes (default 5)"),
    ):
        growing.add_argument(f"--grow-{flag}", type=float, metavar=unit, help=text.replace("%", "%%"))
    add_breast(sub)
    add_times(sub)


def _kinetics(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write maps, tables and curves of a study."""
    from ..annotations.lesions import lesions
    from ..kinetics import Thresholds, choose_phases, kinetic_maps
    from ..kinetics.write import write_maps
    from ..study import read_study

    thresholds = Thresholds(arguments.shown, arguments.medium, arguments.fast, arguments.course).checked()
    find = segmenter(arguments)
    if arguments.motion_by and not arguments.motion:
        raise CommandError("Give --motion too: --motion-by belongs to it.")
    growing = _growing(arguments)
    out = output_folder(arguments.out)
    volume = read_study(arguments.path, progress, arguments.times)
    boxes = _boxes(arguments, volume)
    written: list[Path] = []
    # Before the long work: what is not known of the phases is asked for at once.
    choice = choose_phases(volume, pre=arguments.pre, early=arguments.early, late=arguments.late)
    if arguments.motion:
        volume, written = corrected(volume, choice.pre, arguments.motion_by, out, progress)
    maps = kinetic_maps(volume, choice, progress=progress)
    for sentence in (*choice.reasons, *(f"Note: {one}" for one in (*volume.warnings, *maps.warnings))):
        print(sentence)
    written += write_maps(maps, out, thresholds, progress)
    written += _projections(volume, choice.pre, choice.early, out, progress)
    groups = lesions(boxes)
    if find is not None:
        written += write_breasts(find, arguments, maps, groups, out, progress)
    if groups:
        written += _lesions(maps, groups, thresholds, arguments, growing, out)
    else:
        print("No boxes were given (--boxes, --reader): there are maps, but no table and no curves.")
    print(f"Wrote {', '.join(path.name for path in written)} to {out}.")
    print(RESEARCH_USE)


def _boxes(arguments: argparse.Namespace, volume: DceVolume) -> tuple[Box, ...]:
    from ..annotations import journal_path, read_boxes

    if arguments.boxes is not None:
        boxes = read_boxes(arguments.boxes)
    elif arguments.reader is not None:
        folder = arguments.path if arguments.path.is_dir() else arguments.path.parent
        path = journal_path(folder, volume.identity, arguments.reader)
        if not path.is_file():
            raise CommandError(
                f"{arguments.reader} has drawn no boxes on this study. Check the name, or give a file with --boxes."
            )
        boxes = read_boxes(path)
    else:
        return ()
    fitting = tuple(box for box in boxes if not box.problems(volume.geometry.shape))
    if boxes and not fitting:
        raise CommandError("None of the boxes lies in this study. Give the boxes that were drawn on it.")
    if left := len(boxes) - len(fitting):
        print(f"Note: boxes that do not lie in the study and are left out: {left}.")
    return fitting


def _projections(volume: DceVolume, pre: int, early: int, out: Path, progress: Progress) -> list[Path]:
    from ..kinetics import project, subtraction
    from ..kinetics.plots import projection_figure, save_figure
    from ..kinetics.write import write_map

    image = subtraction(volume, early, pre)
    made = [project(image, axis, progress=progress) for axis in (0, 1, 2)]
    written = [save_figure(projection_figure(made), out / "mip.png")]
    for one, name in zip(made, ("slices", "rows", "columns"), strict=True):
        written.append(write_map(one.pixels[None], one.geometry, out / f"mip-along-{name}.nii.gz"))
    return written


def _lesions(
    maps: KineticMaps,
    groups: Sequence[Lesion],
    thresholds: Thresholds,
    arguments: argparse.Namespace,
    growing: Growing | None,
    out: Path,
) -> list[Path]:
    """The table of lesions, their curves, and a picture of the slice with each lesion's largest box."""
    from ..kinetics import (
        area_of_boxes,
        curve_of,
        curves_csv,
        curves_of_boxes,
        drawn_together,
        lesion_kinetics,
        lesions_csv,
        most_suspicious,
    )
    from ..kinetics.plots import class_figure, curves_figure, save_figure
    from ..kinetics.write import write_text

    rows: list[LesionKinetics] = []
    curves: list[Curve] = []
    written: list[Path] = []
    for number, group in enumerate(groups, start=1):
        name = f"lesion {number}"
        area = area_of_boxes(group.boxes, maps.geometry.shape, name)
        if growing is not None:
            area = _grown(maps, group.boxes, growing, name, out, written) or area
        row = lesion_kinetics(maps, area, thresholds, fewest=arguments.fewest)
        rows.append(row)
        own = [row.curve]
        largest = max(group.boxes, key=lambda box: box.area)
        try:
            worst = most_suspicious(maps, largest, thresholds)
        except BreastAIError as error:
            print(f"Note: {name}: {error}")
        else:
            z, y, x = (part.start for part in worst.place)
            place = f"{name}, worst 3 × 3 (slice {z}, row {y + 1}, column {x + 1})"
            own.append(replace(curve_of(maps.volume, maps.choice, worst), name=place))
        curves += own
        print(_said(row))
        if len(group.boxes) > 1:
            single = curves_of_boxes(maps, group.boxes, name, thresholds)
            curves += [one.curve for one in single]
            drawn, remark = drawn_together(single)
            if remark:
                print(f"Note: {name}: {remark}")
            figure = curves_figure([one.curve for one in drawn], thresholds)
            written.append(save_figure(figure, out / f"curves-boxes-lesion-{number}.png"))
        figure = class_figure(maps, largest.z, thresholds, (box for one in groups for box in one.boxes))
        written.append(save_figure(figure, out / f"classes-lesion-{number}.png"))
        written.append(save_figure(curves_figure(own, thresholds), out / f"curves-lesion-{number}.png"))
    written.append(write_text(out / "lesions.csv", lesions_csv(rows)))
    written.append(write_text(out / "curves.csv", curves_csv(curves, thresholds)))
    figure = curves_figure([row.curve for row in rows], thresholds, percent=False)
    written.append(save_figure(figure, out / "curves-signal.png"))
    return written


def _growing(arguments: argparse.Namespace) -> Growing | None:
    """How regions grow; None where none is wanted. Wrong numbers are said before the work."""
    from ..kinetics import Growing

    given = {
        "fraction": arguments.grow_part,
        "least": arguments.grow_least,
        "margin_mm": arguments.grow_margin,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if not arguments.grow:
        if wanted:
            raise CommandError("Give --grow too: --grow-part, --grow-least and --grow-margin belong to it.")
        return None
    growing = Growing(**wanted)
    if problems := growing.problems():
        raise CommandError(" ".join(problems))
    return growing


def _grown(
    maps: KineticMaps, boxes: Sequence[Box], growing: Growing, name: str, out: Path, written: list[Path]
) -> Area | None:
    """The region grown from a lesion's boxes, written as a mask; None where nothing enhances enough."""
    import numpy as np

    from ..kinetics import grow, size_of
    from ..kinetics.write import write_map

    try:
        area, floor = grow(maps, boxes, growing, name)
    except BreastAIError as error:
        print(f"Note: {name}: {error}")
        return None
    print(f"{name}: region from {floor:.0f} % of initial enhancement on: {size_of(area, maps.geometry)}")
    path = out / f"region-{name.replace(' ', '-')}.nii.gz"
    written.append(write_map(area.whole(maps.geometry.shape).astype(np.uint8), maps.geometry, path))
    return area


def _said(row: LesionKinetics) -> str:
    peak = "no tissue" if row.peak_percent is None else f"peak initial enhancement {row.peak_percent:.0f} %"
    parts = [f"{row.name} ({row.label}): {row.volume_ml:.2f} ml", peak]
    if row.course_percent is not None:
        parts.append(", ".join(f"{name} {value:.0f} %" for name, value in row.course_percent.items()))
    if row.worst:
        parts.append(f"worst curve: {row.worst}")
    if row.functional_ml is not None:
        parts.append(f"functional volume {row.functional_ml:.2f} ml")
    return "; ".join(parts) + "".join(f" {one}" for one in row.remarks)
