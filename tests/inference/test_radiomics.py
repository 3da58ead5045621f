import numpy as np
import pytest

from napari_breast_ai.core import Box, DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.inference import InferenceError
from napari_breast_ai.inference.lesion_regions import Region, regions_of_boxes, regions_of_mask
from napari_breast_ai.models import ImageSource, PreparationSpec
from napari_breast_ai.models.table_spec import RadiomicsSpec

EVERYTHING = ("stat", "ih", "ivh", "morph", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")

# The digital phantom of the Image Biomarker Standardisation Initiative, 2 mm voxels, 0 where it is not of the region.
PHANTOM = """
1 4 4 1 1  1 4 6 1 1  4 1 6 4 1  4 4 6 4 1
1 4 4 1 1  1 1 6 1 1  0 1 3 1 1  4 4 6 1 1
1 4 4 0 0  1 1 1 1 1  1 1 0 1 1  1 1 6 1 1
1 4 4 0 0  1 1 1 1 1  1 1 1 1 1  1 1 6 1 1
"""

# Consensus values for it, to three digits: Zwanenburg et al., Radiology 2020;295:328-338, and the tables "dig. phantom"
# of the reference manual (arXiv 1612.07003; theibsi.github.io). Texture: 3D, merged.
CONSENSUS = {
    "morph_volume": 556,
    "morph_vol_approx": 592,
    "morph_area_mesh": 388,
    "morph_av": 0.698,
    "morph_sphericity": 0.843,
    "morph_asphericity": 0.186,
    "morph_com": 0.672,
    "morph_diam": 13.1,
    "morph_pca_maj_axis": 11.4,
    "morph_pca_min_axis": 9.31,
    "morph_pca_least_axis": 8.54,
    "morph_pca_elongation": 0.816,
    "morph_pca_flatness": 0.749,
    "morph_vol_dens_aabb": 0.869,
    "morph_vol_dens_conv_hull": 0.961,
    "stat_mean": 2.15,
    "stat_var": 3.05,
    "stat_skew": 1.08,
    "stat_kurt": -0.355,
    "stat_median": 1,
    "stat_p90": 4,
    "stat_iqr": 3,
    "stat_mad": 1.55,
    "stat_rmad": 1.11,
    "stat_medad": 1.15,
    "stat_cov": 0.812,
    "stat_qcod": 0.6,
    "stat_energy": 567,
    "stat_rms": 2.77,
    "ih_entropy": 1.27,
    "ih_uniformity": 0.512,
    "ih_max_grad": 8,
    "ih_max_grad_g": 3,
    "cm_joint_max": 0.509,
    "cm_joint_avg": 2.15,
    "cm_joint_var": 3.13,
    "cm_joint_entr": 2.57,
    "cm_contrast": 5.12,
    "cm_inv_diff_mom": 0.631,
    "cm_inv_var": 0.0574,
    "cm_corr": 0.183,
    "cm_auto_corr": 5.19,
    "cm_clust_tend": 7.41,
    "cm_clust_shade": 17.4,
    "cm_info_corr1": -0.0288,
    "rlm_sre": 0.729,
    "rlm_lre": 2.76,
    "rlm_glnu": 281,
    "rlm_rl_entr": 2.62,
    "szm_sze": 0.255,
    "szm_lze": 550,
    "szm_zs_entr": 2.32,
    "dzm_sde": 1,
    "dzm_hgze": 15.6,
    "ngt_coarseness": 0.0296,
    "ngt_contrast": 0.584,
    "ngt_busyness": 6.54,
    "ngt_complexity": 13.5,
    "ngt_strength": 0.763,
    "ngl_lde": 0.045,
    "ngl_hde": 109,
    "ngl_dc_entr": 4.4,
}


def volume_of(data, spacing=(3.0, 1.0, 1.0)):
    geometry = Geometry(data.shape[1:], spacing, np.diag([*spacing, 1.0]))
    times = PhaseTimes(tuple(60.0 * i for i in range(len(data))), ("AcquisitionTime",) * len(data))
    return DceVolume(data, geometry, times, Identity("1.2.3"))


def test_the_digital_phantom_has_its_consensus_values():
    pytest.importorskip("mirp", reason="mirp is not installed")
    from napari_breast_ai.inference.radiomics import feature_names, radiomics

    values = np.array(PHANTOM.split(), np.float32).reshape(4, 4, 5)
    inside = values > 0
    image = np.where(inside, values, 9)  # what is not of the region must not count
    spec = RadiomicsSpec(families=EVERYTHING, bins=6, resample_mm=0)
    found = radiomics(image, Region(inside, 592.0), (2.0, 2.0, 2.0), spec, False)
    names = feature_names(spec, False)
    assert len(names) == len(set(names)) > 150
    for name, value in CONSENSUS.items():
        (full,) = (
            n for n in names if n in (name, f"{name}_fbn_n6") or n.startswith((f"{name}_d1_", f"{name}_3d_"))
        )
        # To the digits that are published.
        assert float(f"{found[names.index(full)]:.3g}") == pytest.approx(value, rel=2e-3), full


def test_spacing_is_honoured_and_pictures_stay_flat():
    pytest.importorskip("mirp", reason="mirp is not installed")
    from napari_breast_ai.inference.radiomics import feature_names, radiomics, settings

    rng = np.random.default_rng(0)
    image = rng.normal(50, 20, (10, 40, 40)).astype(np.float32)
    inside = np.zeros(image.shape, bool)
    inside[3:7, 10:22, 10:22] = True
    spec = RadiomicsSpec(families=("morph", "stat"), resample_mm=1.0)
    names = feature_names(spec, False)
    volume = names.index("morph_vol_approx")
    for spacing in ((3.0, 1.0, 1.0), (2.0, 0.5, 0.5)):
        region = Region(inside, float(inside.sum() * np.prod(spacing)))
        found = radiomics(image, region, spacing, spec, False)
        assert found[volume] == pytest.approx(region.volume_mm3, rel=0.15), spacing
    flat = Region(inside[4:5], 144.0)
    found = radiomics(image[4:5], flat, (1.0, 1.0, 1.0), spec, True)
    assert found[feature_names(spec, True).index("stat_mean")] == pytest.approx(
        image[4][inside[4]].mean(), rel=1e-5
    )
    assert settings(spec, True)["new_spacing"] is None and settings(spec, False)["new_spacing"] == 1.0


def test_the_log_is_left_alone(capfd, caplog):
    pytest.importorskip("mirp", reason="mirp is not installed")
    import logging

    from napari_breast_ai.inference.radiomics import feature_names

    before = list(logging.getLogger().handlers), logging.getLogger().level
    feature_names(RadiomicsSpec(families=("stat",), bins=7), False)
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
    assert capfd.readouterr().out == ""


def test_without_mirp_a_sentence_says_what_to_install(monkeypatch):
    import sys

    from napari_breast_ai.inference.radiomics import library

    monkeypatch.setitem(sys.modules, "mirp", None)
    with pytest.raises(InferenceError, match="napari-breast-ai\\[radiomics\\]"):
        library()


def test_boxes_become_lesions_over_slices():
    volume = volume_of(np.zeros((1, 9, 40, 40), np.int16))
    boxes = [
        Box(2, 9.5, 9.5, 19.5, 19.5, "NME", "a"),
        Box(3, 9.5, 9.5, 19.5, 19.5, "NME", "b"),  # overlaps a on the next slice: the same lesion
        Box(7, 29.5, 29.5, 33.5, 33.5, "NME", "c"),
        Box(1, 0, 0, 30, 30, "normal tissue", "d"),
    ]
    first, second = regions_of_boxes(volume, boxes)
    assert (first.slices, second.slices) == ((2, 3), (7,))
    assert first.volume_mm3 == 2 * 10 * 10 * 3.0
    assert second.volume_mm3 == 4 * 4 * 3.0
    named = [
        Box(2, 9.5, 9.5, 19.5, 19.5, "NME", "a", lesion="L"),
        Box(4, 9.5, 9.5, 19.5, 29.5, "NME", "b", lesion="L"),
    ]
    (filled,) = regions_of_boxes(volume, named)
    assert filled.slices == (2, 3, 4)
    assert [int(filled.mask[z].sum()) for z in filled.slices] == [100, 150, 200]
    assert filled.middle == 4
    assert regions_of_boxes(volume, [Box(2, 1.2, 1.2, 1.4, 1.4, "NME", "e")]) == ()


def test_masks_become_lesions_or_a_sentence():
    volume = volume_of(np.zeros((2, 5, 20, 20), np.int16))
    drawn = np.zeros((1, 5, 20, 20), np.uint8)
    drawn[0, 1:3, 2:5, 2:5] = 255
    drawn[0, 4, 10:18, 10:18] = 255
    large, small = regions_of_mask(volume, volume_of(drawn))
    assert (large.volume_mm3, small.volume_mm3) == (64 * 3.0, 18 * 3.0)
    with pytest.raises(InferenceError, match="drawn on these images"):
        regions_of_mask(volume, volume_of(drawn[:, :4]))
    with pytest.raises(InferenceError, match="drawn on these images"):
        regions_of_mask(volume, volume_of(drawn, (3.0, 2.0, 2.0)))
    assert regions_of_mask(volume, volume_of(drawn * 0)) == ()


def test_the_image_is_the_recipes_phase_or_subtraction():
    pytest.importorskip("mirp", reason="mirp is not installed")
    from napari_breast_ai.inference.radiomics import lesion_image

    rng = np.random.default_rng(1)
    volume = volume_of(rng.integers(100, 900, (3, 4, 30, 30)).astype(np.int16))
    stored = RadiomicsSpec(intensities="stored")
    for kind, want in (
        ("phase", volume.data[2].astype(np.float32)),
        ("subtraction", volume.data[2].astype(np.float32) - volume.data[0]),
    ):
        preparation = PreparationSpec(ImageSource(kind, "post_index", 2))
        image, said = lesion_image(volume, preparation, stored)
        np.testing.assert_array_equal(image, want)
        assert ("minus" in said) == (kind == "subtraction")
        scaled, _ = lesion_image(volume, preparation, RadiomicsSpec())
        # Straight lines map to straight lines, and nothing is cut off.
        assert np.corrcoef(scaled.ravel(), want.ravel())[0, 1] == pytest.approx(1, abs=1e-5)
        assert scaled.max() > 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bins": 1}, "grey levels"),
        ({"resample_mm": 50.0}, "20 mm"),
        ({"families": ()}, "at least one family"),
    ],
)
def test_settings_that_mean_nothing_are_said(change, said):
    assert any(said in text for text in RadiomicsSpec(**change).problems())
