"""What readers think, kept in the journal with whether they had seen a model's answer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_breast_ai.annotations import AnnotationError, Journal
from napari_breast_ai.annotations.cases import read_case
from napari_breast_ai.annotations.opinions import COLUMNS, Opinion, opinions_table
from napari_breast_ai.annotations.protocol import BoxClass, Protocol, read_protocol, write_protocol
from napari_breast_ai.cli import main
from napari_breast_ai.core import Box

ABOUT = Opinion("", True, "", "demo", "ab" * 32, {"IGM": 0.35, "NME": 0.65, "lesion": None})


def lines(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_bytes().splitlines()]


def test_before_and_after_are_what_the_journal_knows(tmp_path: Path) -> None:
    path = tmp_path / "case" / "napari-breast-ai" / "boxes-anna.jsonl"
    journal = Journal(path, "anna", study_uid="1.2.3")
    journal.enter()
    assert not journal.answer_seen and not path.exists()
    journal.say_opinion("IGM", "clumped", ABOUT)
    before = journal.opinion(seen=False)
    assert before is not None and (before.answer, before.note, before.model) == ("IGM", "clumped", "")
    journal.answer_shown("demo", "ab" * 32)
    journal.answer_shown("demo", "ab" * 32)
    assert journal.answer_seen and [one["do"] for one in lines(path)[1:]] == ["open", "opinion"], (
        "looking writes nothing"
    )
    with pytest.raises(AnnotationError, match="agree, disagree, unsure, not “IGM”"):
        journal.say_opinion("IGM")
    journal.say_opinion("disagree", "rim", ABOUT)
    assert [one["do"] for one in lines(path)[1:]] == ["open", "opinion", "shown", "opinion"]
    journal.say_opinion("disagree", "rim", ABOUT)
    assert len(journal.opinions) == 2, "the same again is no new line"
    journal.say_opinion("unsure", "rim", ABOUT)
    changes: list[int] = []
    journal.changed.connect(lambda: changes.append(1))
    box = journal.add(Box(1, 0, 0, 4, 4, "IGM"))
    assert journal.undo() and journal.boxes == () and len(journal.opinions) == 3, "undo is about boxes"

    again = Journal(path, "anna")
    assert again.opinions == journal.opinions and again.answer_seen and not again.warnings
    after = again.opinion(seen=True)
    assert after is not None and (after.answer, after.model, after.said["IGM"]) == ("unsure", "demo", 0.35)
    assert after.said["lesion"] is None and after.at and box.id
    assert lines(path)[0]["version"] == 3


def test_a_journal_of_version_2_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "boxes-anna.jsonl"
    Journal(path, "anna").add(Box(1, 0, 0, 4, 4, "IGM"))
    old = path.read_bytes().replace(b'"version":3', b'"version":2')
    path.write_bytes(old)
    journal = Journal(path, "anna")
    assert not journal.read_only and not journal.answer_seen and journal.opinions == ()
    journal.say_opinion("unsure")
    assert path.read_bytes().startswith(old)
    assert [one.get("version") for one in lines(path)[2:]] == [3, None]


@pytest.mark.parametrize(
    "harm",
    [
        '"answer":""',
        '"seen":"yes"',
        '"seen":true,"answer":"perhaps"',
        '"answer":"IGM","seen":true',
        '"said":3',
    ],
)
def test_a_damaged_opinion_is_left_out_and_said(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "boxes-anna.jsonl"
    Journal(path, "anna").say_opinion("NME")
    text = '{"do":"opinion","answer":"agree","seen":true,"key":"k1","at":"",' + harm + "}\n"
    path.write_bytes(path.read_bytes() + text.encode())
    journal = Journal(path, "anna")
    assert [one.answer for one in journal.opinions] == ["NME"] and "left out" in journal.warnings[0]


def test_opinions_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for reader, answer in (("anna", "agree"), ("berta", "disagree")):
        path = tmp_path / "case 7" / "napari-breast-ai" / f"boxes-{reader}.jsonl"
        journal = Journal(path, reader, study_uid="1.2.3")
        journal.say_opinion("unsure")
        journal.say_opinion("NME", 'with "rim", clumped')
        journal.answer_shown("demo", "ab" * 32)
        journal.say_opinion(answer, about=replace(ABOUT, answer=answer))
    Journal(tmp_path / "case 8" / "napari-breast-ai" / "boxes-anna.jsonl", "anna").add(
        Box(0, 0, 0, 3, 3, "IGM")
    )
    out = tmp_path / "opinions.csv"
    assert main(["boxes", "export", str(tmp_path), "--to", "opinions", "--out", str(out)]) == 0
    assert "4 opinions of 2 cases" in capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["reader"], row["said"], row["answer"]) for row in rows] == [
        ("anna", "before", "NME"), ("anna", "after", "agree"),
        ("berta", "before", "NME"), ("berta", "after", "disagree"),
    ]  # fmt: skip
    assert rows[0]["note"] == 'with "rim", clumped' and rows[0]["model_said"] == ""
    assert rows[1]["model_said"] == "IGM 0.3500; NME 0.6500; lesion not scored"
    record = read_case(tmp_path / "case 7" / "napari-breast-ai" / "boxes-anna.jsonl")
    assert [one.answer for one in record.opinions] == ["unsure", "NME", "agree"]
    assert opinions_table([])[1] == 0


def test_the_protocol_can_ask_for_the_readers_own_answer_first(tmp_path: Path) -> None:
    protocol = Protocol((BoxClass("IGM"),), ("*",), "before")
    write_protocol(tmp_path, protocol)
    assert read_protocol(tmp_path) == protocol
    assert "opinion" not in Protocol().to_json() and Protocol.from_json({}).opinion == "after"
    with pytest.raises(AnnotationError, match="“before” or “after”, not “first”"):
        Protocol.from_json({"opinion": "first"})
