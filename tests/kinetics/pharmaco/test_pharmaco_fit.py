"""The fits: least squares inside the bounds, against other optimisers and another implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, least_squares

from napari_breast_ai.core import Cancelled
from napari_breast_ai.kinetics.pharmaco import (
    ArterialInput,
    Bounds,
    Fitter,
    PharmacoError,
    fit_curves,
    model_curves,
    population_input,
)

TIMES = np.arange(0.0, 420.0, 14.0)
UNEVEN = np.array([0.0, 70, 85, 100, 120, 145, 180, 240, 330, 420])
FIELDS = ("ktrans", "kep", "ve", "vp", "r2", "rmse", "aicc")


def given_input(last=420.0):
    """Parker's curve from 60 s on, with a point every 5 s."""
    points = np.arange(0.0, last + 5, 5.0)
    return ArterialInput(points, population_input("parker", last, arrival_s=60.0).at(points), "")


def drawn(n, seed, model="extended-tofts"):
    """Random parameters: Ktrans, ve and vp of n tissues."""
    rng = np.random.default_rng(seed)
    vp = rng.uniform(0, 0.15, n) if model != "tofts" else np.zeros(n)
    return rng.uniform(0.02, 1.2, n), rng.uniform(0.05, 0.9, n), vp


@pytest.mark.parametrize("times", [TIMES, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("model", ["tofts", "extended-tofts", "patlak"])
def test_what_went_in_comes_out(model, times):
    ktrans, ve, vp = drawn(300, 1, model)
    kep = ktrans / ve if model != "patlak" else np.zeros(300)
    curves = model_curves(times, given_input(), ktrans, kep, vp)
    fit = fit_curves(curves.reshape(-1, 15, 20), times, given_input(), model)
    assert fit.ktrans.shape == (15, 20) and fit.fitted.all() and not fit.at_bound.any()
    np.testing.assert_allclose(fit.ktrans.ravel(), ktrans, rtol=1e-5)
    np.testing.assert_allclose(fit.kep.ravel(), kep, rtol=1e-5)
    np.testing.assert_allclose(fit.vp.ravel(), vp, atol=1e-6)
    np.testing.assert_allclose(fit.ve.ravel(), ve if model != "patlak" else 0 * ve, rtol=1e-5)
    assert fit.r2.min() > 1 - 1e-9


@pytest.mark.parametrize("model", ["tofts", "extended-tofts"])
def test_no_other_optimiser_finds_a_lower_sum(model):
    """`scipy.optimize.curve_fit` inside the same bounds, started at the truth, is never better, equal at best."""
    ktrans, ve, vp = drawn(25, 2, model)
    arterial = given_input()
    curves = model_curves(TIMES, arterial, ktrans, ktrans / ve, vp)
    curves += 0.05 * np.random.default_rng(3).standard_normal(curves.shape)
    fit = fit_curves(curves, TIMES, arterial, model)
    same = 0
    for i in range(25):

        def curve(_, k, e, p=0.0):
            return model_curves(TIMES, arterial, k, k / max(e, 1e-6), p)

        n = 3 if model == "extended-tofts" else 2
        start = np.clip([ktrans[i], ve[i], vp[i]][:n], 1e-3, 0.99)
        upper = [5, 1, 1][:n]
        found, _ = curve_fit(
            curve, TIMES, curves[:, i], p0=start, bounds=([0] * n, upper), ftol=1e-13, xtol=1e-13, gtol=1e-13
        )
        theirs = ((curves[:, i] - curve(None, *found)) ** 2).sum()
        ours = fit.rmse[i] ** 2 * TIMES.size
        assert ours <= theirs * (1 + 1e-6)
        close = np.allclose([fit.ktrans[i], fit.ve[i], fit.vp[i]][:n], found, rtol=1e-3, atol=1e-4)
        same += close or ours < theirs * (1 - 1e-6)
    assert same == 25


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), model=st.sampled_from(["tofts", "extended-tofts", "patlak"]))
def test_whatever_the_curve_is_the_answer_lies_inside_the_bounds_and_is_a_least_one(seed, model):
    """Also for curves that are nothing but noise: no other point of a net over the box has a lower sum."""
    rng = np.random.default_rng(seed)
    curves = rng.normal(0, 1, (TIMES.size, 20)).cumsum(axis=0) * rng.choice([1e-3, 1, 1e3], 20)
    limits, arterial = Bounds(), given_input()
    fit = fit_curves(curves, TIMES, arterial, model)
    for name in FIELDS:
        assert np.isfinite(getattr(fit, name)).all()
    assert ((fit.ktrans >= 0) & (fit.ktrans <= limits.ktrans)).all()
    assert ((fit.ve >= 0) & (fit.ve <= limits.ve * (1 + 1e-9))).all()
    assert ((fit.vp >= 0) & (fit.vp <= limits.vp)).all()
    assert (fit.kep <= limits.kep[1] * (1 + 1e-9)).all()
    own = model_curves(TIMES, arterial, fit.ktrans, fit.kep, fit.vp)
    sums = ((curves - own) ** 2).sum(axis=0)
    np.testing.assert_allclose(fit.rmse, np.sqrt(sums / TIMES.size), rtol=1e-6, atol=1e-9)
    kep = np.geomspace(*limits.kep, 40)[:, None, None] if model != "patlak" else np.zeros((1, 1, 1))
    ktrans = np.concatenate([[0.0], np.geomspace(1e-4, 5, 20)])[None, :, None]
    vp = (np.linspace(0, 1, 8) if model != "tofts" else np.zeros(1))[None, None, :]
    allowed = (ktrans <= limits.ve * kep) | (model == "patlak")
    allowed = np.broadcast_to(allowed, np.broadcast_shapes(kep.shape, ktrans.shape, vp.shape))
    net = model_curves(TIMES, arterial, ktrans, kep, vp)[:, allowed]
    best = np.inf
    for start in range(0, net.shape[1], 4000):
        part = net[:, start : start + 4000]
        best = np.minimum(best, ((curves[:, None, :] - part[:, :, None]) ** 2).sum(axis=0).min(axis=0))
    assert (sums <= best * (1 + 1e-7)).all()


