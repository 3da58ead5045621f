"""What a person decides holds: after closing, moving, renaming and sorting anew, and no file is lost by it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breast_ai import places
from napari_breast_ai.phantom import write_dicom
from napari_breast_ai.study import (
    Group,
    Overrules,
    StudyError,
    StudyIndex,
    apply,
    load,
    overruled,
    read_overrules,
    read_study,
    save,
    scan,
)
from napari_breast_ai.study import deciding as decide
from napari_breast_ai.study.overrules import Decision, Wanted, check


def accounted(index: StudyIndex, before: StudyIndex) -> None:
    told = index.to_json()
    assert told["files"] == before.files == sum(g["files"] for g in told["groups"]) + len(told["unused"])
    frames = sorted((str(f.source.path), f.number or 0) for g in index.groups for f in g.frames)
    assert frames == sorted((str(f.source.path), f.number or 0) for g in before.groups for f in g.frames)
    assert index.unused == before.unused


def one(index: StudyIndex, role: str) -> Group:
    (found,) = [group for group in index.groups if group.role == role]
    return found


def decided(index: StudyIndex, *decisions: Decision) -> StudyIndex:
    after = apply(index, Overrules(decisions))
    accounted(after, index)
    return after


@pytest.fixture
def siemens(tmp_path: Path, phantom_factory: Callable[..., Any]) -> Path:
    """A series per phase, six phases, and a subtraction."""
    folder = tmp_path / "case"
    write_dicom(phantom_factory("nme", seed=2, shape=(6, 64, 64)), folder, "siemens")
    return folder


def test_a_role_and_the_reason(siemens: Path) -> None:
    index = scan(siemens)
    subtraction = one(index, "derived")
    after = decided(index, decide.set_role(subtraction, "t2", "anna"))
    group = one(after, "t2")
    assert group.judged.confidence == 1.0 and group.judged.reason == "a person said so"
    assert group.overruled == (f"{subtraction.title}: the role is t2 (anna).",)
    assert [g["overruled"] for g in after.to_json()["groups"]] == [[], list(group.overruled)]
    assert not index.groups[0].overruled, "the index as found is left alone"


def test_the_order_and_the_pre_contrast_phase_reach_the_pixels(siemens: Path) -> None:
    index, plain = scan(siemens), read_study(siemens)
    dce = one(index, "dce")
    order = [1, 0, 2, 3, 4, 5]
    swapped = decide.move_phase(dce, 0, 1)
    after = decided(index, swapped, decide.set_pre_contrast(dce, 1))
    group = one(after, "dce")
    assert group.pre_contrast == 1 and [p.key for p in group.phases] == [p.key for p in dce.phases]
    after = decided(index, swapped)
    save(index, Overrules((swapped,)))
    volume = read_study(siemens)
    np.testing.assert_array_equal(volume.data, plain.data[order])
    assert any("contradicts" in said for said in volume.warnings)
    assert set(volume.times.source) == {"unknown"}, "times that fall are none"
    moved = decide.set_pre_contrast(one(after, "dce"), 2)
    save(index, Overrules((swapped, moved)))
    volume = read_study(siemens)
    assert volume.pre_contrast == 2
    np.testing.assert_array_equal(volume.data, plain.data[order])


def test_split_and_merge_come_back_to_the_same(siemens: Path) -> None:
    index = scan(siemens)
    dce = one(index, "dce")
    first = decide.split_at(dce, 1)
    split = decided(index, first)
    pre, post = [g for g in split.groups if g.overruled]
    assert sorted((pre.n_phases, post.n_phases)) == [1, 5]
    parts = sorted((pre, post), key=lambda g: g.n_phases)
    assert parts[0].role == "t1" and parts[1].role == "dce"
    assert parts[1].phases[0].time_s == 0
    assert parts[1].phases[1].time_s == pytest.approx(dce.phases[2].time_s - dce.phases[1].time_s)
    again = decided(index, first, decide.merge(parts[::-1]))
    group = one(again, "dce")
    assert [p.key for p in group.phases] == [p.key for p in dce.phases], "put into the order of time"
    assert [p.time_s for p in group.phases] == [p.time_s for p in dce.phases]
    assert len(group.overruled) == 2
    assert group.geometry is not None and dce.geometry is not None
    assert group.geometry.same_as(dce.geometry)


@pytest.mark.parametrize("chosen", [1, 3])
def test_the_pre_contrast_phase_that_a_person_set_outlives_a_merge(siemens: Path, chosen: int) -> None:
    """Whichever of the merged groups it is of, and in whatever order they are given."""
    index = scan(siemens)
    dce = one(index, "dce")
    wanted = dce.phases[chosen].key
    split = [decide.split_at(dce, 2)]
    parts = [g for g in decided(index, *split).groups if wanted in [p.key for p in g.phases]]
    number = [p.key for p in parts[0].phases].index(wanted)
    made = [*split, decide.set_pre_contrast(parts[0], number)]
    both = [g for g in decided(index, *made).groups if g.overruled]
    for groups in (both, both[::-1]):
        again = one(decided(index, *made, decide.merge(groups)), "dce")
        assert again.n_phases == dce.n_phases
        assert again.phases[again.pre_contrast].key == wanted
    split_again = [*made, decide.merge(both), decide.split_off(dce, [chosen])]
    rest = one(decided(index, *split_again), "dce")
    assert rest.pre_contrast == 0, "it is not among these phases"


def test_of_two_pre_contrast_phases_the_first_outlives_a_merge(siemens: Path) -> None:
    index = scan(siemens)
    dce = one(index, "dce")
    made = [decide.split_at(dce, 3)]
    for group in decided(index, *made).groups:
        if group.overruled:
            made.append(decide.set_pre_contrast(group, 1))
    both = [g for g in decided(index, *made).groups if g.overruled]
    assert one(decided(index, *made, decide.merge(both)), "dce").pre_contrast == 1
    last = decide.set_pre_contrast(dce, 4)
    assert one(decided(index, *made, decide.merge(both), last), "dce").pre_contrast == 4, "said later"


def test_phases_out_of_the_middle(siemens: Path) -> None:
    index = scan(siemens)
    dce = one(index, "dce")
    after = decided(index, decide.split_off(dce, [2, 4], "bert"))
    some = [g for g in after.groups if g.overruled]
    assert sorted(g.n_phases for g in some) == [2, 4]
    keys = {p.key for g in some for p in g.phases}
    assert keys == {p.key for p in dce.phases}
    for wrong in ([], range(6), [6], [-1]):
        with pytest.raises(StudyError, match="not all of them"):
            decide.split_off(dce, wrong)


def test_a_group_set_aside_is_not_opened(siemens: Path) -> None:
    index = scan(siemens)
    after = decided(index, decide.ignore(one(index, "dce")))
    assert {(g.role, g.judged.detail) for g in after.groups} == {
        ("other", "ignored"),
        ("derived", "subtraction"),
    }
    with pytest.raises(StudyError, match="No dynamic series"):
        after.dce()
    back = decided(index, decide.ignore(one(index, "dce")), decide.set_role(after.groups[0], "dce"))
    assert back.dce().n_phases == 6 and back.dce().judged.detail == ""


def test_what_a_person_calls_dynamic_is_what_opens(tmp_path: Path, phantom_factory: Any) -> None:
    big = phantom_factory("nme", seed=2, shape=(6, 64, 64))
    small = phantom_factory("igm", seed=3, shape=(4, 64, 64))
    write_dicom(big, tmp_path / "a", "ge")
    write_dicom(small, tmp_path / "b", "ge")
    index = scan(tmp_path)
    assert index.dce().n_slices == 6
    less = next(g for g in index.groups if g.n_slices == 4)
    after = decided(index, decide.set_role(less, "dce"))
    assert after.dce().n_slices == 4
    assert not any("Open another one" in said for said in after.dce().warnings)


def test_what_does_not_fit_together_is_refused(tmp_path: Path, phantom_factory: Any) -> None:
    write_dicom(phantom_factory("nme", seed=2, shape=(6, 64, 64)), tmp_path / "a", "ge")
    write_dicom(phantom_factory("igm", seed=3, shape=(4, 64, 64)), tmp_path / "b", "ge")
    index = scan(tmp_path)
    decision = decide.merge(index.groups)
    with pytest.raises(StudyError, match="cannot be done: the images are of different studies"):
        check(index, Overrules(), decision)
    after = decided(index, decision)
    assert len(after.groups) == 2 and "kept but not applied" in after.warnings[0]
    with pytest.raises(StudyError, match="at least two"):
        decide.merge(index.groups[:1])
    with pytest.raises(StudyError, match="at the end already"):
        decide.move_phase(index.groups[0], 0, -1)
    with pytest.raises(StudyError, match="each of the 6 phases once"):
        decide.set_order(index.groups[0], [0, 0, 1, 2, 3, 4])


def test_other_slices_are_not_merged(siemens: Path, study: Any) -> None:
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1})
    deeper = [100.0, 0.0, 0.0]
    study.write(
        lambda p, z: {
            "TemporalPositionIdentifier": p + 1,
            "SeriesInstanceUID": "1.2.3.9",
            "SeriesNumber": 9,
            "ImagePositionPatient": [*deeper[:2], 3.0 * z],
        },
        subfolder="far",
    )
    index = scan(study.folder)
    with pytest.raises(StudyError, match="same slices and pixels"):
        check(index, Overrules(), decide.merge(index.groups))


class TestKept:
    def test_closed_moved_renamed_and_sorted_anew(self, siemens: Path, tmp_path: Path) -> None:
        index = scan(siemens)
        kept = Overrules((decide.set_order(one(index, "dce"), [5, 4, 3, 2, 1, 0], "anna"),))
        (path,) = save(index, kept)
        assert path.parent == siemens / "napari-breast-ai"
        assert read_overrules(path) == kept
        wanted = [p.key for p in one(apply(index, kept), "dce").phases]

        elsewhere = tmp_path / "other disk" / "study 7"
        shutil.copytree(siemens, elsewhere)
        shutil.rmtree(siemens)
        assert [p.key for p in one(overruled(scan(elsewhere)), "dce").phases] == wanted

        resorted = tmp_path / "resorted"
        (resorted / "napari-breast-ai").mkdir(parents=True)
        shutil.copy(
            path.parent.parent.parent / "other disk/study 7/napari-breast-ai" / path.name,
            resorted / "napari-breast-ai",
        )
        files = sorted(p for p in elsewhere.rglob("*") if p.is_file() and p.parent.name != "napari-breast-ai")
        order = np.random.default_rng(1).permutation(len(files))
        for number, file in zip(order, files, strict=True):
            place = resorted / f"{number % 7}"
            place.mkdir(exist_ok=True)
            shutil.copy(file, place / f"{number:05d}")
        index = overruled(scan(resorted))
        assert [p.key for p in one(index, "dce").phases] == wanted
        assert not index.warnings

    def test_read_only_folder_then_moved(
        self, siemens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index = scan(siemens)
        kept = Overrules((decide.set_role(one(index, "derived"), "t2"),))
        with monkeypatch.context() as locked:
            locked.setattr(places, "writable", lambda folder: False)
            (path,) = save(index, kept)
        assert path.parent == places.data_folder() / "cases"
        assert not (siemens / "napari-breast-ai").exists()
        shutil.move(siemens, tmp_path / "moved")
        assert one(overruled(scan(tmp_path / "moved")), "t2")
        files = [str(p) for p in (tmp_path / "moved").rglob("*.dcm")] or [
            str(p) for p in (tmp_path / "moved").rglob("*") if p.is_file()
        ]
        assert one(overruled(scan(files)), "t2"), "a list of files finds them too"

    @pytest.mark.skipif(os.name != "posix", reason="access bits of folders are POSIX's")
    def test_a_folder_closed_by_its_owner_stays_untouched(self, siemens: Path) -> None:
        index = scan(siemens)
        before = sorted(siemens.rglob("*"))
        for folder in (siemens, *(p for p in before if p.is_dir())):
            folder.chmod(0o555)
        try:
            (path,) = save(index, Overrules((decide.set_role(one(index, "derived"), "t2"),)))
            assert path.parent == places.data_folder() / "cases"
            assert sorted(siemens.rglob("*")) == before
            assert one(overruled(scan(siemens)), "t2")
        finally:
            for folder in (siemens, *(p for p in before if p.is_dir())):
                folder.chmod(0o755)

    def test_beside_the_study_and_not_its_neighbours(self, tmp_path: Path, phantom_factory: Any) -> None:
        write_dicom(phantom_factory("nme", seed=2, shape=(6, 64, 64)), tmp_path / "top/a", "ge")
        write_dicom(phantom_factory("igm", seed=3, shape=(4, 64, 64)), tmp_path / "top/b", "ge")
        index = scan(tmp_path / "top")
        group = next(g for g in index.groups if g.n_slices == 4)
        (path,) = save(index, Overrules((decide.set_role(group, "t1"),)))
        assert path.is_relative_to(tmp_path / "top/b")
        assert overruled(scan(tmp_path / "top/b")).groups[0].role == "t1"
        both = overruled(scan(tmp_path / "top"))
        assert sorted(g.role for g in both.groups) == ["dce", "t1"]

    def test_undone(self, siemens: Path) -> None:
        index = scan(siemens)
        dce, derived = one(index, "dce"), one(index, "derived")
        kept = Overrules(
            (decide.move_phase(dce, 0, 1), decide.set_role(derived, "t2"), decide.set_pre_contrast(dce, 3))
        )
        (path,) = save(index, kept)
        assert kept.without(dce).decisions == kept.decisions[1:2]
        assert kept.without_last().decisions == kept.decisions[:2]
        assert save(index, kept.without(dce)) == (path,)
        after = overruled(scan(siemens))
        assert one(after, "t2") and not one(after, "dce").overruled
        save(index, Overrules())
        assert not load(index)[0]
        roles = [(g.role, g.overruled) for g in overruled(scan(siemens)).groups]
        assert roles == [("dce", ()), ("derived", ())]

    def test_files_that_are_gone_are_said_and_the_decision_stays(self, siemens: Path) -> None:
        index = scan(siemens)
        dce = one(index, "dce")
        kept = Overrules((decide.move_phase(dce, 4, 1), decide.set_role(one(index, "derived"), "t2")))
        (path,) = save(index, kept)
        dce.phases[5].frames[0].source.path.unlink()
        after = overruled(scan(siemens))
        assert one(after, "t2"), "the other decision holds"
        assert (
            len(after.warnings) == 1
            and "kept but not applied" in after.warnings[0]
            and "not here" in after.warnings[0]
        )
        assert after.to_json()["warnings"] == list(after.warnings)
        assert after.warnings[0] in read_study(siemens).warnings
        assert read_overrules(path) == kept

    def test_a_damaged_file_is_said_and_not_written_over(self, siemens: Path) -> None:
        index = scan(siemens)
        kept = Overrules((decide.set_role(one(index, "derived"), "t2"),))
        (path,) = save(index, kept)
        path.write_text(path.read_text()[:-40])
        after = overruled(scan(siemens))
        assert "cannot be read" in after.warnings[0] and "not applied" in after.warnings[0]
        with pytest.raises(StudyError, match="Mend the file or move it away"):
            save(index, kept)
        assert list(path.parent.glob(".overrules-*")) == []


class TestByHand:
    def test_what_was_written_by_hand_is_kept_beside_what_follows(self, siemens: Path) -> None:
        index = scan(siemens)
        (path,) = save(index, Overrules((decide.set_role(one(index, "derived"), "t2"),)))
        told = {"decisions": [{"groups": [{"phases": [one(index, "dce").key], "pre_contrast": 1}]}]}
        path.write_text(json.dumps(told))
        kept = load(index)[0].added(decide.set_role(one(index, "derived"), "t1"))
        save(index, kept)
        assert load(index)[0] == kept and len(kept.decisions) == 2
        after = overruled(scan(siemens))
        assert one(after, "dce").pre_contrast == 1 and one(after, "t1")

    def test_keys_may_be_short_and_a_group_may_stand_for_its_phases(
        self, siemens: Path, tmp_path: Path
    ) -> None:
        told = scan(siemens).to_json()
        dce = next(g for g in told["groups"] if g["role"] == "dce")
        file = tmp_path / "mine.json"
        file.write_text(
            json.dumps({"decisions": [{"groups": [{"phases": [dce["key"][:12]], "pre_contrast": 1}]}]})
        )
        after = apply(scan(siemens), read_overrules(file))
        assert one(after, "dce").pre_contrast == 1
        assert one(after, "dce").overruled == ("decision 1 of the file.",)
        file.write_text(
            json.dumps({"decisions": [{"groups": [{"phases": [p["key"][:10] for p in dce["phases"][:2]]}]}]})
        )
        after = apply(scan(siemens), read_overrules(file))
        assert sorted(g.n_phases for g in after.groups) == [1, 2, 4]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "no list of decisions"),
            ("[]", "schema"),
            ("{}", "no list of decisions"),
            ('{"schema": "other", "decisions": []}', "schema"),
            ('{"version": 9, "decisions": []}', "version 9"),
            ('{"decisions": [{"groups": []}]}', "at least one group"),
            ('{"decisions": [{"groups": [{"phases": ["abc"]}]}]}', "first 8 letters"),
            ('{"decisions": [{"groups": [{"phases": "abcdefgh"}]}]}', "list of keys"),
            ('{"decisions": [{"groups": [{"phases": ["abcdefgh"], "role": "cat"}]}]}', "no role"),
            ('{"decisions": [{"groups": [{"phases": ["abcdefgh"], "pre_contrast": true}]}]}', "a number"),
            ('{"decisions": [{"groups": [{"phases": ["abcdefgh"], "pre_contrast": -1}]}]}', "counted from 0"),
            ('{"decisions": ' + "[" * 100_000, "no list of decisions"),
        ],
    )
    def test_what_is_wrong_is_said(self, text: str, said: str, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text(text)
        with pytest.raises(StudyError, match=said):
            read_overrules(file)
        with pytest.raises(StudyError, match="cannot be read"):
            read_overrules(tmp_path / "absent.json")

    def test_the_same_volume_twice(self, siemens: Path) -> None:
        index = scan(siemens)
        key = one(index, "dce").phases[0].key
        after = apply(index, Overrules((Decision("wrong", (Wanted((key, key)),)),)))
        assert "two places" in after.warnings[0]
        after = apply(index, Overrules((Decision("wrong", (Wanted((key,), pre_contrast=1),)),)))
        assert "no phase 1 among 1" in after.warnings[0]


def test_images_without_uids_of_their_own_cannot_be_named(study: Any) -> None:
    study.write(lambda p, z: {"TemporalPositionIdentifier": p + 1, "SOPInstanceUID": "1.2.3.4.5"})
    index = scan(study.folder)
    dce = one(index, "dce")
    with pytest.raises(StudyError, match="carry the same UIDs"):
        check(index, Overrules(), decide.move_phase(dce, 0, 1))


def test_every_decision_on_real_files(data_dir: Path, tmp_path: Path) -> None:
    """Each kind of decision on each group that is there: nothing is lost, and all of it can be kept."""
    index = scan([data_dir / "dicom", data_dir / "breast_dce_qin_slice"])
    tried = 0
    for group in index.groups:
        decisions = [decide.set_role(group, "t2"), decide.ignore(group)]
        if group.n_phases > 1:
            last = group.n_phases - 1
            decisions += [
                decide.move_phase(group, last, -1),
                decide.split_at(group, last),
                decide.split_off(group, [0]),
                decide.set_pre_contrast(group, last),
            ]
        for decision in decisions:
            after = apply(index, Overrules((decision,)))
            accounted(after, index)
            refused = [one for one in after.warnings if one not in index.warnings]
            assert all("same UIDs" in one for one in refused)
            tried += not refused
            assert refused or any(g.overruled for g in after.groups)
    assert tried > 100
