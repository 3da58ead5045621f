"""What opening a study costs: scan and all pixels, against the bare reading of the same bytes and other readers.

One interleaved run: every contender is called once per round, in turn, on the same files (warm in the system's
cache); the table gives medians. Peak memory is measured in a process of its own.

    python benchmarks/bench_study.py [--rounds 3] [--phases 6] [--slices 120] [--size 448] [--beside TEXT] [--write]

`--write` puts the table into RESULTS.md, replacing the one before; `--beside` says what else ran meanwhile.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import results
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage, RLELossless, generate_uid

from napari_breast_ai.study import Loader, read_study, scan

OURS, BARE, LOOP, ITK, DCM2NIIX = (
    "napari-breast-ai, scan + all pixels", "bare reading of the same bytes", "pydicom loop (dcmread, pixel_array)",
    "SimpleITK series reader", "dcm2niix (writes a NIfTI file)",
)  # fmt: skip
FIRST, HEADERS = "napari-breast-ai, to the first slice", "pydicom, headers only"
GOAL_OTHERS, GOAL_BARE, GOAL_MEMORY = 2.0, 4.0, 1.15


def make(folder: Path, phases: int, slices: int, size: int) -> list[Path]:
    """A study of smooth tissue with noise, in one series, names out of order."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    tissue = 900 * np.exp(-8 * ((y - 0.5) ** 2 + (x - 0.5) ** 2))
    order = rng.permutation(phases * slices)
    paths = []
    for p in range(phases):
        for z in range(slices):
            ds = Dataset()
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
            ds.Modality, ds.Manufacturer, ds.SeriesNumber = "MR", "BENCH", 4
            ds.SeriesDescription, ds.ImageType = "Ax VIBRANT", ["ORIGINAL", "PRIMARY", "OTHER"]
            ds.ScanningSequence, ds.MRAcquisitionType = "GR", "3D"
            ds.RepetitionTime, ds.EchoTime, ds.FlipAngle = "5.2", "2.4", "10"
            ds.AcquisitionDate, ds.AcquisitionTime = "20240102", f"1015{p * 9:02d}"
            ds.TemporalPositionIdentifier, ds.TriggerTime = p + 1, str(60000 * p)
            ds.InstanceNumber = int(order[p * slices + z]) + 1
            ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            ds.ImagePositionPatient = [-170, -170, 1.5 * z]
            ds.PixelSpacing, ds.SliceThickness = [0.76, 0.76], "1.5"
            ds.add_new(0x00290010, "LO", "BENCH HEADER")
            ds.add_new(0x00291010, "OB", rng.bytes(8000))  # vendors keep some kilobytes of their own
            ds.Rows = ds.Columns = size
            ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
            ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
            noise = rng.integers(0, 60, (size, size))
            ds.PixelData = (tissue * (1 + 0.1 * p) + noise).astype(np.uint16).tobytes()
            paths.append(folder / f"im{ds.InstanceNumber:05d}")
            ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def recompress(paths: Sequence[Path], folder: Path, syntax: str) -> list[Path]:
    """The same files in another encoding."""
    made = []
    for path in paths:
        ds = pydicom.dcmread(path)
        if syntax == RLELossless:
            ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        else:
            stream = imagecodecs.jpeg2k_encode(ds.pixel_array, level=0, reversible=True, codecformat="j2k")
            ds.PixelData = encapsulate([bytes(stream)])
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = syntax
        made.append(folder / path.name)
        ds.save_as(made[-1])
    return made


def bare(paths: Sequence[Path]) -> int:
    room = memoryview(np.empty(sum(path.stat().st_size for path in paths), np.uint8))
    place = 0
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            place += stream.readinto(room[place:])  # type: ignore[operator]
    return place


def loop(paths: Sequence[Path]) -> list[np.ndarray]:
    return [pydicom.dcmread(path).pixel_array for path in paths]


def itk(paths: Sequence[Path]) -> object:
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    return reader.Execute()


def dcm2niix(folder: Path) -> None:
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
    with tempfile.TemporaryDirectory() as out:
        command = [str(program), "-b", "n", "-z", "n", "-o", out, str(folder)]
        subprocess.run(command, check=True, capture_output=True)


