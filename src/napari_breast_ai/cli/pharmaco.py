"""The command that fits a pharmacokinetic model to a study: maps, and a file of what was assumed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core import DceVolume, Progress
from .common import CommandError, Commands, add_times, output_folder, write_text
from .console import RESEARCH_USE
from .values import numbers, slice_list

if TYPE_CHECKING:
    from ..kinetics.pharmaco import ArterialInput, Maps, SpoiledGradientEcho, T1Map
    from ..study import SequenceFacts

_MODELS = ("tofts", "extended-tofts", "patlak")
_POPULATIONS = ("parker", "georgiou")
_FIND = "find"


def register(commands: Commands) -> None:
    """Add `pharmacokinetics`."""
    sub = commands.add(
        "pharmacokinetics", _pharmacokinetics, "Ktrans, kep, ve and vp of every voxel, with goodness of fit"
    )
    sub.add_argument("path", type=Path, help="anything that can be opened")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--model", choices=_MODELS, default="extended-tofts", help="default: extended-tofts")
    sub.add_argument("--mask", type=Path, metavar="FILE", help="fit inside this mask only")
    sub.add_argument(
        "--baseline",
        type=slice_list,
        metavar="LIST",
        help="the phases before contrast, such as 0-3; default: up to the pre-contrast phase",
    )

    artery = sub.add_argument_group("arterial input (one is needed)")
    which = artery.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--aif",
        metavar="parker|georgiou|FILE.csv",
        help="a population's curve, or a file with the columns time_s and plasma_mM (or blood_mM)",
    )
    which.add_argument("--aif-mask", type=Path, metavar="FILE", help="a mask drawn in an artery of the study")
    artery.add_argument(
        "--arrival",
        metavar="S|find",
        help="when the bolus of a population's curve arrives, in seconds after the first phase's start; find: where the "
        "strongest enhancement is fitted best",
    )
    artery.add_argument(
        "--delay", default="0", metavar="S|find", help="from artery to tissue, seconds (default 0)"
    )
    artery.add_argument("--haematocrit", type=float, metavar="X", help="default: 0.42, and said")
    artery.add_argument("--blood-t1", type=float, metavar="S", help="T1 of blood, for --aif-mask")

    before = sub.add_argument_group("T1 before contrast (one is needed)")
    one = before.add_mutually_exclusive_group(required=True)
    one.add_argument("--t1", type=float, metavar="S", help="assumed for all tissue, seconds")
    one.add_argument("--t1-map", type=Path, metavar="FILE", help="a map in seconds")
    one.add_argument(
        "--t1-angles",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images of several flip angles: DICOM or NIfTI",
    )
    before.add_argument("--flips", type=numbers, metavar="LIST", help="their angles in degrees, for NIfTI")
    before.add_argument("--t1-tr", type=float, metavar="MS", help="their repetition time, for NIfTI")
    before.add_argument("--t1-fit", choices=("nonlinear", "linear"), default="nonlinear")

    echo = sub.add_argument_group("sequence and agent")
    echo.add_argument("--relaxivity", type=float, metavar="R", help="of the agent, per s and mM")
    echo.add_argument("--tr", type=float, metavar="MS", help="repetition time; default: of the headers")
    echo.add_argument("--flip", type=float, metavar="DEG", help="flip angle; default: of the headers")
    add_times(sub)


def _pharmacokinetics(arguments: argparse.Namespace, progress: Progress) -> None:
    """Fit the model and write its maps."""
    from ..kinetics.pharmaco import HAEMATOCRIT, pharmacokinetic_maps
    from ..kinetics.phases import before_contrast
    from ..study import read_on_slices

    out = output_folder(arguments.out)
    volume, facts = _study(arguments, progress)
    baseline = arguments.baseline or tuple(range(before_contrast(volume) + 1))
    sequence = _sequence(arguments, facts)
    t1 = _t1(arguments, volume, progress)
    region = None
    if arguments.mask is not None:
        region = read_on_slices(arguments.mask, volume.geometry, progress) != 0
    haematocrit = HAEMATOCRIT if arguments.haematocrit is None else arguments.haematocrit
    arterial = _artery(arguments, volume, sequence, t1, baseline, region, haematocrit, progress)
    maps = pharmacokinetic_maps(
        volume.data, volume.times.start_s, sequence, t1, arterial, arguments.model, baseline, region, progress=progress
    )  # fmt: skip
    notes = (*volume.warnings, *_said(arguments, facts, baseline), *maps.notes)
    written = _write(maps, arterial, volume, notes, out)
    for sentence in notes:
        print(f"Note: {sentence}")
    for name, figures in maps.summary().items():
        print(
            f"  {name}: median {figures['median']:.4g} ({figures['low_quartile']:.4g} to {figures['high_quartile']:.4g})"
        )
    print(f"Wrote {', '.join(path.name for path in written)} to {out}.")
    print(RESEARCH_USE)


def _study(arguments: argparse.Namespace, progress: Progress) -> tuple[DceVolume, SequenceFacts | None]:
    """The volume, and what its headers say of the sequence; None where the format has no such headers."""
    from ..study import Loader, open_study, sequence_facts

    found = open_study(arguments.path, progress, arguments.times)
    if not isinstance(found, Loader):
        return found, None
    found.load(progress)
    return found.volume, sequence_facts(found.headers)


def _sequence(arguments: argparse.Namespace, facts: SequenceFacts | None) -> SpoiledGradientEcho:
    from ..kinetics.pharmaco import SpoiledGradientEcho

    repetition = None if facts is None else facts.repetition_s
    flip = None if facts is None else facts.flip_deg
    if arguments.tr is not None:
        repetition = arguments.tr / 1000
    if arguments.flip is not None:
        flip = arguments.flip
    missing = [
        f"{option} ({what})"
        for option, what, value in (
            ("--tr", "the repetition time in ms", repetition),
            ("--flip", "the flip angle in degrees", flip),
            (
                "--relaxivity",
                "of the agent, per s and mM: on its data sheet, 3 to 7 for most",
                arguments.relaxivity,
            ),
        )
        if value is None
    ]
    if repetition is None or flip is None or arguments.relaxivity is None:
        raise CommandError(
            "Concentration cannot be had from the signal without what the study does not say. Give "
            f"{' and '.join(missing)}."
        )
    return SpoiledGradientEcho(repetition, flip, arguments.relaxivity)


def _t1(arguments: argparse.Namespace, volume: DceVolume, progress: Progress) -> float | T1Map:
    from ..kinetics.pharmaco import t1_linear, t1_nonlinear, told_t1
    from ..study import read_flip_angles, read_on_slices

    if arguments.t1 is not None:
        return float(arguments.t1)
    if arguments.t1_map is not None:
        return told_t1(read_on_slices(arguments.t1_map, volume.geometry, progress), arguments.t1_map.name)
    images = read_flip_angles(
        arguments.t1_angles,
        volume.geometry,
        arguments.flips,
        None if arguments.t1_tr is None else arguments.t1_tr / 1000,
        progress,
    )
    if arguments.t1_fit == "linear":
        return t1_linear(images.signal, images.flips_deg, images.repetition_s)
    return t1_nonlinear(images.signal, images.flips_deg, images.repetition_s, progress=progress)


def _artery(
    arguments: argparse.Namespace,
    volume: DceVolume,
    sequence: SpoiledGradientEcho,
    t1: float | T1Map,
    baseline: tuple[int, ...],
    region: NDArray[np.bool_] | None,
    haematocrit: float,
    progress: Progress,
) -> ArterialInput:
    from ..kinetics.pharmaco import arrived_input, artery_input, population_input, read_input, study_delay
    from ..study import read_on_slices

    times = volume.times.start_s
    if arguments.aif in _POPULATIONS:
        if arguments.arrival is None:
            raise CommandError(
                "When the bolus arrives is not known. Give it with --arrival, in seconds after the start of the first "
                "phase, or have it looked for with --arrival find."
            )
        if arguments.arrival == _FIND:
            arterial = arrived_input(
                arguments.aif,
                volume.data,
                times,
                sequence,
                t1,
                arguments.model,
                baseline,
                region,
                haematocrit,
            )
        else:
            arrival = _seconds(arguments.arrival, "--arrival")
            arterial = population_input(arguments.aif, float(times[-1]), arrival, haematocrit)
    elif arguments.aif is not None:
        arterial = read_input(Path(arguments.aif), haematocrit)
    else:
        if arguments.blood_t1 is None:
            raise CommandError(
                "The T1 of blood is needed to read concentration in an artery. Give it with --blood-t1: about 1.44 s at "
                "1.5 T and 1.65 s at 3 T."
            )
        vessel = read_on_slices(arguments.aif_mask, volume.geometry, progress) != 0
        arterial = artery_input(
            volume.data, times, vessel, sequence, arguments.blood_t1, baseline, haematocrit
        )
    if arguments.delay == _FIND:
        delay = study_delay(volume.data, times, arterial, sequence, t1, arguments.model, baseline, region)
        return arterial.delayed(delay)
    return arterial.delayed(_seconds(arguments.delay, "--delay"))


def _seconds(text: str, option: str) -> float:
    try:
        seconds = float(text)
        if not np.isfinite(seconds):
            raise ValueError
        return seconds
    except ValueError:
        raise CommandError(
            f"{option} needs a number of seconds, or the word find; “{text}” is neither."
        ) from None


def _said(arguments: argparse.Namespace, facts: SequenceFacts | None, baseline: tuple[int, ...]) -> list[str]:
    """Where the settings come from, in sentences."""
    found = []
    if facts is not None and facts.varies and (arguments.tr is None or arguments.flip is None):
        found.append(f"The images give several values of {' and '.join(facts.varies)}.")
    source = "the images' headers"
    tr = "--tr" if arguments.tr is not None else source
    flip = "--flip" if arguments.flip is not None else source
    found.append(f"Repetition time from {tr}, flip angle from {flip}, relaxivity from --relaxivity.")
    found.append(f"Baseline: the mean of the phases {', '.join(map(str, baseline))}, counted from 0.")
    return found


def _write(
    maps: Maps, arterial: ArterialInput, volume: DceVolume, notes: tuple[str, ...], out: Path
) -> list[Path]:
    from .. import __version__
    from ..kinetics.pharmaco import STATUS, UNITS
    from ..kinetics.pharmaco.figures import maps_figure
    from ..kinetics.plots import save_figure
    from ..kinetics.write import write_map

    skipped = {"tofts": ("vp",), "patlak": ("kep", "ve")}.get(maps.fit.model, ())
    written = [
        write_map(maps.map(name).astype(np.float32), volume.geometry, out / f"{name}.nii.gz")
        for name in UNITS
        if name not in skipped
    ]
    written.append(write_map(maps.status, volume.geometry, out / "status.nii.gz"))
    if not isinstance(maps.t1_s, float):
        written.append(write_map(maps.t1_s.astype(np.float32), volume.geometry, out / "t1.nii.gz"))
    figure = maps_figure(maps, volume.data[volume.pre_contrast], volume.geometry, arterial)
    written.append(save_figure(figure, out / "maps.png"))
    lines = ["time_s,plasma_mM"]
    lines += [f"{t:.4f},{c:.6g}" for t, c in zip(arterial.arrival_s, arterial.plasma_mM, strict=True)]
    write_text(out / "arterial-input.csv", "\n".join(lines) + "\n")
    told: dict[str, Any] = {
        "schema": "napari-breast-ai/pharmacokinetics",
        "version": 1,
        "written_by": f"napari-breast-ai {__version__}",
        "study_uid": volume.identity.study_uid,
        **maps.to_json(),
        "notes": list(notes),
        "status": {str(code): text for code, text in STATUS.items()},
        "arterial_input": arterial.said,
    }
    write_text(out / "pharmacokinetics.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return [*written, out / "arterial-input.csv", out / "pharmacokinetics.json"]
