"""The labelled cases that look most alike to a model, from a local index of a cohort.

An index is a folder: `index.json` (which model, and each case's label, place and hashes), `vectors.npz` (a vector of
features a case) and `pictures/`. Patients are told apart by salted hashes; none of their names and numbers is
written. But paths of studies are: a folder that is named after a patient names her.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core import Box, BreastAIError, DceVolume, ModelRef, Prediction
from ..files import write_whole
from ..models.bundle import Bundle
from ..models.ranges import FeatureSpace
from .aggregation import boxed_slices
from .images import grey_slices
from .kept import KeptFeatures
from .overlay import rank_slices
from .preparation import plan_images

SCHEMA, VERSION = "napari-breast-ai/similar", 1
INDEX, VECTORS, PICTURES = "index.json", "vectors.npz", "pictures"
THUMBNAIL = 96
TOP_SLICES = 3
"""Without boxes, the slices that the model finds most telling stand for the lesion."""


class SimilarError(BreastAIError):
    """An index that cannot be used, in words."""


@dataclass(frozen=True)
class Entry:
    """One case of an index.

    Attributes:
        label: its class in the cohort's table.
        path: of its study, as it is called.
        content: SHA-256 of its images.
        patients: salted hashes of what tells her from others: the table's patient_id, and PatientID of the files.
        slices: whose features were averaged.
        picture: file of the thumbnail.
    """

    label: str
    path: str
    content: str
    patients: tuple[str, ...]
    slices: tuple[int, ...]
    picture: str


@dataclass(frozen=True)
class Neighbour:
    """A case like the one asked about; `distance` is 1 for cases that lie apart as the index's cases usually do."""

    entry: Entry
    distance: float


@dataclass(frozen=True, eq=False)
class SimilarIndex:
    """An index that has been read.

    Attributes:
        folder: where it lies.
        model: whose features.
        salt: of the patients' hashes.
        entries: the cases.
        vectors: float32 (n, C).
    """

    folder: Path
    model: ModelRef
    salt: str
    entries: tuple[Entry, ...]
    vectors: NDArray[np.float32]

    def nearest(
        self,
        vector: NDArray[np.floating[Any]],
        space: FeatureSpace | None,
        content: str = "",
        patient: str = "",
        most: int = 5,
    ) -> tuple[Neighbour, ...]:
        """The nearest cases of other patients, the nearest first.

        Args:
            vector: (C,), of the case asked about.
            space: of the model's training features, whose spread measures distances; None: the cosine does.
            content: of its images (see `content_of`): every case of the patient who has these images is left out.
            patient: hash of its patient, likewise; "" where nobody knows.
            most: how many.
        """
        same = {patient} - {""}
        for entry in self.entries:
            if entry.content == content:
                same |= set(entry.patients)
        # A patient may be known by two numbers, and another of her studies by one of them only.
        for _ in range(2):
            same |= {p for e in self.entries if same & set(e.patients) for p in e.patients}
        others = [
            i
            for i, entry in enumerate(self.entries)
            if entry.content != content and not same & set(entry.patients)
        ]
        if not others:
            return ()
        apart = distances(vector, self.vectors[others], space)
        usual = self._usual(space)
        order = np.argsort(apart, kind="stable")[:most]
        return tuple(Neighbour(self.entries[others[i]], float(apart[i]) / usual) for i in order)

    def _usual(self, space: FeatureSpace | None) -> float:
        """The median distance of two cases of the index; 1 where there are too few."""
        if len(self.vectors) < 3:
            return 1.0
        rows = [np.delete(distances(v, self.vectors, space), i) for i, v in enumerate(self.vectors[:50])]
        return max(float(np.median(np.concatenate(rows))), 1e-12)


def distances(
    vector: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]], space: FeatureSpace | None
) -> NDArray[np.float64]:
    """From a vector (C,) to others (n, C), (n,): in the training's spread, or 1 - cosine without it."""
    if space is not None:
        return space.apart(vector, others)
    one, rest = np.asarray(vector, np.float64), np.asarray(others, np.float64)
    lengths = np.linalg.norm(one) * np.linalg.norm(rest, axis=1)
    return np.asarray(1 - (rest @ one) / np.maximum(lengths, 1e-12), np.float64)


def lesion_slices(prediction: Prediction, boxes: Collection[Box]) -> tuple[int, ...]:
    """The slices that stand for a case: those with a lesion's box, or else the most telling ones, rising."""
    there = set(prediction.slices)
    if boxed := tuple(z for z in boxed_slices(boxes) if z in there):
        return boxed
    return tuple(sorted(prediction.slices[i] for i in rank_slices(prediction)[:TOP_SLICES]))


def nearest_to(
    index: SimilarIndex,
    bundle: Bundle,
    volume: DceVolume,
    prediction: Prediction,
    kept: KeptFeatures,
    boxes: Collection[Box],
    patient_id: str = "",
    most: int = 5,
) -> tuple[Neighbour, ...]:
    """The cases of an index that are nearest to a study on which its model has run.

    Raises:
        SimilarError: the index is of another model, or the study's features are not there.
    """
    if index.model != bundle.ref:
        raise SimilarError(
            f"The index {index.folder.name} was made with {index.model.name}, and the features of another model cannot "
            f"be compared. Make an index with {bundle.ref.name}."
        )
    maps = kept.get(lesion_slices(prediction, boxes))
    if maps is None:
        raise SimilarError("The study's features are not there. Run the model on the whole volume first.")
    vector = maps.float().mean(dim=(0, 2, 3)).cpu().numpy()
    space = bundle.ranges.features if bundle.ranges is not None else None
    patient = patient_hash(index.salt, patient_id)
    return index.nearest(vector, space, content_of(volume), patient, most)


