"""`napari-breast-ai` on the command line: the same core without a screen, and the window by name.

Exit status: 0 when done, 1 with a sentence for bad input, 2 for bad usage, 130 when stopped by the person.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .console import RESEARCH_USE, Clock, ProgressLine, say_index, say_prediction
from .core import BreastAIError, Cancelled, Progress, silent

if TYPE_CHECKING:
    from .core import Box, DceVolume, Prediction
    from .models import Bundle

_MOST_SLICES = 100_000
DEMO_MODEL = "demo-attention-squeezenet"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Redirected output may know few characters (Windows' code pages), and a series' name may hold any.
        sys.stdout.reconfigure(errors="replace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace, Progress], None] = arguments.command
    progress = ProgressLine() if sys.stderr.isatty() and not arguments.quiet else silent
    try:
        command(arguments, progress)
        sys.stdout.flush()
    except BreastAIError as error:
        if arguments.debug:
            raise
        print(f"napari-breast-ai: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Cancelled):
        print("\nnapari-breast-ai: stopped; nothing was written by the unfinished step.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough of it (as `head` does); Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if arguments.debug:
            raise
        print(
            f"napari-breast-ai: unexpected {type(error).__name__}: {error}\n"
            "This is a defect of the program. Run the command again with --debug and report what it prints.",
            file=sys.stderr,
        )
        return 1
    return 0


def _demo(arguments: argparse.Namespace, progress: Progress) -> None:
    """Do the main job on a synthetic study, or on one's own, and show it."""
    from .inference import predict, write_prediction
    from .models import load_bundle
    from .study import read_study

    clock = Clock()
    out = _folder(arguments.out)
    boxes: tuple[Box, ...] = ()
    if arguments.path is None:
        from .phantom import PhantomSpec, make_phantom, write_dicom

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
    show = _viewer("show")
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


