"""A cohort of phantoms, as prepared slices. Volumes live in the worker that makes them and nowhere else."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import phantom as phantom_room
from ..core import Box, DceVolume, Progress, silent
from ..files import taking_place
from ..inference import grey_slices, plan_images
from ..inference.facts import study_facts
from ..inference.resizing import interpolate
from ..models import PreparationSpec
from ..models.ranges import StudyFacts
from ..phantom import Kind, PhantomSpec, make_phantom
from .errors import TrainingError
from .examples import Examples, join

FIRST_SEED = 100_000
"""Seeds of phantoms for training begin here, far from those that people try by hand."""

# Slices without a lesion come from all patients, so that lesions may outnumber normal cases.
_TURNS: tuple[Kind, ...] = ("igm", "nme", "igm", "nme", "normal")


@dataclass(frozen=True)
class CohortSpec:
    """Which phantoms. Every patient is another woman (another phantom seed); one in five has no lesion.

    Attributes:
        patients: how many.
        seed: another seed gives other women, without overlap.
        matrix: (rows, columns) of each phantom.
        slice_mm: smallest and largest distance between slices; each patient's is drawn between them.
        extent_mm: of each phantom from the first to the last slice.
        interval_s: shortest and longest time between phases; each patient's is drawn between them, so that a
            model does not rely on one timing.
    """

    patients: int = 240
    seed: int = 0
    matrix: tuple[int, int] = (256, 256)
    slice_mm: tuple[float, float] = (3.5, 6.0)
    extent_mm: float = 120.0
    interval_s: tuple[float, float] = (55.0, 70.0)

    def problems(self) -> list[str]:
        """What is wrong, in words."""
        found = []
        if not 1 <= self.patients < FIRST_SEED:
            found.append(f"A cohort has 1 to {FIRST_SEED - 1} patients.")
        if self.seed < 0:
            found.append("The seed must not be negative.")
        if not 0 < self.interval_s[0] <= self.interval_s[1]:
            found.append("The times between phases must be positive, the shortest first.")
        if not 0 < self.slice_mm[0] <= self.slice_mm[1] <= self.extent_mm:
            found.append("The distances between slices must be positive, the smallest first.")
        return found or self.phantom(0, 300.0).problems()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What each patient has."""
        return tuple(_TURNS[patient % len(_TURNS)] for patient in range(self.patients))

    def phantom(self, patient: int, until_s: float) -> PhantomSpec:
        """The phantom of a patient, with no phase after the one that starts nearest to `until_s`."""
        seed = FIRST_SEED * (self.seed + 1) + patient
        rng = np.random.default_rng(seed)
        interval = round(float(rng.uniform(*self.interval_s)), 1)
        slice_mm = round(float(rng.uniform(*self.slice_mm)), 2)
        return PhantomSpec(
            kind=_TURNS[patient % len(_TURNS)],
            seed=seed,
            shape=(max(1, round(self.extent_mm / slice_mm)), *self.matrix),
            n_phases=1 + max(1, round(until_s / interval)),
            interval_s=interval,
            slice_mm=slice_mm,
        )


def make_cohort(
    spec: CohortSpec,
    preparation: PreparationSpec,
    *,
    which: Sequence[int] | None = None,
    workers: int = 1,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Examples:
    """Make phantoms and keep all their slices as the model sees them, with the true boxes.

    Args:
        spec: which phantoms.
        preparation: of the model.
        which: numbers of the patients that are wanted; None: all.
        workers: processes that make phantoms side by side; 1 makes them in this process.
        cache: folder for the prepared slices (no volumes), so that a second run starts at once; it is made
            when it does not exist. What was made by another version of the phantom is made anew.
        progress: told after every phantom.

    Raises:
        TrainingError: when the spec has problems, or the cache folder cannot be written.
    """
    problems = spec.problems() + preparation.problems()
    if problems:
        raise TrainingError(" ".join(problems))
    if any(source.rule != "nearest_time" for source in preparation.sources):
        raise TrainingError("A cohort of phantoms needs a model whose phases are chosen by their times.")
    until = max(source.value for source in preparation.sources)
    chosen = range(spec.patients) if which is None else which
    jobs = [(f"phantom-{p.seed}", p) for p in (spec.phantom(i, until) for i in chosen)]
    if cache is not None:
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"The folder {cache} cannot be used ({error}). Choose another.") from error
    return join(_run([(name, p, preparation, cache) for name, p in jobs], workers, progress))


