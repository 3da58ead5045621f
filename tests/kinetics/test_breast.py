"""The breasts outlined, gland told from fat, density and background enhancement: against what the phantom knows."""

import csv
import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest

import napari_breast_ai.phantom.make as phantom_make
from napari_breast_ai.core import Cancelled, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.kinetics import (
    BreastMasks,
    BreastSettings,
    KineticsError,
    area_of_mask,
    breast_figures,
    breasts_csv,
    density_figures,
    kinetic_maps,
    segment_breast,
)
from napari_breast_ai.kinetics.breast import NO_LENGTHS
from napari_breast_ai.kinetics.skin import FAT_MM, depth_below, skin_depth
from napari_breast_ai.kinetics.write import BREAST_FILES, write_breasts
from napari_breast_ai.phantom import PhantomSpec, breast_truth, make_phantom, tissue_truth
from napari_breast_ai.study import open_volume, read_study
from napari_breast_ai.study.stills import NO_SIZE

SIZE = (16, 128, 128)


def dice(one, other) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def woman(seed: int, density: str, **more):
    made = make_phantom(PhantomSpec("nme", seed, SIZE, n_phases=2, density=density, **more))
    breast = breast_truth(made.spec)
    return made, breast, tissue_truth(made.truth, breast)


@pytest.fixture(scope="module")
def known():
    made, breast, tissue = woman(3, "c")
    return made, breast, tissue, segment_breast(made.volume)


@pytest.mark.parametrize(
    ("seed", "density", "tissue_dice"), [(0, "c", 0.85), (1, "b", 0.7), (2, "d", 0.85), (3, "a", 0.75)]
)
def test_breasts_and_tissue_against_the_truth(seed, density, tissue_dice):
    made, breast, tissue = woman(seed, density)
    masks = segment_breast(made.volume)
    assert dice(masks.breast == 1, breast == 1) > 0.9
    assert dice(masks.breast == 2, breast == 2) > 0.9
    assert dice(masks.tissue, tissue) > tissue_dice
    part, true = masks.tissue.sum() / (masks.breast > 0).sum(), tissue.sum() / (breast > 0).sum()
    assert abs(part - true) < 0.06 and (density != "a" or part < 1.3 * true)
    assert "fat dark" in masks.how and not masks.warnings
    assert not (masks.tissue & (masks.breast == 0)).any()


def test_the_skin_is_measured():
    """A rim of 5 mm is left out whole, and a fixed depth would not; what is as bright below it hides it."""
    rng = np.random.default_rng(0)
    inside = np.zeros((4, 60, 80), bool)
    inside[:, 10:, 10:70] = True
    depth = depth_below(inside, (3.0, 1.0, 1.0))
    assert (depth[:, 10, 40] == 1).all() and (depth[:, 59, 40] == 30).all() and not depth[~inside].any()
    skin = inside & (depth <= 5)
    image = np.where(skin, 900, 300) + rng.normal(0, 40, inside.shape).astype(np.float32)
    found = skin_depth(image.astype(np.float32), inside, depth, 1.0)
    assert 5 <= found < 6
    assert not (skin & (depth > found)).any()
    thick = np.where(inside & (depth <= 12), 900, 300).astype(np.float32)
    assert skin_depth(thick, inside, depth, 1.0) in (0.0, FAT_MM)
    assert skin_depth(np.full(inside.shape, 500, np.float32), inside, depth, 1.0) == 0
    assert skin_depth(image.astype(np.float32), inside & (depth < 4), depth, 1.0) == 0


def test_fat_that_is_not_suppressed_is_noticed(monkeypatch):
    monkeypatch.setattr(phantom_make, "fat_suppression", lambda scene: np.ones(scene.index.size, np.float32))
    made, breast, tissue = woman(4, "c")
    masks = segment_breast(made.volume)
    assert "fat bright" in masks.how
    assert dice(masks.breast > 0, breast > 0) > 0.9 and dice(masks.tissue, tissue) > 0.8
    told = segment_breast(made.volume, settings=BreastSettings(fat_suppressed=True))
    assert "fat dark" in told.how and dice(told.tissue, tissue) < 0.5


def test_the_density_follows_the_gland():
    found = []
    for density in "ad":
        made, _, _ = woman(7, density)
        masks = segment_breast(made.volume)
        found.append(masks.tissue.sum() / (masks.breast > 0).sum())
    assert found[1] > found[0] + 0.2


