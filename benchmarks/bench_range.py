"""How often the range check flags ordinary and altered phantoms.

    python benchmarks/bench_range.py [--patients 40] [--side 256] [--only-parts | --quick] [--write]

The women are none of those that the demonstration model was trained on. Then, with as many others: how often an exchange
of two phases after contrast is noticed and named, and fat that is suppressed in part, and how often either is claimed
where nothing was done (`--only-parts` for these alone). Both are asked what the range check asks them: with the floor
and the phase of the model's plan of that study. `--quick` is `--only-parts --patients 12 --side 128`; `--write`
puts these tables into RESULTS.md.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import results
import torch

from napari_breast_ai.core import DceVolume, Geometry
from napari_breast_ai.inference import engine_for, make_images, plan_images
from napari_breast_ai.inference.fat_suppression import uneven_fat
from napari_breast_ai.inference.in_range import check_range, slice_vectors
from napari_breast_ai.inference.late_order import Exchange, late_order
from napari_breast_ai.models import Bundle, PreparationSpec, load_bundle
from napari_breast_ai.phantom import Phantom, acquisition, make_phantom
from napari_breast_ai.phantom import make as making
from napari_breast_ai.phantom.view import one_breast
from napari_breast_ai.training.cohort import CohortSpec

EVERY = 3
"""Every third slice is compared by its features."""


def half(volume: DceVolume) -> DceVolume:
    """The same voxels, half as far apart."""
    old = volume.geometry
    affine = old.affine.copy()
    affine[:3, :3] *= 0.5
    z, y, x = old.spacing
    return replace(volume, geometry=Geometry(old.shape, (z / 2, y / 2, x / 2), affine))


def altered(phantom: Phantom) -> dict[str, DceVolume]:
    """The phantom, and what is wrong with it."""
    volume = phantom.volume
    return {
        "ordinary": volume,
        "phases in reverse": replace(volume, data=np.ascontiguousarray(volume.data[::-1])),
        "first two exchanged": replace(volume, data=volume.data[[1, 0, *range(2, volume.n_phases)]]),
        "wrong pre-contrast phase": replace(volume, pre_contrast=1),
        "all phases the same": replace(volume, data=np.repeat(volume.data[:1], volume.n_phases, axis=0)),
        "subtractions": replace(volume, data=volume.data.astype(np.float32) - volume.data[0]),
        "half the spacing": half(volume),
        "one breast": one_breast(phantom).volume,
    }


def vectors(volume: DceVolume, bundle: Bundle) -> np.ndarray:
    """Features of some slices."""
    plan = plan_images(volume, bundle.spec.preparation)
    engine = engine_for(bundle.model, torch.device("cpu"))
    slices = range(0, volume.n_slices, EVERY)
    maps = [engine.features(make_images(volume, plan, [z])) for z in slices]
    return slice_vectors(torch.cat(maps))


PARTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "one breast": lambda z, y, x: x < 0.5,
    "outer quarter": lambda z, y, x: x > 0.75,
    "upper third": lambda z, y, x: z > 0.67,
    "front": lambda z, y, x: y < 0.22,
    "quarter": lambda z, y, x: (x > 0.5) & (z > 0.5),
    "everywhere": lambda z, y, x: x >= 0,
}
"""Where fat suppression fails, by the place in the volume (0 to 1 along slices, rows, columns)."""

LEFT = (0.35, 0.7)
"""Signal left of the fat there; where it is suppressed 0.03 to 0.2 is left."""

HARDER: dict[str, dict[str, float]] = {
    "ordinary": {},
    "movement of 1.5 mm between phases": {"motion_mm": 1.5},
    "more than twice the noise": {"noise": 0.12},
}


@contextmanager
def failing(where: Callable[[Any, Any, Any], Any], left: float) -> Iterator[None]:
    """Make phantoms whose fat suppression fails in part."""

    def fat(scene: Any) -> Any:
        shape = scene.geometry.shape
        at = [
            axis / max(n - 1, 1) for axis, n in zip(np.unravel_index(scene.index, shape), shape, strict=True)
        ]
        return np.where(where(*at), np.float32(left), acquisition.fat_suppression(scene))

    making.fat_suppression = fat  # type: ignore[assignment]
    try:
        yield
    finally:
        making.fat_suppression = acquisition.fat_suppression


def made(cohort: CohortSpec, patient: int, harder: Mapping[str, float] = MappingProxyType({})) -> DceVolume:
    """The phantom of a patient, with all phases that the model sees."""
    return make_phantom(replace(cohort.phantom(patient, 300.0), **harder)).volume  # type: ignore[arg-type]


def exchange_of(volume: DceVolume, preparation: PreparationSpec) -> Exchange | None:
    """As the range check asks it."""
    return late_order(volume, plan_images(volume, preparation).floor)


def fat_of(volume: DceVolume, preparation: PreparationSpec) -> bool:
    """As the range check asks it."""
    return uneven_fat(volume, plan_images(volume, preparation).phase) is not None


def parts(cohort: CohortSpec, patients: int, preparation: PreparationSpec) -> str:
    """What needs no ranges, as a section."""
    start = time.perf_counter()
    exchanges = [
        "| studies | claimed where nothing was done | exchange with the first phase after it | of two later ones |",
        "| --- | --- | --- | --- |",
    ]
    fat = ["| fat suppression | flagged as uneven |", "| --- | --- |"]
    for kind, harder in HARDER.items():
        claimed, uneven = 0, 0
        noticed, named, of = Counter[bool](), Counter[bool](), Counter[bool]()
        for patient in range(patients):
            volume = made(cohort, patient, harder)
            claimed += exchange_of(volume, preparation) is not None
            uneven += fat_of(volume, preparation)
            for first, second in combinations(range(1, volume.n_phases), 2):
                order = list(range(volume.n_phases))
                order[first], order[second] = second, first
                found = exchange_of(replace(volume, data=volume.data[order]), preparation)
                early = first == 1
                of[early] += 1
                noticed[early] += found is not None
                named[early] += found is not None and found.phases == (first, second)
        told = (f"{noticed[one]} of {of[one]}, {named[one]} named rightly" for one in (True, False))
        exchanges.append(f"| {kind} | {claimed} of {patients} | {' | '.join(told)} |")
        fat.append(f"| as it is: {kind} | {uneven} of {patients} |")
        print(exchanges[-1], fat[-1], sep="\n", flush=True)
    for name, where in PARTS.items():
        for left in LEFT if name != "everywhere" else (1.0,):
            with failing(where, left):
                found = sum(fat_of(made(cohort, patient), preparation) for patient in range(patients))
            fat.append(f"| {100 * left:.0f} % left: {name} | {found} of {patients} |")
            print(fat[-1], flush=True)
    rows, columns = cohort.matrix
    return "\n".join(
        [
            "## Phases in each other's place, and fat suppressed in part",
            "",
            f"{patients} phantoms of {rows} × {columns} pixels, seeds from {cohort.phantom(0, 300.0).seed}; two phases "
            "after contrast exchanged, each with each; 3 to 20 % of the fat's signal left where it is suppressed.",
            "",
            *exchanges,
            "",
            *fat,
            "",
            f"{time.perf_counter() - start:.0f} s, {torch.get_num_threads()} thread(s), {platform.machine()} "
            f"{platform.system()}, Python {platform.python_version()}, numpy {np.__version__}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--side", type=int, default=256, help="rows and columns of the phantoms")
    parser.add_argument("--seed", type=int, default=6, help="of the cohort; 0 and 1 made the model")
    parser.add_argument(
        "--only-parts", action="store_true", help="exchanges and fat suppression in part only"
    )
    parser.add_argument(
        "--quick", action="store_true", help="the same as --only-parts --patients 12 --side 128"
    )
    parser.add_argument("--write", action="store_true", help="put these tables into RESULTS.md")
    given = parser.parse_args()
    if given.quick:
        given.only_parts, given.patients, given.side = True, 12, 128
    cohort = CohortSpec(seed=given.seed, matrix=(given.side, given.side))
    bundle = load_bundle("demo-attention-squeezenet")
    if not given.only_parts:
        against_training(cohort, given.patients, bundle)
    section = parts(replace(cohort, seed=given.seed + 3), given.patients, bundle.spec.preparation)
    print(section)
    if given.write:
        results.write("bench_range", section)


def against_training(cohort: CohortSpec, patients: int, bundle: Bundle) -> None:
    """Hold phantoms against the demonstration model."""
    flagged: Counter[str] = Counter()
    why: Counter[tuple[str, str]] = Counter()
    for patient in range(patients):
        for name, volume in altered(make_phantom(cohort.phantom(patient, 300.0))).items():
            own = vectors(volume, bundle) if name == "ordinary" else None
            report = check_range(volume, bundle.spec.preparation, bundle.ranges, own)
            flagged[name] += report.outside
            why.update({(name, one.about) for one in report.findings if one.severity != "note"})
    for name, count in flagged.items():
        reasons = ", ".join(f"{about} {n}" for (of, about), n in sorted(why.items()) if of == name)
        print(f"{name}: {count} of {patients} flagged ({reasons or 'nothing'})")


if __name__ == "__main__":
    main()
