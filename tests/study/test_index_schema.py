"""The audit as JSON is what its documented schema says, on everything that can be scanned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from napari_breast_ai.cli import main
from napari_breast_ai.phantom import MANNERS, write_dicom
from napari_breast_ai.study import Overrules, apply, outline, read_overrules, save, scan
from napari_breast_ai.study import deciding as decide
from napari_breast_ai.study.roles import ROLES

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference"


def schema(name: str) -> jsonschema.protocols.Validator:
    told = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    kind = jsonschema.validators.validator_for(told)
    kind.check_schema(told)
    return kind(told)


def closed(told: Any) -> Any:
    """The schema with no key allowed that it does not document."""
    if isinstance(told, dict):
        made = {key: closed(value) for key, value in told.items()}
        if made.get("additionalProperties") is True:
            made["additionalProperties"] = False
        return made
    return [closed(one) for one in told] if isinstance(told, list) else told


@pytest.fixture
def audits(tmp_path: Path, phantom_factory: Callable[..., Any]) -> Path:
    phantom = phantom_factory("nme", seed=2, shape=(6, 64, 64))
    for manner in MANNERS:
        write_dicom(phantom, tmp_path / "case" / manner, manner)
    (tmp_path / "case" / "notes.txt").write_text("none of ours")
    return tmp_path / "case"


def test_phantoms_decided_and_not(audits: Path) -> None:
    index = scan(audits)
    kept = Overrules((decide.move_phase(index.groups[0], 0, 1), decide.ignore(index.groups[1])))
    strict = jsonschema.Draft202012Validator(closed(schema("index").schema))
    for one in (index, apply(index, kept)):
        strict.validate(json.loads(json.dumps(one.to_json())))
    for path in save(index, kept):
        jsonschema.Draft202012Validator(closed(schema("overrules").schema)).validate(
            json.loads(path.read_text(encoding="utf-8"))
        )
        assert read_overrules(path)
    assert (
        tuple(schema("index").schema["properties"]["groups"]["items"]["properties"]["role"]["enum"]) == ROLES
    )


@pytest.mark.parametrize("folder", ["dicom", "breast_dce_invivo", "breast_dce_qin_slice"])
def test_real_files(folder: str, data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    assert main(["index", str(data_dir / folder), "--json", str(file), "--quiet"]) == 0
    told = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(closed(schema("index").schema)).validate(told)
    assert told["files"] == sum(p.is_file() for p in (data_dir / folder).rglob("*"))


def test_the_schema_refuses_what_is_wrong(audits: Path) -> None:
    told = scan(audits).to_json()
    told["groups"][0]["role"] = "cat"
    with pytest.raises(jsonschema.ValidationError):
        schema("index").validate(told)


def test_the_tree_on_the_console(audits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = scan(audits)
    (patient,) = outline(index)
    assert sum(len(study.groups) for study in patient.studies) == len(index.groups)
    assert main(["index", str(audits), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert patient.title in said and all(study.title in said for study in patient.studies)
    assert said.count("pre-contrast:") == 4 and "Overruled" not in said
    dce = index.groups[0]
    save(index, Overrules((decide.set_pre_contrast(dce, 2, "anna"),)))
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"decisions": [{"groups": [{"phases": [dce.key[:12]], "role": "t2"}]}]}))
    assert main(["index", str(audits), "--quiet", "--overrules", str(mine)]) == 0
    both = capsys.readouterr().out
    assert both.count("Overruled:") == 2 and "phase 2 is the pre-contrast phase (anna)." in both
    assert main(["index", str(audits), "--quiet", "--as-found"]) == 0
    assert "Overruled" not in capsys.readouterr().out
    assert main(["index", str(audits), "--overrules", str(tmp_path / "absent.json")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_no_name_of_a_patient_anywhere(study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1, "PatientID": "ID-7"})
    assert main(["index", str(study.folder), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "Patient ID-7" in said and "Doe" not in said and "Jane" not in said
    assert "ID-7" not in json.dumps(scan(study.folder).to_json())