def test_the_way_the_images_lie_does_not_matter(known):
    """The same woman, sagittal slices from left to right, and turned upside down."""
    made, _, _, masks = known
    geometry = made.volume.geometry
    for order, flip in (((2, 0, 1), (2,)), ((0, 1, 2), (1, 2))):
        data = np.flip(made.volume.data[0].transpose(order), flip)
        affine = geometry.affine[:, [*order, 3]].copy()
        for axis in flip:
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
        spacing = tuple(geometry.spacing[axis] for axis in order)
        turned = DceVolume(
            np.ascontiguousarray(data)[None],
            Geometry(data.shape, spacing, affine),
            PhaseTimes((0.0,), ("unknown",)),
            Identity("1.2"),
        )
        other = segment_breast(turned)
        np.testing.assert_array_equal(other.breast, np.flip(masks.breast.transpose(order), flip))
        np.testing.assert_array_equal(other.tissue, np.flip(masks.tissue.transpose(order), flip))


def test_one_breast_in_sagittal_slices(known):
    """Half of the study, as a sagittal coil for one breast gives it."""
    made, breast, _, _ = known
    volume, half = made.volume, SIZE[2] // 2
    affine = volume.geometry.affine[:, [2, 0, 1, 3]]
    data = np.ascontiguousarray(volume.data[0].transpose(2, 0, 1)[6 : half - 4])
    affine = affine.copy()
    affine[:3, 3] += 6 * affine[:3, 0]
    spacing = tuple(volume.geometry.spacing[axis] for axis in (2, 0, 1))
    one = DceVolume(
        data[None], Geometry(data.shape, spacing, affine), PhaseTimes((0.0,), ("unknown",)), Identity("1")
    )
    masks = segment_breast(one)
    truth = breast.transpose(2, 0, 1)[6 : half - 4] > 0
    assert set(np.unique(masks.breast)) == {0, 1}
    assert dice(masks.breast > 0, truth) > 0.75


def test_density_and_background_enhancement(known):
    made, breast, tissue, _ = known
    maps = kinetic_maps(made.volume)
    exact = BreastMasks(breast, tissue, "truth")
    lesion = area_of_mask(made.truth.lesion)
    rows = breast_figures(exact, maps, [lesion], threshold=25)
    assert [row.side for row in rows] == ["right", "left", "both"]
    voxel = np.prod(made.volume.geometry.spacing) / 1000
    for row, inside in zip(rows, (breast == 1, breast == 2, breast > 0), strict=True):
        assert row.breast_ml == pytest.approx(inside.sum() * voxel)
        assert row.density_percent == pytest.approx(100 * (tissue & inside).sum() / inside.sum())
        background = maps.initial[tissue & inside & ~made.truth.lesion & maps.tissue()]
        assert row.bpe_percent == pytest.approx(background.mean(), rel=1e-4)
        assert row.bpe_part_percent == pytest.approx(100 * (background >= 25).mean())
        assert row.remarks == ()
    with_lesion = breast_figures(exact, maps)
    assert with_lesion[-1].bpe_percent > rows[-1].bpe_percent
    assert "No lesions were named" in with_lesion[-1].remarks[0]
    table = list(csv.DictReader(io.StringIO(breasts_csv(rows))))
    assert float(table[0]["density (%)"]) == pytest.approx(rows[0].density_percent, abs=0.05)


def test_background_enhancement_follows_the_phantoms():
    """Marked background enhances more than minimal, in mean and in part."""
    found = []
    for bpe in ("minimal", "marked"):
        made = make_phantom(PhantomSpec("normal", 8, SIZE, n_phases=3, density="c", bpe=bpe))
        rows = breast_figures(segment_breast(made.volume), kinetic_maps(made.volume))
        found.append((rows[-1].bpe_percent, rows[-1].bpe_part_percent))
    assert found[1][0] > 1.5 * found[0][0] and found[1][1] > found[0][1]


def test_what_is_undefined_is_empty_and_said(known):
    made, breast, _, _ = known
    maps = kinetic_maps(made.volume)
    rows = breast_figures(BreastMasks(breast, np.zeros(SIZE, bool), "no gland"), maps, [area_of_mask(breast)])
    assert rows[0].density_percent == 0 and rows[0].bpe_percent is None
    assert "no tissue outside lesions" in rows[0].remarks[-1]
    assert rows[0].row()["BPE, mean enhancement (%)"] == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((1, 6, 60, 60), np.uint16), "No body"),
        (np.full((1, 6, 60, 60), 500, np.uint16), "no air in front"),
    ],
)
def test_images_without_a_breast_are_refused(study, data, said):
    with pytest.raises(KineticsError, match=said):
        segment_breast(study(data))


