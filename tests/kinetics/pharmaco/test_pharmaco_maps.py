"""Signal, T1 and maps: inverses, edge cases, and the real slice against another implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breast_ai.core import Cancelled
from napari_breast_ai.kinetics.pharmaco import (
    ArterialInput,
    PharmacoError,
    SpoiledGradientEcho,
    T1Map,
    artery_input,
    concentration,
    drawn_input,
    find_delay,
    fit_curves,
    model_curves,
    pharmacokinetic_maps,
    population_input,
    read_input,
    region_curve,
    signal_of,
    strongest,
    t1_linear,
    t1_nonlinear,
    told_t1,
)
from napari_breast_ai.kinetics.pharmaco.maps import FITTED, NO_BASELINE, OUTSIDE, SATURATED
from napari_breast_ai.kinetics.pharmaco.signal import MOST_MM

TIMES = np.arange(0.0, 360.0, 9.0)
SEQUENCE = SpoiledGradientEcho(0.005, 12.0, 4.5)


@settings(max_examples=60, deadline=None)
@given(
    mM=st.lists(st.floats(0, 25), min_size=1, max_size=6),
    t1=st.floats(0.2, 4),
    tr=st.floats(0.002, 0.02),
    flip=st.floats(3, 40),
    s0=st.floats(0.01, 1e6),
    b1=st.floats(0.7, 1.3),
)
def test_concentration_is_the_inverse_of_the_signal(mM, t1, tr, flip, s0, b1):
    sequence = SpoiledGradientEcho(tr, flip, 4.5)
    curve = np.array([0.0, *mM])
    signal = signal_of(1 / t1 + 4.5 * curve, s0, tr, flip * b1)
    found = concentration(signal, t1, sequence, b1=b1)
    assert found.valid and not found.saturated and not found.negative
    np.testing.assert_allclose(found.mM, curve, rtol=1e-5, atol=1e-6)


def test_signals_that_belong_to_no_concentration_are_defined_and_said():
    """Five voxels: usual, without baseline, saturated, negative, not a number."""
    usual = signal_of(1 / 1.5 + 4.5 * np.array([0, 1.0, 0.5]), 1000, SEQUENCE.tr_s, SEQUENCE.flip_deg)
    signal = np.stack([usual] * 6, axis=1)
    signal[0, 1] = 0
    signal[1, 2] = 1000.0  # more than any concentration gives
    signal[2, 3] = -4.0
    signal[1, 4] = np.nan
    t1 = np.array([1.5, 1.5, 1.5, 1.5, 1.5, 0.0])
    found = concentration(signal, t1, SEQUENCE)
    assert found.valid.tolist() == [True, False, False, True, False, False]
    assert found.no_baseline.tolist() == [False, True, False, False, False, True]
    assert found.saturated.tolist() == [False, False, True, False, False, False]
    assert found.negative.tolist() == [False, False, False, True, False, False]
    assert np.isfinite(found.mM).all() and (found.mM[:, ~found.valid] == 0).all()
    np.testing.assert_allclose(found.mM[:, 0], [0, 1, 0.5], atol=1e-9)
    assert found.mM[2, 3] == pytest.approx(-1 / 1.5 / 4.5)  # as no signal at all: R1 is 0 there
    # Just below what the limit gives it is a concentration, above it is not.
    for mM, valid in ((MOST_MM - 0.5, True), (MOST_MM + 0.5, False)):
        strong = signal_of(1 / 1.5 + 4.5 * np.array([0, mM]), 1000, SEQUENCE.tr_s, SEQUENCE.flip_deg)
        assert concentration(strong, 1.5, SEQUENCE).valid == valid


@settings(max_examples=50, deadline=None)
@given(
    t1=st.floats(0.05, 6),
    tr=st.floats(0.003, 0.03),
    s0=st.floats(0.01, 1e6),
    b1=st.floats(0.8, 1.2),
    angles=st.lists(st.integers(2, 40), min_size=2, max_size=8, unique=True),
)
def test_t1_comes_out_of_noise_free_angles(t1, tr, s0, b1, angles):
    signal = signal_of(1 / t1, s0, tr, np.array(angles) * b1)
    for fit in (t1_linear, t1_nonlinear):
        found = fit(signal, angles, tr, b1=b1)
        assert found.fitted
        assert found.t1_s == pytest.approx(t1, rel=1e-4)
        assert found.s0 == pytest.approx(s0, rel=1e-3)


def test_the_nonlinear_t1_has_the_least_sum_of_squares():
    rng = np.random.default_rng(0)
    t1 = rng.uniform(0.3, 3, 200)
    angles = np.array([2.0, 5, 10, 15, 20])
    signal = signal_of(1 / t1, 1000, 0.006, angles[:, None]) + rng.normal(0, 4, (5, 200))
    fits = [fit(signal, angles, 0.006) for fit in (t1_nonlinear, t1_linear)]
    both = fits[0].fitted & fits[1].fitted
    sums = []
    for fit in fits:
        own = signal_of(1 / np.where(fit.fitted, fit.t1_s, 1), fit.s0, 0.006, angles[:, None])
        sums.append(((signal - own) ** 2).sum(axis=0))
    assert (sums[0] <= sums[1] * (1 + 1e-9))[both].all()
    near = signal_of(1 / (fits[0].t1_s * 1.001)[both], 1.0, 0.006, angles[:, None])
    scale = (near * signal[:, both]).sum(axis=0) / (near**2).sum(axis=0)
    assert (((signal[:, both] - scale * near) ** 2).sum(axis=0) >= sums[0][both]).all()


def test_voxels_without_a_t1_are_0_and_said():
    angles, tr = [3.0, 9.0, 18.0], 0.005
    good = signal_of(1.0, 500, tr, np.array(angles))
    signal = np.stack([good, 0 * good, good * [np.nan, 1, 1], good[::-1] * 3, -good], axis=1)
    for fit in (t1_linear, t1_nonlinear):
        found = fit(signal, angles, tr)
        assert found.fitted[0] and not found.fitted[[1, 2, 4]].any()
        for values in (found.t1_s, found.s0, found.r2):
            assert np.isfinite(values).all() and (values[~found.fitted] == 0).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: t1_linear(np.ones((2, 3)), [5.0, 5.0], 0.005), "at least two different flip angles"),
        (lambda: t1_linear(np.ones((3, 3)), [5.0, 9.0], 0.005), "one angle per image"),
        (lambda: t1_linear(np.ones((2, 3)), [0.0, 9.0], 0.005), "above 0 and below 90"),
        (lambda: t1_nonlinear(np.ones((2, 3)), [3.0, 9.0], 5.0), "Check the unit"),
        (lambda: told_t1(np.full((1, 2, 2), 1400.0), "map.nii.gz"), "not in milliseconds"),
        (lambda: SpoiledGradientEcho(7.9, 20, 4.5), "Check the unit"),
        (lambda: SpoiledGradientEcho(0.0079, 0, 4.5), "no contrast between T1 values"),
        (lambda: SpoiledGradientEcho(0.0079, 20, 4500), "not that of a contrast agent"),
        (lambda: concentration(np.ones((3, 2)), 1.0, SEQUENCE, baseline=()), "No phase before contrast is known"),
        (
            lambda: pharmacokinetic_maps(
                np.ones((40, 1, 2, 2)), TIMES, SEQUENCE, 1.4, population_input("parker", 360.0, 30.0), baseline=(99,)
            ),
            "No phase before contrast is known",
        ),
        (lambda: strongest(np.ones((3, 1, 2, 2)), (99,)), "No phase before contrast is known"),
        (lambda: population_input("parker", 360.0, 30.0).delayed(float("nan")), "values that are no numbers"),
        (lambda: population_input("weinmann", 300), "Choose one of: georgiou, parker"),
        (lambda: population_input("parker", 300, haematocrit=42), "such as 0.42"),
        (lambda: drawn_input(TIMES, np.zeros((TIMES.size, 0))), "region of the artery is empty"),
        (lambda: drawn_input(TIMES, np.zeros(TIMES.size)), "no contrast agent at all"),
        (lambda: region_curve(np.ones((2, 1, 2, 2)), np.zeros((1, 2, 2)), SEQUENCE, 1.0), "region is empty"),
        (lambda: region_curve(np.zeros((2, 1, 2, 2)), np.ones((1, 2, 2)), SEQUENCE, 1.0), "No voxel of the region"),
        (lambda: strongest(np.zeros((2, 1, 2, 2)), (0,)), "no signal before contrast"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(call, said):
    with pytest.raises(PharmacoError, match=said):
        call()


def study(shape=(3, 12, 14), seed=0):
    """A volume of random tissues around air, its truth, and the input that made it."""
    rng = np.random.default_rng(seed)
    points = np.arange(0.0, 365.0, 3.0)
    arterial = ArterialInput(points, population_input("georgiou", 360, 40.0, 0.4).at(points), "made for this")
    ktrans, ve, vp = rng.uniform(0.05, 0.8, shape), rng.uniform(0.1, 0.7, shape), rng.uniform(0, 0.1, shape)
    t1 = rng.uniform(0.8, 2.0, shape)
    mM = model_curves(TIMES, arterial, ktrans, ktrans / ve, vp)
    data = signal_of(1 / t1 + SEQUENCE.relaxivity * mM, 2000.0, SEQUENCE.tr_s, SEQUENCE.flip_deg)
    data[:, :, :, :3] = 0.5  # air
    return data.astype(np.float32), t1, ktrans, ve, vp, arterial


def test_maps_of_a_volume_give_its_truth_and_leave_the_air_out():
    data, t1, ktrans, ve, vp, arterial = study()
    known = told_t1(t1, "made for this")
    seen = []
    maps = pharmacokinetic_maps(
        data, TIMES, SEQUENCE, known, arterial, baseline=range(4), progress=lambda *said: seen.append(said)
    )
    inside = np.zeros(t1.shape, bool)
    inside[:, :, 3:] = True
    assert (maps.status[inside] == FITTED).all() and (maps.status[~inside] == OUTSIDE).all()
    np.testing.assert_allclose(maps.map("ktrans")[inside], ktrans[inside], rtol=2e-3)
    np.testing.assert_allclose(maps.map("ve")[inside], ve[inside], rtol=2e-3)
    np.testing.assert_allclose(maps.map("vp")[inside], vp[inside], atol=3e-4)
    assert (maps.map("ktrans")[~inside] == 0).all()
    assert seen[0] == (0, 3, "Fitting") and seen[-1] == (3, 3, "Fitting")
    text = " ".join(maps.notes)
    assert "map “made for this”" in text and f"Fitted: {inside.sum()} of {inside.sum()}" in text
    assert maps.summary()["ktrans"]["median"] == pytest.approx(np.median(ktrans[inside]), rel=1e-3)
    assert maps.summary(~inside) == {}
    found = maps.to_json()
    assert found["voxels"]["fitted"] == inside.sum() and found["t1_measured"] is True


def test_a_region_is_fitted_as_it_is_in_the_whole():
    data, t1, *_, arterial = study()
    region = np.zeros(t1.shape, bool)
    region[1, 2:5, 4:9] = True
    whole, part = (
        pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial, baseline=range(4), region=one)
        for one in (None, region)
    )
    for name in ("ktrans", "kep", "ve", "vp", "r2"):
        np.testing.assert_allclose(part.map(name)[region], whole.map(name)[region], rtol=1e-6, atol=1e-9)
        assert (part.map(name)[~region] == 0).all()
    assert "assumed to be 1.4 s" in part.notes[0]


def test_scale_factors_and_number_types_change_nothing():
    data, *_, arterial = study()
    plain = pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial, baseline=range(4))
    scaled = pharmacokinetic_maps(
        data.astype(np.float64) * 37, TIMES, SEQUENCE, 1.4, arterial, baseline=range(4)
    )
    np.testing.assert_allclose(scaled.map("ktrans"), plain.map("ktrans"), rtol=1e-4, atol=1e-7)
    stored = pharmacokinetic_maps(
        np.rint(data * 20).astype(np.uint16), TIMES, SEQUENCE, 1.4, arterial, baseline=range(4)
    )
    assert np.median(np.abs(stored.map("ktrans") - plain.map("ktrans"))) < 0.01


def test_voxels_that_are_left_out_are_counted_and_nothing_is_nan():
    data, *_, arterial = study()
    data[0, 0, 0, 5] = 0
    data[9, 0, 1, 5] = 1e5
    data[9, 0, 2, 5] = np.nan
    data[20, 0, 3, 5] = -1
    region = np.ones(data.shape[1:], bool)
    maps = pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial, region=region)
    assert maps.status[0, 0, 5] == NO_BASELINE and maps.status[0, 1, 5] == SATURATED
    assert maps.status[0, 2, 5] not in (FITTED, OUTSIDE) and maps.status[0, 3, 5] == FITTED
    for name in ("ktrans", "kep", "ve", "vp", "r2", "rmse", "aicc"):
        assert np.isfinite(maps.map(name)).all() and (maps.map(name)[maps.status != FITTED] == 0).all()
    text = " ".join(maps.notes)
    assert "Not fitted: 1 (no signal before contrast" in text and "below 0" in text
    assert sum(maps.to_json()["voxels"].values()) == region.size


def test_nothing_but_air_and_one_slice_and_cancelling():
    *_, arterial = study()
    empty = pharmacokinetic_maps(np.zeros((TIMES.size, 1, 4, 4)), TIMES, SEQUENCE, 1.4, arterial)
    assert (empty.status == NO_BASELINE).all() and empty.summary() == {}
    data, *_ = study((1, 5, 6))
    assert pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial).status.shape == (1, 5, 6)

    def stop(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial, progress=stop)


def test_the_picture_shows_what_was_fitted_and_no_more():
    from napari_breast_ai.core import Geometry
    from napari_breast_ai.kinetics.pharmaco.figures import busiest_slice, maps_figure

    data, *_, arterial = study()
    region = np.zeros(data.shape[1:], bool)
    region[1], region[2, :3] = True, True
    geometry = Geometry.from_dicom(region.shape, (1.0, 0.5), 3.0, (0, 0, 0), (1, 0, 0, 0, 1, 0))
    for model, panels in (("tofts", 4), ("extended-tofts", 5), ("patlak", 3)):
        maps = pharmacokinetic_maps(data, TIMES, SEQUENCE, 1.4, arterial, model, range(4), region=region)
        assert busiest_slice(maps) == 1
        figure = maps_figure(maps, data[0], geometry, arterial)
        images = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
        assert len(images) == panels
        first = images[0].get_array()
        good = (maps.status[1] == FITTED) & (maps.map("r2")[1] >= 0.5)
        assert (~np.ma.getmaskarray(first) == good).all()
        np.testing.assert_array_equal(first[good], maps.map("ktrans")[1][good])
        assert figure.axes[0].get_aspect() == 2.0
    nothing = pharmacokinetic_maps(np.zeros((TIMES.size, 1, 4, 4)), TIMES, SEQUENCE, 1.4, arterial)
    maps_figure(nothing, np.zeros((1, 4, 4)), geometry, arterial).canvas.draw()
    with pytest.raises(PharmacoError, match="Choose one from 0 to 2"):
        maps_figure(maps, data[0], geometry, arterial, z=3)


def test_what_does_not_fit_together_is_said():
    data, t1, *_, arterial = study()
    other = T1Map(t1[:2], t1[:2], t1[:2], t1[:2] > 0, "")
    for more, said in (
        ({"t1": other}, "T1 map has the shape 2 × 12 × 14 and the study 3 × 12 × 14"),
        ({"t1": 1400.0}, "Give it in seconds"),
        ({"region": np.ones((3, 4, 4))}, "region has the shape"),
        ({"region": np.zeros(t1.shape)}, "region is empty"),
        ({"times_s": TIMES[:-1]}, "40 phases but 39 times"),
        ({"data": data[0]}, "Read the study again"),
    ):
        given = {
            "data": data,
            "times_s": TIMES,
            "sequence": SEQUENCE,
            "t1": 1.4,
            "arterial": arterial,
            **more,
        }
        with pytest.raises(PharmacoError, match=said):
            pharmacokinetic_maps(**given)


def test_an_artery_drawn_in_the_study_gives_its_plasma_curve():
    data, *_, arterial = study()
    vessel = np.zeros(data.shape[1:], bool)
    vessel[2, 4:6, 6:8] = True
    blood = arterial.at(TIMES) * (1 - 0.42)
    data[:, vessel] = signal_of(1 / 1.6 + 4.5 * blood, 2000, SEQUENCE.tr_s, SEQUENCE.flip_deg)[:, None]
    found = artery_input(data, TIMES, vessel, SEQUENCE, 1.6, range(4))
    np.testing.assert_allclose(found.plasma_mM, arterial.at(TIMES), atol=5e-3)
    assert "4 voxels drawn in a vessel" in found.said and "0.42" in found.said


def test_an_input_from_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("time_s,blood_mM\n0,0\n10,5.8\n20,2.9\n", encoding="utf-8")
    found = read_input(tmp_path / "a.csv", haematocrit=0.42)
    np.testing.assert_allclose(found.plasma_mM, [0, 10, 5])
    for text, said in (
        ("a,b\n1,2\n", "columns time_s"),
        ("time_s,plasma_mM\n0,x\n", "no number"),
        ("", "columns"),
    ):
        (tmp_path / "b.csv").write_text(text, encoding="utf-8")
        with pytest.raises(PharmacoError, match=said):
            read_input(tmp_path / "b.csv")


class TestRealSlice:
    """A real breast with a ring-enhancing lesion, its own T1 data and plasma input (DCEMRI.jl, MIT)."""

    def test_the_rim_takes_up_more_than_the_inside_and_the_breast(self, real_slice):
        one = real_slice
        maps = pharmacokinetic_maps(
            one.data, one.times_s, one.sequence, one.t1, one.arterial, baseline=one.baseline
        )
        ktrans = maps.map("ktrans")[0]
        row, column = np.mgrid[:192, :192]
        away = np.hypot(row - 108, column - 100)
        rim, within = (away >= 9) & (away < 12), (away >= 4) & (away < 8)
        breast = np.zeros_like(rim)
        breast[70:92, 40:120] = True
        fitted = maps.status[0] == FITTED
        middle = [float(np.median(ktrans[where & fitted])) for where in (rim, within, breast)]
        assert middle[0] > 1.5 * middle[1] and middle[0] > 5 * middle[2]
        assert 0.05 < middle[0] < 0.4
        good = maps.map("r2")[0][rim & fitted]
        assert np.median(good) > 0.85
        for name in ("ktrans", "kep", "ve", "vp", "r2", "rmse", "aicc"):
            assert np.isfinite(maps.map(name)).all()
        tissue = one.t1.t1_s[0][breast & one.t1.fitted[0]]
        assert 0.5 < np.median(tissue) < 1.6

    def test_the_lesions_values_are_those_of_dcmri(self, real_slice):
        """The same voxels fitted by `scipy.optimize.curve_fit` with `dcmri`'s curves, in its own units and bounds."""
        dcmri = pytest.importorskip("dcmri", reason="dcmri is not installed")
        from scipy.optimize import curve_fit

        one = real_slice
        where = np.argwhere(one.lesion & one.t1.fitted)[::12]
        z, y, x = where.T
        found = concentration(one.data[:, z, y, x], one.t1.t1_s[z, y, x], one.sequence, one.baseline)
        theirs = dcmri.conc_ss(
            one.data[:, z, y, x].T.astype(float), one.sequence.tr_s, one.sequence.flip_deg,
            one.t1.t1_s[z, y, x].astype(float),
            r1=one.sequence.relaxivity, n0=4,
        )  # fmt: skip
        np.testing.assert_allclose(found.mM[:, found.valid], theirs.T[:, found.valid], rtol=1e-6, atol=1e-9)
        fit = fit_curves(found.mM, one.times_s, one.arterial)
        blood, h = one.arterial.plasma_mM * 0.55, 0.45

        def curve(_, ktrans, ve, vp):
            return dcmri.conc_tissue(
                blood, t=one.times_s, kinetics="HF", H=h, vb=vp / (1 - h), vi=ve, PS=ktrans / 60
            )

        compared = 0
        for i in np.flatnonzero(found.valid & ~fit.at_bound & (fit.r2 > 0.8)):
            theirs, _ = curve_fit(
                curve, one.times_s, found.mM[:, i], p0=(0.1, 0.3, 0.02), bounds=([0, 1e-3, 0], [5, 1, 1]),
                xtol=1e-12, ftol=1e-12, gtol=1e-12,
            )  # fmt: skip
            rest = ((curve(None, *theirs) - found.mM[:, i]) ** 2).sum()
            assert fit.rmse[i] ** 2 * one.times_s.size <= rest * (1 + 1e-6)
            np.testing.assert_allclose([fit.ktrans[i], fit.ve[i], fit.vp[i]], theirs, rtol=5e-3, atol=5e-4)
            compared += 1
        assert compared >= 20

    def test_the_lesions_maps_are_those_of_dcmris_own_fit(self, real_slice):
        """`dcmri` fits the signal and not the concentration, which weighs noise differently: the same but for that."""
        dcmri = pytest.importorskip("dcmri", reason="dcmri is not installed")
        one, h = real_slice, 0.45
        maps = pharmacokinetic_maps(
            one.data,
            one.times_s,
            one.sequence,
            one.t1,
            one.arterial,
            baseline=one.baseline,
            region=one.lesion,
        )
        good = (maps.status == FITTED) & (maps.map("r2") > 0.8) & ~maps.fit.at_bound
        z, y, x = np.argwhere(good)[::4].T
        assert z.size > 50
        theirs = dcmri.TissueArray(
            (z.size,), kinetics="HF", water_exchange="FF", sequence="SS", ca=one.arterial.plasma_mM * (1 - h),
            t=one.times_s, H=h, r1=one.sequence.relaxivity, R10=1 / one.t1.t1_s[z, y, x].astype(float),
            TR=one.sequence.tr_s, FA=one.sequence.flip_deg, n0=len(one.baseline),
        )  # fmt: skip
        theirs.train(one.times_s, one.data[:, z, y, x].T.astype(float))
        for name, other in (("ktrans", 60 * theirs.PS), ("ve", theirs.vi), ("vp", (1 - h) * theirs.vb)):
            own = maps.map(name)[z, y, x]
            assert np.corrcoef(own, other)[0, 1] > 0.97
            assert np.median(own) == pytest.approx(np.median(other), rel=0.05)

    def test_the_delay_of_its_own_input_is_small(self, real_slice):
        one = real_slice
        region = strongest(one.data, one.baseline, one.lesion)
        curve = region_curve(one.data, region, one.sequence, one.t1.t1_s, one.baseline)
        assert abs(find_delay(curve, one.times_s, one.arterial, limits_s=(-16, 16))) < 16.43
