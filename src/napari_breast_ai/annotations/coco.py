"""Boxes as COCO detection files, out and in.

COCO counts pixels from the image's top left corner: its x = 0 is the edge of the first pixel, where a `Box` has -0.5.
An image is one slice. What COCO has no word for stands in keys of our own, so that a file comes back as it was:

- images: `case_id`, `slice` (from 0), `study_uid`, `sop_instance_uid`, `frame`, `no_lesion` (readers who said so);
- annotations: `box_id`, `author`, `reader`, `reading`, `lesion`, `origin`, `edited`;
- `info.napari_breast_ai`: `schema`, `version`, and `cases`: of each reader's journal `case_id`, `study_uid`, `reader`,
  `reading`, `status`, `empty_case`, `slices`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core import BOX_LABELS, Box, FrameRef
from .cases import CaseRecord
from .errors import AnnotationError
from .exchange import Exchange, Gathered, Item, by_case, name_of_image, number, read_text, whole

SCHEMA = "napari-breast-ai/coco"
VERSION = 1
DIGITS = 6
"""Edges are written to a millionth of a pixel."""


def to_coco(records: Iterable[CaseRecord]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A COCO object of all slices that have boxes or were said to be without a lesion.

    Returns:
        The object for a JSON file, and sentences about what it does not hold.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    notes: list[str] = []
    cases = by_case(records)
    labels = {box.label for case in cases for record in case.records for box in record.boxes}
    names = [*BOX_LABELS, *sorted(labels - set(BOX_LABELS))]
    for case in cases:
        notes += case.notes
        first = case.records[0]
        geometry = next((record.geometry for record in case.records if record.geometry is not None), None)
        if geometry is None:
            notes.append(
                f"Case “{first.case_id}” is left out: its journal does not say how large the images are. Give the "
                "study with a worklist, or open it once in the window and change something."
            )
            continue
        said += [_case_json(record) for record in case.records]
        for z in sorted(
            {box.z for one in case.records for box in one.boxes}.union(*map(_empties, case.records))
        ):
            number_ = len(images) + 1
            images.append({"id": number_, **_image_json(case.records, first, z, *geometry.shape[1:])})
            for record in case.records:
                for box in record.boxes:
                    if box.z == z:
                        annotations.append(
                            {
                                "id": len(annotations) + 1,
                                "image_id": number_,
                                "category_id": names.index(box.label) + 1,
                                **_box_json(box, record),
                            }
                        )
    content = {
        "info": {
            "description": "Boxes of napari-breast-ai. Research use only.",
            "version": str(VERSION),
            "napari_breast_ai": {"schema": SCHEMA, "version": VERSION, "cases": said},
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": i, "name": name, "supercategory": "breast"} for i, name in enumerate(names, start=1)
        ],
    }
    return content, tuple(notes)


def read_coco(path: str | Path, known: Collection[str] = ()) -> Exchange:
    """Read a COCO detection file.

    An image without `case_id` or `study_uid` is told by its name (`name_of_image`).

    Args:
        path: the file.
        known: names of cases, which names of images are compared with.

    Raises:
        AnnotationError: it cannot be read, or is not COCO.
    """
    path = Path(path)
    text = read_text(path, "The COCO file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path.name} is not JSON ({error}). Export it again.") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), list) for part in ("images", "annotations", "categories")
    ):
        raise AnnotationError(
            f"{path.name} is not a COCO detection file: it needs the lists images, annotations and categories."
        )
    notes: list[str] = []
    gathered = Gathered()
    images: dict[Any, _Image] = {}
    for place, record in enumerate(content["images"], start=1):
        try:
            image = _Image(record, known)
            if image.id in images:
                raise ValueError(f"its id {image.id} is taken")
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as problem:
            notes.append(f"Image {place} of {path.name} is left out: it is incomplete ({problem}).")
            continue
        images[image.id] = image
        for reader, reading in image.no_lesion:
            gathered.add(*image.case, reader, reading, image.item(f"image {image.id}", None))
    labels = {}
    for record in content["categories"]:
        if isinstance(record, dict) and record.get("name") and isinstance(record.get("id"), int | str):
            labels[record["id"]] = str(record["name"])
    for place, record in enumerate(content["annotations"], start=1):
        try:
            image, box, reader, reading = _read_box(record, images, labels)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as problem:
            notes.append(f"Annotation {place} of {path.name} is left out: it is incomplete ({problem}).")
            continue
        if found := box.problems():
            notes.append(f"Annotation {place} of {path.name} is left out: {' '.join(found)}")
            continue
        gathered.add(*image.case, reader, reading, image.item(f"annotation {record.get('id', place)}", box))
    for case_id, study_uid, reader, reading in _empty_cases(content):
        gathered.add(case_id, study_uid, reader, reading, Item("info", None, None))
    return Exchange(path, gathered.cases(), tuple(notes))


class _Image:
    """An image of the file: which case and slice it is."""

    def __init__(self, record: Mapping[str, Any], known: Collection[str]) -> None:
        self.id = record["id"]
        if not isinstance(self.id, int | str):
            raise ValueError("its id is neither a number nor a text")
        case_id, study_uid = str(record.get("case_id") or ""), str(record.get("study_uid") or "")
        z = None if record.get("slice") is None else whole(record["slice"])
        if z is None or not (case_id or study_uid):
            named, at = name_of_image(str(record["file_name"]), known)
            case_id = case_id or ("" if study_uid else named)
            z = at if z is None else z
        self.z = z
        self.case = (case_id, study_uid)
        self.size = None
        if record.get("width") and record.get("height"):
            self.size = (whole(record["height"]), whole(record["width"]))
        self.image = None
        if record.get("sop_instance_uid"):
            frame = record.get("frame")
            self.image = FrameRef(str(record["sop_instance_uid"]), None if frame is None else whole(frame))
        said = record.get("no_lesion") or []
        self.no_lesion = [(str(one["reader"]), int(one["reading"])) for one in said]

    def item(self, where: str, box: Box | None) -> Item:
        return Item(where, box, self.z, self.image, self.size)


def _read_box(
    record: Mapping[str, Any], images: Mapping[Any, _Image], labels: Mapping[Any, str]
) -> tuple[_Image, Box, str, int]:
    if record.get("image_id") not in images:
        raise ValueError("its image is not in the file")
    if record.get("category_id") not in labels:
        raise ValueError("its category is not in the file")
    if record.get("iscrowd"):
        raise ValueError("it is a crowd, not one box")
    image = images[record["image_id"]]
    x, y, width, height = (number(value) for value in record["bbox"])
    box = Box(
        image.z,
        round(y - 0.5, DIGITS),
        round(x - 0.5, DIGITS),
        round(y - 0.5 + height, DIGITS),
        round(x - 0.5 + width, DIGITS),
        labels[record["category_id"]],
        id=str(record.get("box_id") or ""),
        author=str(record.get("author") or ""),
        lesion=str(record.get("lesion") or ""),
        origin=str(record.get("origin") or ""),
        edited=record.get("edited") is True,
    )
    return image, box, str(record.get("reader") or ""), int(record.get("reading") or 1)


def _empty_cases(content: Mapping[str, Any]) -> Iterable[tuple[str, str, str, int]]:
    try:
        for one in content["info"]["napari_breast_ai"]["cases"]:
            if one["empty_case"] is True:
                yield str(one["case_id"]), str(one["study_uid"]), str(one["reader"]), int(one["reading"])
    except (KeyError, TypeError, ValueError):
        return


def _empties(record: CaseRecord) -> set[int]:
    return set(record.empty_slices)


def _case_json(record: CaseRecord) -> dict[str, Any]:
    return {
        "case_id": record.case_id,
        "study_uid": record.study_uid,
        "reader": record.reader,
        "reading": record.reading,
        "status": record.status,
        "empty_case": record.empty_case,
        "slices": record.geometry.shape[0] if record.geometry is not None else None,
    }


def _image_json(
    records: Iterable[CaseRecord], first: CaseRecord, z: int, rows: int, columns: int
) -> dict[str, Any]:
    image = next((known for one in records if (known := one.image_of(z)) is not None), None)
    made: dict[str, Any] = {
        "width": columns,
        "height": rows,
        "file_name": f"{first.case_id}/{z:04d}.png",
        "case_id": first.case_id,
        "slice": z,
        "study_uid": first.study_uid,
    }
    if image is not None:
        made["sop_instance_uid"], made["frame"] = image.sop_instance_uid, image.frame
    said = [{"reader": one.reader, "reading": one.reading} for one in records if z in one.empty_slices]
    if said:
        made["no_lesion"] = said
    return made


def _box_json(box: Box, record: CaseRecord) -> dict[str, Any]:
    return {
        "bbox": [
            round(box.x0 + 0.5, DIGITS),
            round(box.y0 + 0.5, DIGITS),
            round(box.x1 - box.x0, DIGITS),
            round(box.y1 - box.y0, DIGITS),
        ],
        "area": round(box.area, DIGITS),
        "iscrowd": 0,
        "segmentation": [],
        "box_id": box.id,
        "author": box.author,
        "reader": record.reader,
        "reading": record.reading,
        "lesion": box.lesion,
        "origin": box.origin,
        "edited": box.edited,
    }
