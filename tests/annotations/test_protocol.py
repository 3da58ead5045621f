"""A project's classes: written, read, refused in sentences."""

import json
from pathlib import Path

import pytest

from napari_breast_ai.annotations import AnnotationError
from napari_breast_ai.annotations.protocol import NAME, BoxClass, Protocol, read_protocol, write_protocol
from napari_breast_ai.core import BOX_LABELS


def test_without_a_file_the_usual_classes(tmp_path: Path) -> None:
    assert read_protocol(tmp_path) == Protocol() and Protocol().labels == BOX_LABELS


def test_written_and_read_again(tmp_path: Path) -> None:
    protocol = Protocol((BoxClass("IGM", "#e69f00"), BoxClass("größer")), ("resident-2",))
    assert read_protocol(write_protocol(tmp_path, protocol).parent) == protocol
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_names_alone_are_classes_too(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({"classes": ["a", {"name": "b", "color": "#001122"}]}))
    assert read_protocol(tmp_path).classes == (BoxClass("a"), BoxClass("b", "#001122"))


def test_suggestions_are_switched_off_per_reader() -> None:
    protocol = Protocol(no_suggestions_for=("berta",))
    assert protocol.suggests_to("anna") and not protocol.suggests_to("berta")
    assert not Protocol(no_suggestions_for=("*",)).suggests_to("anna")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("\ufeff", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ("[]", "not a JSON object"),
        ('{"classes": {}}', "must be lists"),
        ('{"no_suggestions_for": "anna"}', "must be lists"),
        ('{"classes": []}', "at least one"),
        ('{"classes": [1]}', "must be a name"),
        ('{"classes": [{"color": "#000000"}]}', "must be a name"),
        ('{"classes": ["a", "a"]}', "same name"),
        ('{"classes": [" "]}', "no name"),
        ('{"classes": [{"name": "a", "color": "red"}]}', "#rrggbb"),
        (json.dumps({"classes": [str(n) for n in range(10)]}), "9 classes"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / NAME).write_text(content, encoding="utf-8")
    with pytest.raises(AnnotationError, match=said) as raised:
        read_protocol(tmp_path)
    assert NAME in str(raised.value) and "usual classes are offered" in str(raised.value)


def test_a_bad_protocol_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="at least one"):
        write_protocol(tmp_path, Protocol(()))
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_protocol(tmp_path / "absent", Protocol())