def _view(arguments: argparse.Namespace, progress: Progress) -> None:
    """Open a study in napari."""
    from .study import read_study

    volume = read_study(arguments.path, progress, arguments.times)
    for warning in volume.warnings:
        print(f"Note: {warning}")
    bundle = None
    if arguments.model:
        from .models import load_bundle

        bundle = load_bundle(arguments.model)
    viewer = _viewer("show")(
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
    from .study import apply, overruled, read_overrules, scan

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
        _write(arguments.json, text)
        print(
            f"Wrote {arguments.json}: {index.files} files, {len(index.groups)} groups, {len(index.unused)} unused."
        )


def _predict(arguments: argparse.Namespace, progress: Progress) -> None:
    """Score and explain the slices of a study."""
    from .annotations import read_boxes
    from .inference import predict, write_prediction
    from .models import load_bundle
    from .study import read_study

    boxes = read_boxes(arguments.boxes) if arguments.boxes else ()
    bundle = load_bundle(arguments.model)
    out = _folder(arguments.out)
    volume = read_study(arguments.path, progress, arguments.times)
    prediction = predict(
        volume,
        bundle,
        slices=arguments.slices,
        boxes=boxes or None,
        device=arguments.device,
        progress=progress,
    )
    written = write_prediction(prediction, volume, out, top=arguments.top, boxes=boxes)
    say_prediction(prediction, volume)
    print(f"Wrote {', '.join(path.name for path in written)} to {arguments.out}.")


def _convert(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write a study as NIfTI or DICOM."""
    from .study import read_study, write_dicom_series, write_nifti

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


def _phantom(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write a synthetic study as DICOM."""
    from .phantom import PhantomSpec, make_phantom, write_dicom

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
        _write(arguments.truth, json.dumps(boxes, indent=1) + "\n")
        print(f"Wrote {len(boxes)} true boxes to {arguments.truth}.")


def _models(arguments: argparse.Namespace, progress: Progress) -> None:
    """List the models that can be named, and the recipes they are made by."""
    from .models import RECIPES, list_bundles

    bundles = list_bundles()
    print("Bundles (predict --model NAME, or a bundle's folder):")
    for bundle in bundles:
        print(f"  {bundle.name}: {bundle.summary}")
    if not bundles:
        print("  none")
    print("Recipes:")
    for name in RECIPES:
        print(f"  {name}")


class CommandError(BreastAIError):
    """An argument that names something that cannot be used."""


def _viewer(name: str) -> Callable[..., Any]:
    """A function of the window, or a sentence where no napari is installed."""
    try:
        from .viewer import launch
    except ModuleNotFoundError as error:
        raise CommandError(
            f"This command opens a window and needs {error.name}, which is not installed. "
            'Install it with: pip install "napari-breast-ai[app]"'
        ) from error
    except ImportError as error:
        raise CommandError(
            f"The window's libraries are installed but cannot be loaded ({error}). On Debian or Ubuntu "
            'install the system libraries that Qt needs with "make system"; elsewhere reinstall '
            '"napari-breast-ai[app]".'
        ) from error
    function: Callable[..., Any] = getattr(launch, name)
    return function


def _folder(path: Path) -> Path:
    """Make the folder, or say why it cannot be made: before the work, not after it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".napari-breast-ai-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CommandError(
            f"The output folder {path} cannot be written ({error.strerror}). Choose another one with --out."
        ) from error
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror}). Choose another place.") from error


def _size(text: str) -> tuple[int, int, int]:
    """Parse 48x256x256 as (slices, rows, columns)."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not SLICESxROWSxCOLUMNS, such as 48x256x256")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _count(text: str) -> int:
    """Parse a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _slices(text: str) -> tuple[int, ...]:
    """Parse 3,5,10-12 as slice indices."""
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < _MOST_SLICES:
                raise ValueError
            found.update(range(low, high + 1))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of slices such as 3,5,10-12") from None
    return tuple(sorted(found))


def _times(text: str) -> tuple[float, ...]:
    """Parse 0,90,180 as seconds of the phases."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of seconds such as 0,90,180") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-breast-ai",
        description=f"Breast DCE-MRI: load, box, predict, explain. {RESEARCH_USE}",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace, Progress], None], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.add_argument("--quiet", action="store_true", help="show no progress")
        sub.set_defaults(command=command)
        return sub

    def add_phantom_options(sub: argparse.ArgumentParser, kind: str | None) -> None:
        sub.add_argument("--kind", choices=("igm", "nme", "normal"), default=kind, required=kind is None)
        sub.add_argument("--vendor", choices=("ge", "siemens", "philips", "enhanced"), default="ge")
        sub.add_argument(
            "--seed", type=_count, default=0, metavar="N", help="another number, another patient"
        )

    demo = add("demo", _demo, "the main job on a synthetic study, or on your own, in the window")
    demo.add_argument("path", nargs="?", type=Path, help="a study of your own (a folder of DICOM)")
    demo.add_argument("--out", type=Path, default=Path("demo-output"))
    demo.add_argument("--model", default=DEMO_MODEL, help="a bundle's name or folder")
    demo.add_argument("--no-wait", action="store_true", help="close the window after its picture is taken")
    add_phantom_options(demo, "nme")
    demo.set_defaults(seed=6)

    view = add("view", _view, "open a study in napari")
    view.add_argument("path", type=Path, help="a folder of DICOM")
    view.add_argument("--model", help="a bundle to have ready: its name or folder")
    view.add_argument("--screenshot", type=Path, metavar="PNG", help="take a picture of the window")
    view.add_argument(
        "--no-wait", action="store_true", help="close the window once it is open (and its picture taken)"
    )

    index = add("index", _index, "say where every file of a folder belongs, or why it is unused")
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

    predict = add("predict", _predict, "score and explain a study without a window")
    predict.add_argument("path", type=Path)
    predict.add_argument("--model", required=True, help="a bundle's name (see `models`) or folder")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR")
    predict.add_argument(
        "--boxes", type=Path, metavar="FILE", help="boxes of the case: a journal or a JSON list"
    )
    predict.add_argument("--slices", type=_slices, metavar="LIST", help="such as 3,5,10-12; default: all")
    predict.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the best that is present")
    predict.add_argument(
        "--top", type=_count, default=3, metavar="N", help="overlays of the N top slices (default 3)"
    )

    convert = add("convert", _convert, "write a study as NIfTI (with a JSON of times) or as DICOM")
    convert.add_argument("path", type=Path, help="anything that can be opened")
    convert.add_argument("out", type=Path, help="a file ending in .nii.gz, or a new folder for DICOM")
    convert.add_argument("--to", choices=("nifti", "dicom"), help="default: by the ending of OUT")
    convert.add_argument(
        "--keep-study",
        action="store_true",
        help="DICOM: keep the UIDs of the study, to lie beside its source",
    )
    for sub in (view, predict, convert):
        sub.add_argument(
            "--times",
            type=_times,
            metavar="LIST",
            help="seconds of each phase, such as 0,90,180, for formats that do not carry them",
        )

    phantom = add("phantom", _phantom, "write a synthetic breast study as DICOM")
    phantom.add_argument("out", type=Path)
    add_phantom_options(phantom, None)
    phantom.add_argument(
        "--size", type=_size, metavar="ZxYxX", help="slices × rows × columns (default 48x256x256)"
    )
    phantom.add_argument("--truth", type=Path, metavar="FILE", help="write the true boxes as JSON")

    add("models", _models, "list the models and recipes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
