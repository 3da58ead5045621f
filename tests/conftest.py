"""Fixtures that all rooms share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# napari reads these at its first import: slices are loaded at once, and no worker touches the viewer.
os.environ.setdefault("NAPARI_ASYNC", "0")
os.environ.setdefault("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")
# Nothing of the tests is kept on the disk of whoever runs them.
os.environ["NAPARI_BREAST_AI_CACHE"] = "off"
# One thread: two workers share two cores, and threads that wait for one another's turn make one small convolution take
# seconds. torch reads this when it is loaded; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(os.environ.get("NBAI_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


# Files go to the workers one by one: those that take longest first, so that neither waits for the other in the end.
LONG = ("annotations", "training", "viewer", "cli", "inference", "kinetics")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders of long tests first."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several workers a screen of its own: on one, windows take the focus from one another."""
    if "PYTEST_XDIST_WORKER" not in os.environ or sys.platform != "linux" or not shutil.which("Xvfb"):
        return
    read, write = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    config.add_cleanup(screen.wait)
    config.add_cleanup(screen.terminate)
    os.close(write)
    with os.fdopen(read) as said:
        number = said.readline().strip()
    if number:
        os.environ["DISPLAY"] = f":{number}"
        os.environ.setdefault("LP_NUM_THREADS", "1")  # of the drawing, for the reason given above


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real files; tests that need it are skipped where it is absent."""
    if not (DATA / "README.md").is_file():
        pytest.skip(f"no real data at {DATA} (set NBAI_DATA to their folder)")
    return DATA


@pytest.fixture(scope="session")
def phantom_factory() -> Callable[..., Any]:
    """Make a small phantom: `phantom_factory("igm", seed=1)`; equal calls share one result, so don't change it."""
    from napari_breast_ai.phantom import PhantomSpec, make_phantom

    @cache
    def make(
        kind: str = "igm", seed: int = 0, shape: tuple[int, int, int] = (12, 96, 96), **more: Any
    ) -> Any:
        return make_phantom(PhantomSpec(kind=kind, seed=seed, shape=shape, **more))

    return make


@pytest.fixture(scope="session")
def dicom_of(
    phantom_factory: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Put a phantom's DICOM into a folder and give the phantom: `dicom_of(folder, "siemens", "igm", seed=1)`.

    Equal ones are written once and copied.
    """
    from napari_breast_ai.phantom import write_dicom

    @cache
    def written(vendor: str, kind: str, seed: int, shape: tuple[int, int, int]) -> Path:
        folder = tmp_path_factory.mktemp("phantom") / "study"
        write_dicom(phantom_factory(kind, seed=seed, shape=shape), folder, vendor)
        return folder

    def put(
        folder: Path, vendor: str, kind: str, seed: int = 0, shape: tuple[int, int, int] = (6, 64, 64)
    ) -> Any:
        shutil.copytree(written(vendor, kind, seed, shape), folder)
        return phantom_factory(kind, seed=seed, shape=shape)

    return put