def test_a_body_without_lungs_is_refused(study):
    data = np.zeros((1, 6, 80, 80), np.uint16)
    data[:, :, 20:, 10:70] = 800
    with pytest.raises(KineticsError, match="No lungs"):
        segment_breast(study(data, spacing=(3.0, 3.0, 3.0)))


def test_bad_input_is_said(known, study):
    made, breast, tissue, masks = known
    maps = kinetic_maps(made.volume)
    with pytest.raises(KineticsError, match="There is no phase 9"):
        segment_breast(made.volume, 9)
    with pytest.raises(KineticsError, match="0 to 100 mm"):
        segment_breast(made.volume, settings=BreastSettings(skin_mm=-1))
    with pytest.raises(KineticsError, match="number above 0"):
        breast_figures(masks, maps, threshold=float("nan"))
    with pytest.raises(KineticsError, match="do not belong"):
        breast_figures(BreastMasks(breast[1:], tissue[1:], ""), maps)
    with pytest.raises(KineticsError, match="hold no breast"):
        breast_figures(BreastMasks(np.zeros_like(breast), tissue, ""), maps)


def test_odd_signals_change_nothing(known):
    """Infinite, missing and negative signals in the air give no warning and no other outline."""
    made, _, _, masks = known
    data = made.volume.data.astype(np.float32)
    air = np.argwhere(made.truth.tissue[:, 40:] == 0)[::97] + np.array([0, 40, 0])
    data[0][tuple(air.T)] = -5
    data[0, 0, 100, 2], data[0, 0, 100, 3] = np.nan, np.inf
    other = segment_breast(replace(made.volume, data=data))
    assert dice(other.breast > 0, masks.breast > 0) > 0.98


def test_it_can_be_cancelled(known):
    """At every step; there are several for each slice, and they never go back."""
    told = []
    segment_breast(known[0].volume, progress=lambda *step: told.append(step))
    done = [one[0] for one in told]
    assert len(told) > 4 * SIZE[0] and done == sorted(done) and (done[0], done[-1]) == (0, told[-1][1])
    left = iter(range(len(told) // 2))

    def stop(done: int, total: int, what: str) -> None:
        if next(left, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment_breast(known[0].volume, progress=stop)


def test_files_are_all_written_or_none(known, tmp_path, monkeypatch):
    """A disk that is full at the table leaves no masks behind, and it can be tried again."""
    made, masks = known[0], known[3]
    rows = density_figures(masks, made.volume.geometry, "Why.")
    with monkeypatch.context() as patch:

        def full(path, text):
            raise KineticsError("No room.")

        patch.setattr("napari_breast_ai.kinetics.write.write_text", full)
        with pytest.raises(KineticsError, match="No room"):
            write_breasts(masks, rows, made.volume.geometry, tmp_path)
    assert not list(tmp_path.iterdir())
    written = write_breasts(masks, rows, made.volume.geometry, tmp_path)
    assert [one.name for one in written] == list(BREAST_FILES)
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_a_real_axial_slice(data_dir):
    """QIN's slice: two breasts, gland in both, nothing of the heart."""
    path = next(one for one in sorted((data_dir / "breast_dce_qin_slice").rglob("*")) if one.is_file())
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array[None, None]
    geometry = Geometry.from_dicom(
        pixels.shape[1:],
        tuple(float(mm) for mm in ds.PixelSpacing),
        float(ds.SliceThickness),
        tuple(float(mm) for mm in ds.ImagePositionPatient),
        (1, 0, 0, 0, 1, 0),
    )
    masks = segment_breast(DceVolume(pixels, geometry, PhaseTimes((0.0,), ("unknown",)), Identity("1")))
    assert (masks.breast == 1).sum() > 3000 and (masks.breast == 2).sum() > 3000
    assert 0.15 < masks.tissue.sum() / (masks.breast > 0).sum() < 0.45
    assert not masks.breast[0, 190:].any()  # lungs and heart begin there
    for columns in (slice(75, 110), slice(210, 260)):  # gland on both sides
        assert masks.tissue[0, 100:140, columns].mean() > 0.3


def test_real_images_that_cannot_be_measured_say_why(data_dir):
    picture = next((data_dir / "breastdm_png" / "images").glob("*.png"))
    with pytest.raises(KineticsError, match="without a physical size"):
        segment_breast(open_volume(picture))
    assert NO_LENGTHS in NO_SIZE
    # One sagittal slice whose chest is noise: no lungs can be told.
    with pytest.raises(KineticsError, match="No lungs"):
        segment_breast(read_study(data_dir / "breast_dce_invivo" / "dicom"))