def first_slice(folder: Path) -> Loader:
    loader = Loader(scan(folder).dce())
    middle = (1, loader.volume.n_slices // 2)
    loader.load(first=middle, only={middle})
    return loader


def headers(paths: Sequence[Path]) -> None:
    for path in paths:
        pydicom.dcmread(path, stop_before_pixels=True)


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one call each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


PEAK = """
import sys, psutil
from pathlib import Path
from napari_breast_ai.study import read_study, scan
import numpy as np, imagecodecs
def now():
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"): return info.peak_wset
    status = Path("/proc/self/status")
    if status.exists():  # a new process's ru_maxrss begins at its parent's size there
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before = now()
volume = read_study(sys.argv[1])
print((now() - before) / volume.data.nbytes)
"""


def peak(folder: Path) -> float:
    """Growth of the process's peak memory by reading a study, in units of its pixels' bytes."""
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(folder)], check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def report(rounds: int, phases: int, slices: int, size: int, beside: str) -> str:
    has_dcm2niix = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
    with tempfile.TemporaryDirectory() as room:
        folders = {name: Path(room) / name for name in ("uncompressed", "RLE", "JPEG 2000")}
        for folder in folders.values():
            folder.mkdir()
        paths = make(folders["uncompressed"], phases, slices, size)
        calls: dict[str, Callable[[], object]] = {
            BARE: lambda: bare(paths),
            OURS: lambda: read_study(folders["uncompressed"]),
            LOOP: lambda: loop(paths),
            ITK: lambda: itk(paths),
            FIRST: lambda: first_slice(folders["uncompressed"]),
            HEADERS: lambda: headers(paths),
        }
        if has_dcm2niix:
            calls[DCM2NIIX] = lambda: dcm2niix(folders["uncompressed"])
        truth = read_study(folders["uncompressed"])
        medians = {name: statistics.median(taken) for name, taken in measure(calls, rounds).items()}
        memory = peak(folders["uncompressed"])
        few = paths[: 2 * slices]  # two phases: the slow encodings would take the rest of the hour
        compressed = {}
        for name, syntax in (("RLE", RLELossless), ("JPEG 2000", JPEG2000Lossless)):
            packed = recompress(few, folders[name], syntax)
            assert (read_study(folders[name]).data == truth.data[:2]).all()
            taken = measure(
                {OURS: lambda: read_study(folders[name]), LOOP: lambda: loop(packed)},  # noqa: B023
                1 if name == "JPEG 2000" else rounds,
            )
            compressed[name] = {one: statistics.median(times) for one, times in taken.items()}
    lines = [
        "## Opening a study",
        "",
        f"{phases} × {slices} slices of {size} × {size}, uint16, uncompressed: {phases * slices} files, "
        f"{truth.data.nbytes / 1e6:.0f} MB of pixels, in the system's cache; median of {rounds} interleaved rounds.",
        "",
        "| | seconds | ratio to bare reading |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {taken:.3f} | {taken / medians[BARE]:.1f} |" for name, taken in medians.items()),
        "",
        f"Compressed ({len(few)} files of it), seconds: "
        + "; ".join(
            f"{name}: ours {taken[OURS]:.2f}, pydicom loop {taken[LOOP]:.2f} "
            f"({taken[LOOP] / taken[OURS]:.1f} × ours)"
            for name, taken in compressed.items()
        )
        + ".",
        "",
        f"Peak memory of reading the study: {memory:.2f} × its pixels' bytes.",
        "",
    ]
    ours = medians[OURS]
    goals = {
        f"at least {GOAL_OTHERS:.0f} × faster than the pydicom loop": medians[LOOP] / ours >= GOAL_OTHERS,
        f"at least {GOAL_OTHERS:.0f} × faster than SimpleITK": medians[ITK] / ours >= GOAL_OTHERS,
        f"at most {GOAL_BARE:.0f} × bare reading": ours / medians[BARE] <= GOAL_BARE,
        "first slice no later than a header-only pydicom pass": medians[FIRST] <= medians[HEADERS],
        f"memory at most {GOAL_MEMORY:.2f} ×": memory <= GOAL_MEMORY,
    }
    packages = ("pydicom", "numpy", "imagecodecs", "SimpleITK", "dcm2niix")
    lines += [
        "Goals: " + "; ".join(f"{what}: {'met' if met else 'NOT met'}" for what, met in goals.items()) + ".",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, " + ", ".join(f"{one} {_version(one)}" for one in packages) + "."
        + (f" {beside}" if beside else ""),
    ]  # fmt: skip
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default 3)")
    parser.add_argument("--phases", type=int, default=6)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--size", type=int, default=448, help="rows and columns (default 448)")
    parser.add_argument("--beside", default="", help="a sentence about what else ran on the machine")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    section = report(given.rounds, given.phases, given.slices, given.size, given.beside)
    print(section)
    if given.write:
        results.write("bench_study", section)


if __name__ == "__main__":
    main()
