"""Commands about boxes: out to other formats, in again, how far readers agree and how fast they are."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import Progress
from .common import CommandError, Commands, write_text

if TYPE_CHECKING:
    from ..annotations.agreement import Agreement, ClassAgreement
    from ..annotations.cases import CaseRecord
    from ..annotations.pace import Pace

SHOWN = 20
"""Notes that are printed; more of them are counted."""


def register(commands: Commands) -> None:
    """Add `boxes export`, `boxes import`, `boxes agreement` and `boxes pace`."""
    boxes = commands.group("boxes", "boxes of all cases: export, import, agreement, pace")

    export = boxes.add(
        "export", _export, "write readers' boxes as COCO, as a table, or as masks; or their opinions"
    )
    _add_paths(export)
    export.add_argument("--to", choices=("coco", "csv", "masks", "opinions"), required=True)
    export.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a new file; for masks a folder"
    )
    export.add_argument("--readers", nargs="+", metavar="NAME", help="only these; default: all")

    take = boxes.add("import", _import, "add the boxes of a COCO file or a table to a reader's journals")
    take.add_argument("file", type=Path, help="COCO (.json) or a table (.csv)")
    take.add_argument(
        "--into", type=Path, required=True, metavar="PATH", help="a worklist, a folder of studies, or a study"
    )
    take.add_argument("--reader", required=True, metavar="NAME", help="whose journals")

    agree = boxes.add("agreement", _agreement, "how far two readers, or a reader and a model, agree")
    _add_paths(agree)
    agree.add_argument(
        "--readers",
        nargs=2,
        default=(),
        metavar=("A", "B"),
        help="A is the reference; anna#2 is anna's second reading, model:NAME what a model suggested",
    )
    agree.add_argument("--iou", type=float, default=0.5, help="boxes match from this IoU on (default 0.5)")
    agree.add_argument("--json", type=Path, metavar="FILE", help="all figures as JSON")
    agree.add_argument("--csv", type=Path, metavar="FILE", help="a row for each figure")
    agree.add_argument("--plot", type=Path, metavar="FILE", help="a figure, .png or .svg")

    speed = boxes.add("pace", _pace, "how fast cases were read, from the journals' times")
    _add_paths(speed)
    speed.add_argument(
        "--pause", type=float, default=60.0, metavar="S", help="longer gaps are pauses (default 60 seconds)"
    )
    speed.add_argument("--json", type=Path, metavar="FILE", help="all figures as JSON")
    speed.add_argument("--csv", type=Path, metavar="FILE", help="a row for each reader and case")


def _add_paths(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="folders (searched for journals), journals, or a worklist (CSV with case_id, path)",
    )


def _export(arguments: argparse.Namespace, progress: Progress) -> None:
    """Write boxes in another format."""
    from ..annotations.collect import Found
    from ..study import open_volume

    if arguments.to != "masks" and arguments.out.exists():
        raise CommandError(f"“{arguments.out}” exists already; choose another name, or remove it first.")
    found = Found(arguments.paths, progress, opener=open_volume)
    records = _of_readers(found.records, arguments.readers)
    boxes = sum(len(record.boxes) for record in records)
    if arguments.to == "opinions":
        from ..annotations.opinions import opinions_table

        text, count = opinions_table(records)
        write_text(arguments.out, text)
        _say_notes(found.notes)
        print(f"Wrote {arguments.out}: {count} opinions of {len({record.key for record in records})} cases.")
        return
    if arguments.to == "masks":
        from ..annotations.masks import write_masks

        files, notes = write_masks(records, arguments.out)
        wrote = f"{len(files)} masks to {arguments.out}"
    else:
        if arguments.to == "coco":
            from ..annotations.coco import to_coco

            content, notes = to_coco(records)
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            boxes = len(content["annotations"])
        else:
            from ..annotations.tables import to_table

            text, notes = to_table(records)
        write_text(arguments.out, text)
        wrote = f"{arguments.out}"
    _say_notes([*found.notes, *notes])
    print(f"Wrote {wrote}: {boxes} boxes of {len({record.key for record in records})} cases.")


def _import(arguments: argparse.Namespace, progress: Progress) -> None:
    """Add a file's boxes to a reader's journals."""
    from .taking import take

    done, notes = take(arguments.file, arguments.into, arguments.reader, progress)
    for one in done:
        print(one)
    _say_notes(notes)
    print(
        f"Boxes added to the journals of {arguments.reader}: {sum(len(one.added) for one in done)}, "
        f"in cases: {sum(bool(one.added) for one in done)}."
    )


def _agreement(arguments: argparse.Namespace, progress: Progress) -> None:
    """Compare two raters."""
    from ..annotations.agreement import agreement
    from ..annotations.collect import Found
    from ..annotations.raters import choose, readings
    from ..study import open_volume

    found = Found(arguments.paths, progress, opener=open_volume)
    first, second = choose(found.records, tuple(arguments.readers))
    result = agreement(readings(found.records, first), readings(found.records, second), arguments.iou)
    _say_agreement(result)
    _say_notes([*found.notes, *result.notes])
    if arguments.json is not None:
        write_text(arguments.json, _json(result.to_json()))
    if arguments.csv is not None:
        write_text(arguments.csv, _csv(result.rows()))
    if arguments.plot is not None:
        from ..annotations.pace import pace
        from ..annotations.plots import agreement_figure, save_figure

        save_figure(agreement_figure(result, pace(found.records)), arguments.plot)
    _say_written(arguments.json, arguments.csv, arguments.plot)


def _pace(arguments: argparse.Namespace, progress: Progress) -> None:
    """Say how fast cases were read."""
    from ..annotations.collect import Found
    from ..annotations.pace import pace
    from ..study import open_volume

    found = Found(arguments.paths, progress, stacks=False, opener=open_volume)
    result = pace(found.records, arguments.pause)
    for one in result.readers:
        print(f"{one.reader}, cases: {one.cases}")
        _say_pace(one, "  ")
        for case in result.cases:
            if case.reader == one.reader:
                print(f"  {case.case_id}")
                _say_pace(case, "    ")
    print(f"For comparison, {result.reference}. Gaps of more than {result.limit_s:g} s count as pauses.")
    _say_notes(found.notes)
    if arguments.json is not None:
        write_text(arguments.json, _json(result.to_json()))
    if arguments.csv is not None:
        write_text(arguments.csv, _csv(result.rows()))
    _say_written(arguments.json, arguments.csv)


def _of_readers(records: Sequence[CaseRecord], names: Sequence[str] | None) -> tuple[CaseRecord, ...]:
    if not names:
        return tuple(records)
    known = sorted({record.rater for record in records})
    for name in names:
        if name not in known:
            raise CommandError(f"There are no boxes of {name}. There are boxes of: {', '.join(known)}.")
    return tuple(record for record in records if record.rater in names)


def _say_agreement(result: Agreement) -> None:
    print(
        f"{result.first} (reference) and {result.second}: {len(result.cases)} cases, boxes match from IoU "
        f"{result.iou_threshold:g}. Intervals are of 95 %."
    )
    for one in (result.overall, *result.classes):
        _say_class(one, result)
    if any(map(any, result.confusion)):
        print(f"Classes of matched boxes (rows: {result.first}, columns: {result.second}):")
        width = max(map(len, result.confusion_labels))
        print(f"  {'':<{width}} " + " ".join(f"{label:>{width}}" for label in result.confusion_labels))
        for label, row in zip(result.confusion_labels, result.confusion, strict=True):
            print(f"  {label:<{width}} " + " ".join(f"{count:>{width}}" for count in row))


def _say_class(one: ClassAgreement, result: Agreement) -> None:
    both, mine, theirs, neither = one.slices
    print(f"{one.label}: {one.first_boxes} and {one.second_boxes} boxes, {one.matched} match")
    print(f"  precision {one.precision}, recall {one.recall}, F1 {one.f1}")
    quartiles = (
        "" if one.iou_quartiles is None else ", quartiles {:.3f} and {:.3f}".format(*one.iou_quartiles)
    )
    print(f"  IoU: median {one.iou_median}{quartiles}")
    print(
        f"  slices that both have looked at: {sum(one.slices)}; boxes of both on {both}, only of {result.first} on "
        f"{mine}, only of {result.second} on {theirs}, none on {neither}"
    )
    print(f"  slices: agreement {one.slice_agreement}, kappa {one.slice_kappa}")
    print(f"  class of matched boxes: kappa {one.label_kappa}")
    reasons: dict[str, list[str]] = {}
    for name, figure in one.figures.items():
        reasons.setdefault(figure.reason, []).append(name.replace("_", " "))
    for reason, names in reasons.items():
        if reason:
            print(f"  {', '.join(names)}: {reason}")


def _say_pace(one: Pace, indent: str) -> None:
    speed = one.reason
    if one.images_per_hour is not None and one.seconds_per_image is not None:
        speed = f"{one.images_per_hour:.0f} images an hour, {one.seconds_per_image:.1f} s an image"
        if one.seconds_per_box is not None:
            speed += f", {one.seconds_per_box:.1f} s a box (median)"
    print(f"{indent}{speed}")
    print(
        f"{indent}images {one.images}, boxes {one.boxes}, active {_clock(one.active_s)}, pauses {one.pauses} "
        f"({_clock(one.paused_s)})"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _say_notes(notes: Iterable[str]) -> None:
    notes = list(notes)
    for note in notes[:SHOWN]:
        print(f"Note: {note}")
    if len(notes) > SHOWN:
        print(f"Note: and {len(notes) - SHOWN} more like these.")


def _say_written(*paths: Path | None) -> None:
    written = [str(path) for path in paths if path is not None]
    if written:
        print(f"Wrote {', '.join(written)}.")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
