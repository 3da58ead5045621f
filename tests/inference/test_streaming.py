"""The slice in view first, then outwards: the same answer, and what there is on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from napari_breast_ai.core import Cancelled, DceVolume, Prediction
from napari_breast_ai.inference import InferenceError, KeptFeatures, predict
from napari_breast_ai.inference.streaming import batches
from napari_breast_ai.models import PreparationSpec
from napari_breast_ai.models.bundle import Bundle


def test_the_order_begins_at_the_view() -> None:
    assert batches(range(7), 2, 4) == [(4,), (3, 5), (2, 6), (1, 0)]
    assert batches((1, 5, 9), 2, 6) == [(5,), (9, 1)], "the view itself need not be among them"
    assert batches((3, 1, 2), 2) == [(1, 2), (3,)]
    for start in (None, 0, 3, 6, 40):
        assert sorted(z for part in batches(range(7), 3, start) for z in part) == list(range(7))


@pytest.mark.parametrize("start", [0, 2, 4])
def test_the_result_is_that_without_streaming(
    volume: DceVolume, bundles: Callable[[str], Bundle], start: int
) -> None:
    bundle = bundles("gated")
    plain = predict(volume, bundle, device="cpu")
    seen: list[Prediction] = []
    found = predict(
        volume, bundle, device="cpu", batch=2, start=start, partial=lambda make: seen.append(make())
    )
    assert found.slices == plain.slices == (0, 1, 2, 3, 4) and found.pending == 0
    assert found.case.rule == plain.case.rule and found.input == plain.input
    for label in plain.labels:
        np.testing.assert_allclose(
            found.probabilities[label], plain.probabilities[label], rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(found.gradcam[label], plain.gradcam[label], rtol=1e-4, atol=1e-6)
        assert (found.case.probabilities[label] is None) == (plain.case.probabilities[label] is None)
        theirs = plain.case.probabilities[label] or 0.0
        assert (found.case.probabilities[label] or 0.0) == pytest.approx(theirs, rel=1e-5)
    np.testing.assert_allclose(found.attention, plain.attention, atol=1e-6)

    assert [part.pending for part in seen] == [4, 2], "the last batch makes the whole, not a part"
    assert seen[0].slices == (start,)
    for part in seen:
        assert set(part.case.probabilities.values()) == {None}, "the slices to come may change them"
        assert f"{len(part.slices)} of 5 slices" in part.case.rule
        assert part.slices == tuple(sorted(part.slices))
        for label in plain.labels:
            rows = list(part.slices)
            np.testing.assert_array_equal(part.probabilities[label], found.probabilities[label][rows])
            np.testing.assert_array_equal(part.gradcam[label], found.gradcam[label][rows])


def test_a_stop_keeps_what_was_computed(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("plain")
    kept = KeptFeatures(volume, bundle)

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict(volume, bundle, device="cpu", batch=2, start=2, kept=kept, progress=stop)
    assert list(kept.known) == [False, True, True, True, False]


def test_too_few_phases_are_refused_before_anything_is_computed(
    volume: DceVolume, bundles: Callable[[str], Bundle]
) -> None:
    bundle = bundles("gated")
    late = PreparationSpec(replace(bundle.spec.preparation.source, rule="post_index", value=7), (64, 96))
    asking = replace(bundle, spec=replace(bundle.spec, preparation=late))
    seen: list[object] = []
    with pytest.raises(InferenceError, match="post-contrast phase 7, and the study has only 3"):
        predict(volume, asking, kept=KeptFeatures(volume, asking), partial=seen.append)
    assert not seen