def test_a_parameter_at_its_bound_is_the_best_there_and_is_said():
    """ve at most 0.3 where the tissue has 0.8: against scipy inside the same box."""
    arterial = given_input()
    curve = model_curves(TIMES, arterial, 0.3, 0.3 / 0.8, 0.03)
    fit = fit_curves(curve, TIMES, arterial, bounds=Bounds(ve=0.3))

    def residual(x):
        return model_curves(TIMES, arterial, x[0], x[0] / x[1], x[2]) - curve

    wanted = least_squares(
        residual, [0.3, 0.2, 0.05], bounds=([1e-6, 1e-3, 0], [5, 0.3, 1]), xtol=1e-14, ftol=1e-14
    )
    assert fit.at_bound and fit.ve == pytest.approx(0.3)
    np.testing.assert_allclose([fit.ktrans, fit.ve, fit.vp], wanted.x, rtol=2e-4)
    assert fit.rmse**2 * TIMES.size == pytest.approx(2 * wanted.cost, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.05, 20), later=st.floats(-30, 30))
def test_units_and_clocks(factor, later):
    """Twice the tissue and twice the blood change nothing; nor does the moment at which the clock starts."""
    ktrans, ve, vp = drawn(10, 4)
    arterial = given_input()
    curves = model_curves(TIMES, arterial, ktrans, ktrans / ve, vp)
    stronger = ArterialInput(arterial.times_s + later, arterial.plasma_mM * factor, "")
    fit = fit_curves(curves * factor, TIMES + later, stronger)
    np.testing.assert_allclose(fit.ktrans, ktrans, rtol=1e-4)
    np.testing.assert_allclose(fit.ve, ve, rtol=1e-4)


def test_the_criterion_prefers_the_model_that_made_the_curve():
    arterial, rng = given_input(), np.random.default_rng(5)
    ktrans, ve, _ = drawn(200, 6)
    for vp, better in ((0.0, "tofts"), (0.08, "extended-tofts")):
        curves = model_curves(TIMES, arterial, ktrans, ktrans / ve, vp) + rng.normal(
            0, 0.02, (TIMES.size, 200)
        )
        fits = {model: fit_curves(curves, TIMES, arterial, model) for model in ("tofts", "extended-tofts")}
        best = min(fits, key=lambda model: float(np.median(fits[model].aicc)))
        assert best == better
        # By its definition, with the variance as a parameter too.
        n, p = TIMES.size, {"tofts": 3, "extended-tofts": 4}[better]
        wanted = n * np.log(fits[better].rmse ** 2) + 2 * p * n / (n - p - 1)
        np.testing.assert_allclose(fits[better].aicc, wanted)


def test_voxels_that_cannot_be_fitted_are_0_and_said():
    curves = model_curves(TIMES, given_input(), np.full(6, 0.3), 0.6, 0.02)
    curves[3, 1], curves[4, 2] = np.nan, np.inf
    curves[:, 3] = 0.0
    valid = np.array([True, True, True, True, False, True])
    fit = fit_curves(curves, TIMES, given_input(), valid=valid)
    assert fit.fitted.tolist() == [True, False, False, True, False, True]
    for name in FIELDS:
        assert np.isfinite(getattr(fit, name)).all()
        assert (getattr(fit, name)[[1, 2, 4]] == 0).all()
    assert fit.ktrans[3] == fit.kep[3] == fit.ve[3] == fit.r2[3] == 0  # a flat curve takes nothing up
    assert fit.ktrans[0] == pytest.approx(0.3, rel=1e-5)


