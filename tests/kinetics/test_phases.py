"""Early and late by time, said with reasons; nothing guessed silently."""

from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import DceVolume
from napari_breast_ai.kinetics import KineticsError, choose_phases
from napari_breast_ai.phantom import PhantomSpec, make_phantom, write_dicom
from napari_breast_ai.study import Loader, scan
from napari_breast_ai.study.contrast import contrast_start


def of(study, starts, count=None, **more) -> DceVolume:
    return study(np.ones((count or len(starts), 1, 4, 4), np.uint16), starts, **more)


def test_the_nearest_middles_win(study):
    choice = choose_phases(of(study, [0, 120, 210, 300, 390, 480, 570]))
    # A phase lasts 90 s at most, so middles are 45 s after the starts; time 0 is the start of phase 1.
    assert choice.middles_s == (-75.0, 45.0, 135.0, 225.0, 315.0, 405.0, 495.0)
    assert (choice.pre, choice.early, choice.late) == (0, 2, 5)
    assert "135 s" in choice.early_reason and "150 s" in choice.early_reason
    assert "405 s" in choice.late_reason and "450 s" in choice.late_reason
    assert choice.warnings == ()


def test_the_time_before_contrast_does_not_count(study):
    near = choose_phases(of(study, [0, 90, 180, 270, 360, 450, 540]))
    far = choose_phases(of(study, [0, 600, 690, 780, 870, 960, 1050]))
    assert (near.early, near.late) == (far.early, far.late) == (2, 5)
    assert near.middles_s[1:] == far.middles_s[1:]


def test_uneven_times(study):
    choice = choose_phases(of(study, [0, 100, 130, 160, 260, 700]))
    # The shortest step is 30 s: middles at -85, 15, 45, 75, 175 and 615 s.
    assert choice.middles_s == (-85.0, 15.0, 45.0, 75.0, 175.0, 615.0)
    assert (choice.early, choice.late) == (4, 5)
    assert any("615 s" in one for one in choice.warnings)


def test_middles_that_the_files_tell_are_taken(study):
    volume = of(study, [0, 90, 180, 270])
    times = replace(volume.times, middle_s=(20.0, 115.0, 205.0, 290.0))
    choice = choose_phases(replace(volume, times=times))
    assert choice.middles_s == (-70.0, 25.0, 115.0, 200.0)
    with pytest.raises(ValueError, match="middle"):
        replace(volume.times, middle_s=(1.0,))


@pytest.mark.parametrize(("manner", "middles"), [("ge", ()), ("enhanced", (30.0, 90.0, 150.0))])
def test_the_middles_of_a_dicom_study_arrive(tmp_path, manner, middles):
    phantom = make_phantom(PhantomSpec("nme", 1, (4, 48, 48), n_phases=3))
    write_dicom(phantom, tmp_path / "study", manner)
    assert Loader(scan(tmp_path / "study").dce()).volume.times.middle_s == middles


def test_a_late_phase_that_is_early_is_remarked(study):
    choice = choose_phases(of(study, [0, 60, 120, 180, 240]))
    assert (choice.early, choice.late) == (3, 4)
    assert any("210 s" in one and "450 s" in one for one in choice.warnings)


def test_one_phase_nearest_to_both_times(study):
    choice = choose_phases(of(study, [0, 200, 400]))
    # Middles at 100 s and 300 s: 150 is nearest to the first, 450 to the second.
    assert (choice.early, choice.late) == (1, 2)
    choice = choose_phases(of(study, [0, 60, 120, 180], pre_contrast=0))
    # Middles 30, 90, 150: the last is nearest to both.
    assert (choice.early, choice.late) == (2, 3)
    assert any("Check that this is meant" in one for one in choice.warnings)


def test_a_burst_of_phases_has_no_delayed_course(study):
    choice = choose_phases(of(study, [4.0 * k for k in range(12)]))
    assert choice.late is None and choice.early == 11
    assert any("no delayed course" in one for one in choice.warnings)
    by_hand = choose_phases(of(study, [4.0 * k for k in range(12)]), early=3, late=11)
    assert (by_hand.early, by_hand.late) == (3, 11)


def test_two_phases(study):
    choice = choose_phases(of(study, [0, 90]))
    assert (choice.pre, choice.early, choice.late) == (0, 1, None)
    assert any("one phase after contrast" in one for one in choice.warnings)
    assert choose_phases(of(study, (), 2)).early == 1  # with unknown times as well


def test_chosen_by_hand(study):
    choice = choose_phases(of(study, [90 * k for k in range(7)]), pre=1, early=3, late=4)
    assert (choice.pre, choice.early, choice.late) == (1, 3, 4)
    assert all("by hand" in one for one in choice.reasons)


@pytest.mark.parametrize(
    ("starts", "count", "wanted", "said"),
    [
        ([0], 1, {}, "has one phase"),
        ((), 4, {}, "Tell the times"),
        ([0, 0, 0], 3, {}, "Tell the times"),
        ((), 4, {"early": 2}, "Tell the times"),
        ([0, 90, 180], 3, {"pre": 2}, "nothing comes after it"),
        ([0, 90, 180], 3, {"early": 3}, "phases 0 to 2"),
        ([0, 90, 180], 3, {"pre": 1, "early": 1}, "does not come after the pre-contrast phase 1"),
        ([0, 90, 180], 3, {"early": 2, "late": 1}, "does not come after the early phase 2"),
    ],
)
def test_what_cannot_be_chosen_is_said(study, starts, count, wanted, said):
    with pytest.raises(KineticsError, match=said):
        choose_phases(of(study, starts, count), **wanted)


def test_unknown_times_with_phases_by_hand(study):
    choice = choose_phases(of(study, (), 4), early=1, late=3)
    assert (choice.early, choice.late, choice.middles_s) == (1, 3, None)
    assert any("no slopes" in one for one in choice.warnings)


def test_no_phase_before_contrast(study):
    """The remark is the one that reading a study makes; the two rooms know each other by these words only."""
    from types import SimpleNamespace

    source = SimpleNamespace(contrast_s=36_000.0)
    frames = [
        [
            SimpleNamespace(
                source=source, acquisition_s=36_100.0 + 90 * p, acquisition_source="AcquisitionTime",
                trigger_source="", trigger_s=None, duration_s=None, administered=None,
            )
        ]
        for p in range(3)
    ]  # fmt: skip
    _, _, remarks = contrast_start(frames, [0.0, 90.0, 180.0], "AcquisitionTime")
    assert len(remarks) == 1
    volume = of(study, [0, 90, 180], warnings=tuple(remarks))
    with pytest.raises(KineticsError, match="no signal before contrast"):
        choose_phases(volume)
    assert choose_phases(volume, pre=0).pre == 0