def content_of(volume: DceVolume) -> str:
    """SHA-256 of a study's pixels and their shape: the same images, whatever their files and names."""
    digest = hashlib.sha256(repr(volume.data.shape).encode())
    digest.update(np.ascontiguousarray(volume.data).data)
    return digest.hexdigest()


def patient_hash(salt: str, patient: str) -> str:
    """A hash that tells patients apart in one index only; "" for no patient."""
    return hashlib.sha256(f"{salt} {patient.strip()}".encode()).hexdigest()[:24] if patient.strip() else ""


def thumbnail(volume: DceVolume, bundle: Bundle, z: int, boxes: Collection[Box]) -> bytes:
    """The slice as the model sees it, with its boxes, as PNG; a pixel is as wide as it is high."""
    plan = plan_images(volume, bundle.spec.preparation)
    grey = grey_slices(volume, plan, [z])[0]
    channel = plan.phases.index(plan.phase) if plan.phase in plan.phases else 0
    image = np.repeat((255 * grey[min(channel, len(grey) - 1)]).astype(np.uint8)[..., None], 3, axis=2)
    top, left = (0, 0) if plan.region is None else plan.region[:2]
    for box in (one for one in boxes if one.z == z):
        own = box.shifted(-top, -left).clipped(*image.shape[:2])
        if own.problems():
            continue  # beside what the model saw
        y0, y1 = (min(round(y + 0.5), image.shape[0] - 1) for y in (own.y0, own.y1))
        x0, x1 = (min(round(x + 0.5), image.shape[1] - 1) for x in (own.x0, own.x1))
        image[[y0, y1], x0 : x1 + 1] = image[y0 : y1 + 1, [x0, x1]] = (255, 210, 63)
    _, dy, dx = volume.geometry.spacing
    height, width = image.shape[0] * dy, image.shape[1] * dx
    scale = THUMBNAIL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    out = io.BytesIO()
    Image.fromarray(image).resize(size, Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def new_salt() -> str:
    """For the patients' hashes of one index."""
    return secrets.token_hex(16)


def write_index(
    folder: Path,
    model: ModelRef,
    salt: str,
    entries: Sequence[Entry],
    vectors: NDArray[np.float32],
    pictures: dict[str, bytes],
) -> Path:
    """Write an index; `index.json` comes last, so that one that is not whole is none.

    Raises:
        SimilarError: the folder holds something else, or cannot be written.
    """
    if (
        folder.exists()
        and not (folder / INDEX).is_file()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise SimilarError(f"{folder} already holds something that is no index. Choose another folder.")
    content = io.BytesIO()
    np.savez_compressed(content, vectors=np.asarray(vectors, np.float32))
    described = {
        "schema": SCHEMA,
        "version": VERSION,
        "model": {"name": model.name, "sha256": model.sha256},
        "salt": salt,
        "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        "cases": [dict(vars(entry)) for entry in entries],
    }
    try:
        for name, picture in pictures.items():
            write_whole(folder / PICTURES / name, picture, lasting=False)
        write_whole(folder / VECTORS, content.getvalue())
        write_whole(folder / INDEX, json.dumps(described, indent=1))
        for old in (folder / PICTURES).glob("*.png"):
            if old.name not in pictures:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise SimilarError(
            f"The index {folder} cannot be written ({error}). Choose another folder."
        ) from error
    return folder


def read_index(folder: str | Path) -> SimilarIndex:
    """Read an index.

    Raises:
        SimilarError: it is none, of a later version, or damaged.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if told.get("schema") != SCHEMA or told.get("version", 0) > VERSION:
            raise SimilarError(
                f"{folder} is no index of similar cases that this version knows. Make it anew."
            )
        raw = (folder / VECTORS).read_bytes()
        if hashlib.sha256(raw).hexdigest() != told["sha256"]:
            raise ValueError("its vectors were changed")
        with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
            vectors = stored["vectors"].astype(np.float32)
        entries = tuple(
            Entry(
                str(one["label"]),
                str(one["path"]),
                str(one["content"]),
                tuple(map(str, one["patients"])),
                tuple(map(int, one["slices"])),
                Path(str(one["picture"])).name,
            )
            for one in told["cases"]
        )
        if vectors.ndim != 2 or len(vectors) != len(entries) or not np.isfinite(vectors).all():
            raise ValueError("its vectors do not fit its cases")
        model = ModelRef(str(told["model"]["name"]), str(told["model"]["sha256"]))
        return SimilarIndex(folder, model, str(told["salt"]), entries, vectors)
    except FileNotFoundError as error:
        raise SimilarError(f"{folder} is no index of similar cases: {error.filename} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SimilarError(f"The index {folder} cannot be read ({error}). Make it anew.") from error