def test_one_voxel_and_none_and_integers():
    arterial = given_input()
    curve = model_curves(TIMES, arterial, 0.3, 0.6, 0.0)
    assert fit_curves(curve, TIMES, arterial).ktrans.shape == ()
    assert fit_curves(np.zeros((TIMES.size, 0)), TIMES, arterial).ktrans.shape == (0,)
    whole = fit_curves(np.rint(curve * 1000).astype(np.int16), TIMES, arterial)
    assert np.isfinite(whole.ktrans)


def test_a_fit_can_be_cancelled_and_counts():
    curves = np.ones((TIMES.size, 9000))
    seen = []
    Fitter(TIMES, given_input()).fit(curves, progress=lambda done, total, what: seen.append((done, total)))
    assert seen[0] == (0, 9000) and seen[-1] == (9000, 9000) and len(seen) > 2

    def stop(done, total, what):
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        Fitter(TIMES, given_input()).fit(curves, progress=stop)


@pytest.mark.parametrize(
    ("times", "model", "last", "said"),
    [
        ([0.0, 60.0], "tofts", 100, "at least three phases with known times"),
        ([0.0, 60.0, 120.0], "extended-tofts", 200, "more than 3 phases"),
        ([0.0, 0.0, 0.0, 0.0], "tofts", 100, "not known, or do not rise"),
        ([0.0, 60.0, 120.0, 180.0], "two-compartment", 200, "There is no model"),
        ([0.0, 60.0, 120.0, 600.0], "tofts", 200, "ends .* s before the last phase"),
        ([0.0, 10.0, 20.0, 30.0], "tofts", 200, "No contrast agent reaches the tissue"),
    ],
)
def test_what_cannot_be_fitted_is_said(times, model, last, said):
    with pytest.raises(PharmacoError, match=said):
        fit_curves(np.zeros((len(times), 3)), times, given_input(last), model)
    with pytest.raises(PharmacoError, match="must be above 0"):
        fit_curves(np.zeros((TIMES.size, 3)), TIMES, given_input(), bounds=Bounds(ve=0))
    with pytest.raises(PharmacoError, match="but times of"):
        fit_curves(np.zeros((7, 3)), TIMES, given_input())


class TestAgainstDcmri:
    """The public `dcmri` package (Apache-2.0): high flow (HF) is extended Tofts, weakly vascularised (WV) is Tofts."""

    H = 0.45

    @pytest.fixture
    def dcmri(self):
        return pytest.importorskip("dcmri", reason="dcmri is not installed")

    def test_the_same_curves(self, dcmri):
        ktrans, ve, vp = drawn(50, 7)
        arterial = ArterialInput(TIMES, given_input().at(TIMES), "")
        blood = arterial.plasma_mM * (1 - self.H)
        ours = model_curves(TIMES, arterial, ktrans, ktrans / ve, vp)
        tofts = model_curves(TIMES, arterial, ktrans, ktrans / ve)
        for i in range(50):
            theirs = dcmri.conc_tissue(
                blood, t=TIMES, kinetics="HF", H=self.H, vb=vp[i] / (1 - self.H), vi=ve[i], PS=ktrans[i] / 60
            )
            np.testing.assert_allclose(ours[:, i], theirs, rtol=1e-9, atol=1e-12)
            weak = dcmri.conc_tissue(blood, t=TIMES, kinetics="WV", H=self.H, vi=ve[i], Ktrans=ktrans[i] / 60)
            np.testing.assert_allclose(tofts[:, i], weak, rtol=1e-9, atol=1e-12)

    def test_the_same_parameters_from_signals(self, dcmri):
        from napari_breast_ai.kinetics.pharmaco import SpoiledGradientEcho, concentration, signal_of

        ktrans, ve, vp = drawn(12, 8)
        times = np.arange(0.0, 300.0, 5.0)
        arterial = ArterialInput(times, population_input("parker", 300, 40.0).at(times), "")
        sequence = SpoiledGradientEcho(0.005, 15.0, 4.5)
        tissue = model_curves(times, arterial, ktrans, ktrans / ve, vp)
        signal = signal_of(1 / 1.4 + 4.5 * tissue, 1000.0, sequence.tr_s, sequence.flip_deg)
        found = concentration(signal, 1.4, sequence, baseline=range(8))
        np.testing.assert_allclose(found.mM, tissue, atol=1e-9)
        ours = fit_curves(found.mM, times, arterial)
        theirs = dcmri.TissueArray(
            (12,), kinetics="HF", water_exchange="FF", sequence="SS", ca=arterial.plasma_mM * (1 - self.H), t=times,
            H=self.H, r1=4.5, R10=np.full(12, 1 / 1.4), TR=0.005, FA=15.0, n0=8,
        )  # fmt: skip
        theirs.train(times, signal.T, xtol=1e-12, ftol=1e-12, gtol=1e-12)
        np.testing.assert_allclose(ours.ktrans, 60 * theirs.PS, rtol=1e-3)
        np.testing.assert_allclose(ours.ve, theirs.vi, rtol=1e-3)
        np.testing.assert_allclose(ours.vp, (1 - self.H) * theirs.vb, atol=1e-4)
