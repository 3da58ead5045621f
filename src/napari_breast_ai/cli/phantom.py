"""Commands about synthetic studies: write one, and do the main job on it."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import Progress
from .common import Commands, output_folder, window_function, write_text
from .console import Clock, say_prediction
from .values import count, stack_size

if TYPE_CHECKING:
    from ..core import Box, DceVolume, Prediction
    from ..models import Bundle

DEMO_MODEL = "demo-attention-squeezenet"

# The phantom room has both; it is imported when a phantom is made.
KINDS = ("igm", "nme", "normal", "idc", "fibroadenoma")
VENDORS = ("ge", "siemens", "philips", "enhanced")


def register(commands: Commands) -> None:
    """Add `demo` and `phantom`."""
    demo = commands.add("demo", _demo, "the main job on a synthetic study, or on your own, in the window")
    demo.add_argument("path", nargs="?", type=Path, help="a study of your own (a folder of DICOM)")
    demo.add_argument("--out", type=Path, default=Path("demo-output"))
    demo.add_argument("--model", default=DEMO_MODEL, help="a bundle's name or folder")
    demo.add_argument("--no-wait", action="store_true", help="close the window after its picture is taken")
    _add_kind(demo, "nme")
    demo.set_defaults(seed=6)

    phantom = commands.add("phantom", _phantom, "write a synthetic breast study as DICOM")
    phantom.add_argument("out", type=Path)
    _add_kind(phantom, None)
    phantom.add_argument(
        "--size", type=stack_size, metavar="ZxYxX", help="slices × rows × columns (default 48x256x256)"
    )
    phantom.add_argument("--truth", type=Path, metavar="FILE", help="write the true boxes as JSON")

    cohort = commands.add(
        "phantom-cohort", _phantom_cohort, "write a whole cohort of synthetic patients, with boxes and table"
    )
    cohort.add_argument("out", type=Path, help="a new folder")
    cohort.add_argument(
        "--kind",
        choices=("m1", "m2"),
        required=True,
        help="m1: IGM against NME, DICOM studies of 63 patients, 475 annotated slices; m2: five labels, 335 pictures",
    )
    cohort.add_argument("--patients", type=count, metavar="N", help="another number of patients")
    cohort.add_argument("--slices", type=count, metavar="N", help="annotated slices in all (m1)")
    cohort.add_argument("--seed", type=count, default=0, metavar="N", help="another number, other patients")
    cohort.add_argument(
        "--overlap",
        type=float,
        metavar="X",
        help="how alike the classes are: 1 the same, 0 as published frequencies say, -1 textbook pictures",
    )
    cohort.add_argument(
        "--size", type=stack_size, metavar="ZxYxX", help="slices × rows × columns of a phantom"
    )
    cohort.add_argument("--vendor", choices=VENDORS, help="default: all of them in turns (m1)")
    cohort.add_argument("--workers", type=count, default=1, metavar="N", help="processes side by side")


def _add_kind(sub: argparse.ArgumentParser, kind: str | None) -> None:
    sub.add_argument("--kind", choices=KINDS, default=kind, required=kind is None)
    sub.add_argument("--vendor", choices=VENDORS, default="ge")
    sub.add_argument("--seed", type=count, default=0, metavar="N", help="another number, another patient")


def _demo(arguments: argparse.Namespace, progress: Progress) -> None:
    """Do the main job on a synthetic study, or on one's own, and show it."""
    from ..inference import predict, write_prediction
    from ..models import load_bundle
    from ..study import read_study

    clock = Clock()
    out = output_folder(arguments.out)
    boxes: tuple[Box, ...] = ()
    if arguments.path is None:
        from ..phantom import PhantomSpec, make_phantom, write_dicom

        phantom = make_phantom(PhantomSpec(kind=arguments.kind, seed=arguments.seed), progress)
        clock.lap("make the synthetic study")
        study = out / f"phantom-{arguments.kind}-{arguments.seed}-{arguments.vendor}"
        write_dicom(phantom, study, arguments.vendor, progress)
        boxes = phantom.truth.boxes
        clock.lap("write it as DICOM")
    else:
        study = arguments.path
    volume = read_study(study, progress)
    clock.lap("scan, sort and read the DICOM")
    bundle = load_bundle(arguments.model)
    clock.lap("load the model")
    prediction = predict(volume, bundle, progress=progress)
    clock.lap("predict and explain every slice")
    write_prediction(prediction, volume, out, boxes=boxes)
    clock.lap("write the prediction")
    say_prediction(prediction, volume)
    _show(arguments, volume, study, boxes, bundle, prediction, out / "screenshot.png", clock)
    (out / "timing.json").write_text(json.dumps(clock.laps, indent=2) + "\n", encoding="utf-8")
    print(f"Left in {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")


def _show(
    arguments: argparse.Namespace,
    volume: DceVolume,
    study: Path,
    boxes: tuple[Box, ...],
    bundle: Bundle,
    prediction: Prediction,
    screenshot: Path,
    clock: Clock,
) -> None:
    """Open the window on the result: for a look, and for the picture of it."""
    show = window_function("show")
    show(
        volume,
        source=study,
        boxes=boxes,
        bundle=bundle,
        prediction=prediction,
        screenshot=screenshot,
        block=not arguments.no_wait,
        on_ready=lambda: clock.lap("open the window and take the picture"),
    )


def _phantom(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write a synthetic study as DICOM."""
    from ..phantom import PhantomSpec, make_phantom, write_dicom

    more: dict[str, Any] = {"shape": arguments.size} if arguments.size else {}
    phantom = make_phantom(PhantomSpec(kind=arguments.kind, seed=arguments.seed, **more), progress)
    files = write_dicom(phantom, arguments.out, arguments.vendor, progress)
    shape = " × ".join(str(n) for n in phantom.volume.data.shape)
    print(
        f"Wrote {len(files)} files (phase × slice × row × column: {shape}) to {arguments.out}. Synthetic data."
    )
    if arguments.truth:
        from dataclasses import asdict

        boxes = [asdict(box) for box in phantom.truth.boxes]
        write_text(arguments.truth, json.dumps(boxes, indent=1) + "\n")
        print(f"Wrote {len(boxes)} true boxes to {arguments.truth}.")


def _phantom_cohort(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write a cohort of synthetic patients."""
    from ..phantom.cohorts import CohortDesign
    from ..training.phantom_cohort import write_cohort

    design = CohortDesign(
        arguments.kind,
        patients=arguments.patients,
        slices=arguments.slices,
        seed=arguments.seed,
        overlap=arguments.overlap,
        shape=arguments.size,
    )
    made = write_cohort(
        design,
        arguments.out,
        manner=arguments.vendor,
        workers=max(1, arguments.workers),
        progress=progress,
    )
    print(
        f"Wrote {made.patients} synthetic patients, {made.slices} slices with a box, {made.bytes_on_disk / 1e6:.0f} MB, "
        f"to {arguments.out}. Nothing that is measured on them says anything about people."
    )
    labels = " ".join(f"--label {shlex.quote(label)}" for label in design.labels)
    print(f"Train on them with: napari-breast-ai train {shlex.quote(str(made.table))} {labels} ...")
