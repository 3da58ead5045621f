"""Phantoms and their truth."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import Cancelled
from napari_breast_ai.phantom import TISSUES, Phantom, PhantomSpec, make_phantom
from napari_breast_ai.phantom.acquisition import move_across
from napari_breast_ai.phantom.make import lesion_boxes, uid
from napari_breast_ai.phantom.tracer import tofts

CODE = {tissue.name: tissue.code for tissue in TISSUES}


def test_equal_seeds_are_equal_and_others_differ(igm: Phantom) -> None:
    again = make_phantom(igm.spec)
    assert np.array_equal(again.volume.data, igm.volume.data)
    assert np.array_equal(again.truth.lesion, igm.truth.lesion)
    assert again.truth.boxes == igm.truth.boxes
    assert again.volume.identity == igm.volume.identity
    other = make_phantom(PhantomSpec("igm", 3, igm.spec.shape))
    assert not np.array_equal(other.volume.data, igm.volume.data)
    assert other.volume.identity.study_uid != igm.volume.identity.study_uid


def test_movement_across_the_slices_is_asked_for() -> None:
    """A phantom without it stays what it was before there was any, its UIDs too."""
    spec = PhantomSpec("nme", 2, (8, 48, 48), n_phases=2, noise=0.0, motion_mm=0.0)
    still, moved = (make_phantom(replace(spec, motion_across_mm=mm)) for mm in (0.0, 3.0))
    before = repr(spec).replace(", motion_across_mm=0.0", "")
    name = "/".join(["napari-breast-ai phantom", before, "study"])
    assert uid(spec, "study") == f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, name).int}"
    assert "across" not in name and uid(moved.spec, "study") != uid(spec, "study")
    np.testing.assert_array_equal(moved.volume.data[0], still.volume.data[0])
    off = np.abs(moved.volume.data[1].astype(float) - still.volume.data[1])
    assert off[:, :20].mean() > 0.02 * still.volume.data[1][:, :20].mean()


def test_moving_across_the_slices_by_hand() -> None:
    image = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    shift = np.full(image.shape, 1.0, np.float32)
    shift[:, 1] = -0.5
    moved = move_across(image, shift)
    np.testing.assert_allclose(moved[:, 0, 0], [1, 2, 3, 4, 5, 5])
    np.testing.assert_allclose(moved[2:5, 1, 2], [1.5, 2.5, 3.5], rtol=1e-6)


def test_volume(igm: Phantom) -> None:
    volume = igm.volume
    assert volume.data.shape == (6, *igm.spec.shape)
    assert volume.data.dtype == np.uint16
    assert volume.data.max() < 65535, "nothing is clipped"
    assert volume.times.start_s == (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
    assert volume.geometry.orientation == "axial"
    assert volume.geometry.affine[2, 0] > 0, "slices rise to the head"
    assert volume.identity.synthetic
    assert igm.spec.spacing == pytest.approx(volume.geometry.spacing)


@pytest.mark.parametrize("name", ["igm", "nme"])
def test_boxes_enclose_the_lesion(name: str, request: pytest.FixtureRequest) -> None:
    phantom: Phantom = request.getfixturevalue(name)
    truth = phantom.truth
    assert truth.label == name.upper()
    assert truth.boxes
    assert len({box.id for box in truth.boxes}) == len(truth.boxes)
    covered = np.zeros_like(truth.lesion)
    for box in truth.boxes:
        assert box.problems(phantom.spec.shape) == []
        assert (box.label, box.author) == (truth.label, "truth")
        rows = slice(int(box.y0 + 0.5), int(box.y1 + 0.5))
        columns = slice(int(box.x0 + 0.5), int(box.x1 + 0.5))
        inside = truth.lesion[box.z, rows, columns]
        # Tight: a voxel of the lesion on each of the four sides.
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        covered[box.z, rows, columns] = True
    assert (truth.lesion & ~covered).sum() <= 0.02 * truth.lesion.sum(), "only crumbs have no box"


def test_boxes_split_pieces_and_drop_crumbs() -> None:
    mask = np.zeros((3, 40, 40), dtype=bool)
    mask[1, 10:13, 10:14] = True
    mask[1, 30:35, 20:22] = True
    mask[2, 5, 5] = True
    boxes = lesion_boxes(mask, "IGM", 2.0)
    assert [(b.z, b.y0, b.x0, b.y1, b.x1) for b in boxes] == [
        (1, 9.5, 9.5, 12.5, 13.5),
        (1, 29.5, 19.5, 34.5, 21.5),
    ]


@pytest.mark.parametrize("name", ["igm", "nme"])
def test_lesion_lies_in_its_breast_and_enhances(name: str, request: pytest.FixtureRequest) -> None:
    phantom: Phantom = request.getfixturevalue(name)
    truth, data = phantom.truth, phantom.volume.data.astype(np.float64)
    assert truth.traits is not None
    z, y, x = np.nonzero(truth.lesion)
    patient = phantom.volume.geometry.to_patient(np.stack([z, y, x], axis=1))
    assert (np.sign(patient[:, 0]) == truth.traits.side).all()
    assert (patient[:, 1] < 50).all()
    outside = {CODE["air"], CODE["skin"], CODE["bone"], CODE["lung"], CODE["heart muscle"]}
    assert not outside & set(np.unique(truth.tissue[truth.lesion]).tolist())

    def enhancement(where: np.ndarray) -> float:
        return float((data[2][where].mean() - data[0][where].mean()) / data[0][where].mean())

    lesion = enhancement(truth.lesion)
    assert lesion > 0.4
    assert lesion > 2 * enhancement(truth.tissue == CODE["fat"])
    assert lesion > enhancement((truth.tissue == CODE["fibroglandular tissue"]) & ~truth.lesion)


def test_rings_have_dark_centres(igm: Phantom) -> None:
    assert igm.truth.traits is not None and igm.truth.traits.pattern == "clustered ring"
    dark = igm.truth.lesion & (igm.truth.tissue == CODE["abscess or fluid"])
    wall = igm.truth.lesion & (igm.truth.tissue == CODE["lesion"])
    assert dark.sum() >= 3
    gain = igm.volume.subtraction(2)
    assert gain[dark].mean() < 0.75 * gain[wall].mean()


def test_normal_case_has_no_lesion(normal: Phantom) -> None:
    assert normal.truth.label is None
    assert normal.truth.boxes == ()
    assert not normal.truth.lesion.any()
    assert not (normal.truth.tissue == CODE["lesion"]).any()


def test_anatomy(normal: Phantom) -> None:
    tissue, data = normal.truth.tissue, normal.volume.data.astype(np.float64)
    present = set(np.unique(tissue).tolist())
    assert {
        CODE[name] for name in ("air", "skin", "fat", "fibroglandular tissue", "muscle", "lung")
    } <= present
    volume = normal.volume.geometry
    first_row = np.argwhere(tissue != 0)[:, 1].min()
    assert volume.to_patient([0, first_row, 0])[1] < -40, "the breasts hang in front of the chest"
    air = data[0][tissue == CODE["air"]].mean()
    assert data[0][tissue == CODE["fibroglandular tissue"]].mean() > 6 * air
    blood = tissue == CODE["blood in heart and great vessels"]
    assert data[1][blood].mean() > 2 * data[0][blood].mean(), "the heart enhances early"
    assert data[5][blood].mean() < data[1][blood].mean()
    both = [
        (tissue == CODE["fibroglandular tissue"])[:, :, half].sum() for half in (slice(48), slice(48, 96))
    ]
    assert min(both) > 100, "gland on both sides"


def test_background_enhancement_follows_its_level() -> None:
    gain = []
    for bpe in ("minimal", "marked"):
        made = make_phantom(PhantomSpec("normal", 9, (4, 64, 64), bpe=bpe, motion_mm=0.0))  # type: ignore[arg-type]
        gland = made.truth.tissue == CODE["fibroglandular tissue"]
        data = made.volume.data.astype(np.float64)
        gain.append(data[-1][gland].mean() / data[0][gland].mean())
    assert gain[1] > gain[0] + 0.2


def test_density_follows_its_level() -> None:
    share = []
    for density in ("a", "d"):
        made = make_phantom(PhantomSpec("normal", 9, (4, 64, 64), n_phases=2, density=density))  # type: ignore[arg-type]
        share.append((made.truth.tissue == CODE["fibroglandular tissue"]).sum())
    assert share[1] > 3 * share[0]


def test_truth_maps_explain_the_signal() -> None:
    """Without motion, noise, coil and bias the course in a voxel follows Tofts with the true parameters."""
    made = make_phantom(PhantomSpec("nme", 1, (4, 64, 64), motion_mm=0.0, noise=0.0))
    truth, data = made.truth, made.volume.data.astype(np.float64)
    core = np.argwhere(truth.lesion & (truth.ktrans > 0.9 * truth.ktrans[truth.lesion].max()))[0]
    z, y, x = core
    ktrans, ve, vp = (float(m[z, y, x]) for m in (truth.ktrans, truth.ve, truth.vp))
    assert truth.kep[z, y, x] == pytest.approx(ktrans / ve, rel=1e-3)
    tissue = tofts(np.array(truth.arrival_min), ktrans, ve, vp)
    measured = data[:, z, y, x] - data[0, z, y, x]
    assert np.corrcoef(tissue, measured)[0, 1] > 0.97


def test_the_same_woman_at_another_matrix() -> None:
    coarse = make_phantom(PhantomSpec("igm", 2, (8, 64, 64), n_phases=2))
    fine = make_phantom(PhantomSpec("igm", 2, (8, 128, 128), n_phases=2))
    centres = []
    for made in (coarse, fine):
        where = np.argwhere(made.truth.tissue != 0).mean(0)
        centres.append(made.volume.geometry.to_patient(where))
    np.testing.assert_allclose(centres[0], centres[1], atol=1.5)


def test_progress_and_cancel() -> None:
    seen: list[tuple[int, int]] = []

    def watch(done: int, total: int, what: str) -> None:
        assert what
        seen.append((done, total))
        if done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        make_phantom(PhantomSpec("nme", 0, (4, 48, 48)), watch)
    assert [done for done, _ in seen] == [0, 1, 2, 3, 4]
