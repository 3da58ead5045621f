"""Phantoms: what is read from a noisy study against the study without noise, which is the truth.

The margin of noise: a voxel may get another class than the truth only where the truth lies within four standard
deviations of a threshold. With noise of standard deviation s in every phase these are, in per cent,
100 s / S0 · √(1 + (S1 / S0)²) for the initial enhancement and 100 s / S1 · √(1 + (Sd / S1)²) for the delayed course.
"""

from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.kinetics import (
    COURSES,
    Thresholds,
    area_of_mask,
    choose_phases,
    grow,
    kinetic_maps,
    lesion_kinetics,
)
from napari_breast_ai.phantom import PhantomSpec, make_phantom

SIGMAS = 4.0
CASES = [("igm", 2), ("nme", 2), ("nme", 5), ("igm", 5)]


def pair(kind, seed, noise):
    """The same woman with noise and without."""
    spec = PhantomSpec(kind, seed, (10, 112, 112), n_phases=8, motion_mm=0, noise=noise)
    noisy, clean = make_phantom(spec), make_phantom(replace(spec, noise=0.0))
    return noisy, clean


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def both(request):
    return pair(*request.param, noise=0.01)


def definitions(clean, choice, t=None):
    """Initial enhancement, delayed course and code of every voxel of the truth, in double precision."""
    t = t or Thresholds()
    s0, s1, sd = (clean.volume.data[p].astype(float) for p in (choice.pre, choice.early, choice.late))
    with np.errstate(divide="ignore", invalid="ignore"):
        initial, delayed = 100 * (s1 - s0) / s0, 100 * (sd - s1) / s1
    speed = np.where(initial < t.medium, 0, np.where(initial > t.fast, 2, 1))
    course = np.where(delayed > t.course, 0, np.where(delayed < -t.course, 2, 1))
    return initial, delayed, np.where(initial >= t.shown, 1 + 3 * course + speed, 0)


def margin(noisy, clean, choice, initial, delayed, t=None):
    """Voxels whose truth lies so near a threshold that noise may decide, and the noise in the scanner's units."""
    t = t or Thresholds()
    tissue = clean.volume.data[0] > 500
    noise = noisy.volume.data.astype(float) - clean.volume.data
    sigma = float(noise[:, tissue].std())
    s0, s1, sd = (clean.volume.data[p].astype(float) for p in (choice.pre, choice.early, choice.late))
    with np.errstate(divide="ignore", invalid="ignore"):
        of_initial = SIGMAS * 100 * sigma / s0 * np.sqrt(1 + (s1 / s0) ** 2)
        of_delayed = SIGMAS * 100 * sigma / s1 * np.sqrt(1 + (sd / s1) ** 2)
    near = np.zeros(s0.shape, bool)
    for threshold in (t.shown, t.medium, t.fast):
        near |= np.abs(initial - threshold) <= of_initial
    shown = initial >= t.shown
    for threshold in (t.course, -t.course):
        near |= shown & (np.abs(delayed - threshold) <= of_delayed)
    return near, sigma


def test_each_class_is_the_true_one_outside_the_margin(both):
    noisy, clean = both
    choice = choose_phases(noisy.volume)
    maps = kinetic_maps(noisy.volume, choice)
    initial, delayed, truth = definitions(clean, choice)
    near, sigma = margin(noisy, clean, choice, initial, delayed)
    # The stated noise holds where the signal is well above it, as in all that counts here.
    inside = maps.tissue() & (clean.volume.data[choice.pre] > 8 * sigma)
    sure = inside & ~near
    codes = maps.classes(slice(None), Thresholds())
    assert sure[clean.truth.lesion].mean() > 0.3
    assert len(np.unique(truth[sure & clean.truth.lesion])) > 1
    wrong = sure & (codes != truth)
    # Four standard deviations leave 6 of 100,000 on a side.
    assert wrong.sum() <= 2e-4 * sure.sum()
    assert not (wrong & clean.truth.lesion).any()


def test_volumes_and_the_worst_curve_are_the_true_ones(both):
    noisy, clean = both
    choice = choose_phases(noisy.volume)
    maps = kinetic_maps(noisy.volume, choice)
    initial, delayed, truth = definitions(clean, choice)
    near, _ = margin(noisy, clean, choice, initial, delayed)
    area = area_of_mask(clean.truth.lesion)
    row = lesion_kinetics(maps, area, fewest=3)
    lesion = clean.truth.lesion
    unit = float(np.prod(noisy.volume.geometry.spacing)) / 1000
    assert row.volume_ml == pytest.approx(lesion.sum() * unit)
    unsure = (near & lesion).sum()
    assert unsure < lesion.sum()
    assert abs(row.enhancing_ml - (truth[lesion] > 0).sum() * unit) <= unsure * unit
    for k, course in enumerate(COURSES):
        wanted = ((truth[lesion] - 1) // 3 == k) & (truth[lesion] > 0)
        got = row.course_percent[course] / 100 * row.enhancing_ml
        assert abs(got - wanted.sum() * unit) <= unsure * unit + 1e-9
    counts = [(((truth[lesion] - 1) // 3 == k) & (truth[lesion] > 0)).sum() for k in range(3)]
    worst = max(k for k in range(3) if counts[k] >= 3)
    assert row.worst == COURSES[worst]


def test_without_noise_all_is_exact(both):
    _, clean = both
    choice = choose_phases(clean.volume)
    maps = kinetic_maps(clean.volume, choice)
    _, _, truth = definitions(clean, choice)
    codes = maps.classes(slice(None), Thresholds())
    inside = maps.tissue()
    assert (codes[inside] == truth[inside]).mean() > 0.99999  # quotients on a threshold may round
    assert not codes[~inside].any()


@pytest.mark.parametrize(("kind", "seed"), [("igm", 2), ("nme", 2), ("nme", 5)])
def test_a_grown_region_is_most_of_the_lesion(kind, seed):
    """With the noise and motion of a study as it is made by default."""
    phantom = make_phantom(PhantomSpec(kind, seed, (16, 160, 160)))
    maps = kinetic_maps(phantom.volume)
    region = grow(maps, phantom.truth.boxes)[0].whole(maps.geometry.shape)
    lesion = phantom.truth.lesion
    dice = 2 * (region & lesion).sum() / (region.sum() + lesion.sum())
    assert dice > 0.6
