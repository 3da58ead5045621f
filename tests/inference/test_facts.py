"""The numbers of a study that are held against a model's training ranges."""

from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import PhaseTimes
from napari_breast_ai.inference import plan_images
from napari_breast_ai.inference.facts import study_facts
from napari_breast_ai.models import ImageSource, PreparationSpec
from napari_breast_ai.phantom import PhantomSpec, make_phantom
from napari_breast_ai.phantom.view import one_breast

SPEC = PreparationSpec(ImageSource("phase", "post_index", 2), (64, 64))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomSpec("igm", 3, (6, 96, 96), n_phases=4, interval_s=70.0))


def test_geometry_times_and_side(phantom):
    found = study_facts(phantom.volume, plan_images(phantom.volume, SPEC))
    assert (found.kind, found.orientation, found.side) == ("phase", "axial", "both")
    assert found.spacing_mm == phantom.volume.geometry.spacing and found.shape == (6, 96, 96)
    assert (found.phases, found.seen_after_s, found.interval_s) == (4, 140.0, 70.0)
    assert found.synthetic
    part = one_breast(phantom)
    side = "left" if phantom.truth.traits.side > 0 else "right"
    assert study_facts(part.volume, plan_images(part.volume, SPEC)).side == side


def test_intensities_do_not_depend_on_the_unit_but_on_contrast_and_fat(phantom):
    volume = phantom.volume
    found = study_facts(volume, plan_images(volume, SPEC))
    assert list(found.grey) == sorted(found.grey) and 0 < found.grey[0] < 1
    assert found.enhancement[-1] > 30 and found.enhancement[2] > -5
    other = replace(volume, data=(volume.data.astype(np.float32) * 0.37))
    scaled = study_facts(other, plan_images(other, SPEC))
    assert scaled.grey == pytest.approx(found.grey, abs=1e-3)
    assert scaled.enhancement == pytest.approx(found.enhancement, abs=0.5)
    # The phases the wrong way round: what enhances seems to fade.
    turned = replace(volume, data=np.ascontiguousarray(volume.data[::-1]))
    assert study_facts(turned, plan_images(turned, SPEC)).enhancement[2] < found.enhancement[2]
    fat = phantom.truth.tissue == 2
    bright = volume.data.astype(np.float32)
    bright[:, fat] *= 4
    unsuppressed = replace(volume, data=bright)
    assert study_facts(unsuppressed, plan_images(unsuppressed, SPEC)).grey[2] > 1.3 * found.grey[2]


def test_a_picture_has_neither_times_nor_side():
    volume = make_phantom(PhantomSpec("nme", 1, (1, 64, 64), n_phases=2)).volume
    picture = replace(volume, data=volume.data[1:], times=PhaseTimes((0.0,), ("unknown",)), frames=())
    spec = replace(SPEC, source=ImageSource("picture"))
    found = study_facts(picture, plan_images(picture, spec))
    assert (found.kind, found.side, found.seen_after_s, found.enhancement) == ("picture", "unknown", 0.0, ())
