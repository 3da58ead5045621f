"""Every case of OSIPI's reference data (Apache-2.0), within its published tolerance.

Of the OSIPI code collection: Ktrans (and PS) 0.005 + 10 %, ve 0.05, vp 0.025, concentration 1e-5 + 1e-5, R1 0.05/s
+ 5 %, population input 1e-4 mM + 1 %. Where a narrower one is held it stands in the test.
"""

import numpy as np
import pytest

from napari_breast_ai.kinetics.pharmaco import (
    ArterialInput,
    SpoiledGradientEcho,
    concentration,
    find_delay,
    fit_curves,
    georgiou_blood,
    model_curves,
    parker_blood,
    population_input,
    t1_linear,
    t1_nonlinear,
)
from osipi import cases, curves

TOFTS, EXTENDED = "osipi_models/dce_DRO_data_tofts.csv", "osipi_models/dce_DRO_data_extended_tofts.csv"


def arterial(case):
    return ArterialInput(case["ta"], case["ca"], "of the case")


def within(found, wanted, absolute, relative=0.0):
    return abs(found - wanted) <= absolute + relative * abs(wanted)


@cases(TOFTS, EXTENDED)
def test_tofts_and_extended_tofts(case):
    model = "tofts" if case["table"] == TOFTS else "extended-tofts"
    fit = fit_curves(case["C"], case["t"], arterial(case), model)
    # The relative tolerance of Ktrans is a tenth of the published one, that of vp too.
    assert within(fit.ktrans, case["Ktrans"], 0.005, 0.01)
    assert within(fit.ve, case["ve"], 0.05)
    assert within(fit.vp, case.get("vp", 0.0), 0.0025)
    assert fit.kep == pytest.approx(fit.ktrans / fit.ve)
    assert fit.fitted and not fit.at_bound
    if "highSNR" in case["label"]:
        assert fit.r2 > 0.99999
        assert within(fit.ktrans, case["Ktrans"], 0.0, 0.005)
        assert within(fit.ve, case["ve"], 0.0, 0.005)


@cases(TOFTS, EXTENDED, ending=("highSNR", "_30"))
def test_the_delay_of_a_tissue_that_the_bolus_reaches_later(case):
    """OSIPI shifts the tissue's curve by five points. With noise the delay is known to about a point, no better."""
    model = "tofts" if case["table"] == TOFTS else "extended-tofts"
    shifted = np.concatenate([np.zeros(5), case["C"][:-5]])
    found = find_delay(shifted, case["t"], arterial(case), model)
    assert within(found, case["t"][5], 0.05 if "highSNR" in case["label"] else 1.0)
    fit = fit_curves(shifted, case["t"], arterial(case).delayed(found), model)
    assert within(fit.ktrans, case["Ktrans"], 0.005, 0.1)
    assert within(fit.ve, case["ve"], 0.05)


@cases("osipi_models/patlak_sd_0.02_delay_0.csv", "osipi_models/patlak_sd_0.02_delay_5.csv")
def test_patlak(case):
    given = ArterialInput(case["t"], case["cp_aif"], "of the case").delayed(case["arterial_delay"])
    fit = fit_curves(case["C_t"], case["t"], given, "patlak")
    assert within(fit.ktrans, case["ps"], 0.005, 0.1)
    assert within(fit.vp, case["vp"], 0.0025)


@cases("osipi_si_to_conc/SI2Conc_data.csv")
def test_signal_to_concentration(case):
    sequence = SpoiledGradientEcho(case["TR"], case["FA"], case["r1"])
    baseline = range(1, int(case["numbaselinepts"]))
    found = concentration(case["s"], case["T1base"], sequence, baseline)
    assert found.valid and not found.saturated and not found.negative
    np.testing.assert_allclose(found.mM, case["conc"], rtol=1e-8, atol=1e-8)


T1_TABLES = ("osipi_t1/t1_brain_data.csv", "osipi_t1/t1_quiba_data.csv", "osipi_t1/t1_prostate_data.csv")


def t1_case(case):
    """Angles, TR in seconds, and R1 for the linear and the non-linear fit, in 1/s."""
    if "R1" not in case:
        return case["FA"], case["TR"][0] / 1000, 1000 / case["T1 linear"], 1000 / case["T1 nonlinear"]
    rate = case["R1"] * (1000 if "quiba" in case["table"] else 1)  # that table counts in 1/ms
    return case["FA"], case["TR"][0], rate, rate


@cases(*T1_TABLES)
def test_t1_from_flip_angles(case):
    angles, tr, linear, nonlinear = t1_case(case)
    for fit, wanted in ((t1_linear, linear), (t1_nonlinear, nonlinear)):
        found = fit(case["s"], angles, tr)
        assert found.fitted
        assert within(1 / found.t1_s, wanted, 0.05, 0.05)
    if "T1 nonlinear" in case:  # the same method, to the digits of the table
        assert 1 / found.t1_s == pytest.approx(nonlinear, rel=1e-4)
        assert found.s0 == pytest.approx(case["s0 nonlinear"], rel=1e-4)


@cases(T1_TABLES[-1])
def test_t1_with_a_corrected_flip_angle(case):
    found = t1_nonlinear(case["s"], case["FA"], case["TR"][0] / 1000, b1=case["B1"] / 100)
    assert found.t1_s * 1000 == pytest.approx(case["T1 nonlinear B1cor"], rel=1e-4)


@curves("osipi_aif/ParkerAIF_ref.csv", "osipi_aif/ParkerAIF_ref_with_delay.csv")
def test_the_population_curve_of_parker(case):
    found = parker_blood(case["time"] * 60, float(case["delay"][0]))
    np.testing.assert_allclose(found, case["Cb"], rtol=1e-9, atol=1e-12)


@curves("osipi_aif/GeorgiouAIF_ref.csv")
def test_the_population_curve_of_georgiou(case):
    found = georgiou_blood(case["time"] * 60)
    # Coarser curves of the table are interpolated from its finest one.
    np.testing.assert_allclose(found, case["Cb"], rtol=1e-3, atol=1e-4)


def test_a_population_input_is_plasma_and_fine_enough_for_its_first_pass():
    given = population_input("parker", 300.0, arrival_s=20.0, haematocrit=0.4)
    times = np.arange(0.0, 300.0, 7.0)
    np.testing.assert_allclose(given.at(times), parker_blood(times, 20.0) / 0.6, atol=2e-3)
    fine = ArterialInput(
        np.arange(20.0, 301.0, 0.01), parker_blood(np.arange(20.0, 301.0, 0.01), 20.0) / 0.6, ""
    )
    for kep in (0.1, 2.0):
        near, exact = (model_curves(times, one, 0.3, kep, 0.0) for one in (given, fine))
        assert np.abs(near - exact).max() < 1e-3 * exact.max()