def prepare_case(
    patient: str,
    volume: DceVolume,
    boxes: tuple[Box, ...],
    preparation: PreparationSpec,
    slices: Sequence[int] | None = None,
) -> Examples:
    """Slices of a volume (None: all) as the model sees them but for the mode of its weights, boxes in their pixels.

    Raises:
        InferenceError: when the volume does not have the image that the model needs.
    """
    plan = plan_images(volume, preparation)
    chosen = range(volume.n_slices) if slices is None else slices
    grey = torch.from_numpy(grey_slices(volume, plan, chosen))
    rows, columns = (int(size) for size in grey.shape[2:])
    top, left = (0, 0) if plan.region is None else plan.region[:2]
    height, width = preparation.size
    if (rows, columns) != (height, width):
        # As in `inference.to_input`, which then leaves the size as it is.
        grey = interpolate(grey, (height, width))
    per_slice: list[list[Box]] = [[] for _ in range(volume.n_slices)]
    for box in boxes:
        per_slice[box.z].append(_rescale(box.shifted(-top, -left), height / rows, width / columns))
    return Examples(
        (grey.clamp(0, 1) * 255).round().to(torch.uint8).numpy(),
        tuple(tuple(per_slice[z]) for z in chosen),
        (patient,) * len(chosen),
        tuple(chosen),
        facts={patient: study_facts(volume, plan)},
    )


def _rescale(box: Box, by_y: float, by_x: float) -> Box:
    """The box in an image of another size that shows the same."""
    y0, y1 = ((y + 0.5) * by_y - 0.5 for y in (box.y0, box.y1))
    x0, x1 = ((x + 0.5) * by_x - 0.5 for x in (box.x0, box.x1))
    return Box(box.z, y0, x0, y1, x1, box.label, box.id, box.author)


Job = tuple[str, PhantomSpec, PreparationSpec, Path | None]


def _run(jobs: list[Job], workers: int, progress: Progress) -> list[Examples]:
    """All jobs in their order, in this process or in several."""
    done: list[Examples | None] = [None] * len(jobs)
    if workers <= 1:
        for i, job in enumerate(jobs):
            done[i] = _make_one(job)
            progress(i + 1, len(jobs), "making phantoms")
    else:
        # Forking a process that has run torch's threads can hang; a fresh interpreter cannot.
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(1,),
        )
        try:
            places = {pool.submit(_make_one, job): i for i, job in enumerate(jobs)}
            for n, future in enumerate(as_completed(places), 1):
                done[places[future]] = future.result()
                progress(n, len(jobs), "making phantoms")
        finally:
            pool.shutdown(cancel_futures=True)
    return [part for part in done if part is not None]


def _make_one(job: Job) -> Examples:
    """One phantom's slices, from the cache where they are there."""
    patient, spec, preparation, cache = job
    file = cache / f"{_key(spec, preparation)}.npz" if cache is not None else None
    if file is not None and file.is_file():
        return _read(file, patient)
    phantom = make_phantom(spec)
    examples = prepare_case(patient, phantom.volume, phantom.truth.boxes, preparation)
    if file is not None:
        _write(file, examples)
    return examples


def _key(spec: PhantomSpec, preparation: PreparationSpec) -> str:
    """Changes with phantom and preparation (but its mode, which is applied later), and with the code of both."""
    wanted: dict[str, Any] = {"phantom": asdict(spec), "preparation": asdict(preparation)}
    wanted["preparation"].pop("mode")
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    code = sorted(Path(next(iter(phantom_room.__path__))).glob("*.py"))
    for used in (plan_images, study_facts):
        code.append(Path(used.__code__.co_filename))
    for source in (*code, Path(__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:32]


def _write(file: Path, examples: Examples) -> None:
    boxes = [[(b.z, b.y0, b.x0, b.y1, b.x1, b.label, b.id, b.author) for b in s] for s in examples.boxes]
    try:
        with taking_place(file) as part, part.open("xb") as stream:
            facts = examples.facts[examples.patients[0]].to_json()
            np.savez_compressed(
                stream,
                images=examples.images,
                boxes=np.array(json.dumps(boxes)),
                facts=np.array(json.dumps(facts)),
            )
    except OSError as error:
        raise TrainingError(f"{file} cannot be written ({error}). Free some space.") from error


def _read(file: Path, patient: str) -> Examples:
    with np.load(file, allow_pickle=False) as stored:
        images, boxes = stored["images"], json.loads(str(stored["boxes"]))
        facts = json.loads(str(stored["facts"]))
    return Examples(
        images,
        tuple(tuple(Box(*values) for values in per_slice) for per_slice in boxes),
        (patient,) * len(images),
        tuple(range(len(images))),
        facts={patient: StudyFacts.from_json(facts)},
    )
