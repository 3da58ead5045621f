"""Feature maps that stay in memory: the same answers, and the backbone runs once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import DceVolume
from napari_breast_ai.inference import Engine, InferenceError, KeptFeatures, predict
from napari_breast_ai.models.bundle import Bundle


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many slices each run of a backbone saw."""
    seen: list[int] = []
    plain = Engine.features

    def counted(self: Engine, images: object) -> object:
        seen.append(len(images))  # type: ignore[arg-type]
        return plain(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "features", counted)
    return seen


def test_the_backbone_runs_once(volume: DceVolume, bundles: Callable[[str], Bundle], runs: list[int]) -> None:
    bundle = bundles("gated")
    plain = predict(volume, bundle, device="cpu")
    kept = KeptFeatures(volume, bundle)
    runs.clear()
    predict(volume, bundle, slices=[2, 3], kept=kept, device="cpu")
    assert list(kept.known) == [False, False, True, True, False] and not kept.complete
    first = predict(volume, bundle, kept=kept, device="cpu")
    assert kept.complete and runs == [2, 5]
    again = predict(volume, bundle, kept=kept, device="cpu")
    assert runs == [2, 5]
    for label in plain.labels:
        np.testing.assert_allclose(first.probabilities[label], again.probabilities[label], rtol=1e-6)
        np.testing.assert_allclose(plain.gradcam[label], again.gradcam[label], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(plain.attention, again.attention, atol=1e-6)


def test_what_is_too_large_is_not_kept(
    volume: DceVolume, bundles: Callable[[str], Bundle], runs: list[int]
) -> None:
    bundle = bundles("gated")
    kept = KeptFeatures(volume, bundle, limit_bytes=1000)
    predict(volume, bundle, kept=kept, device="cpu")
    assert not kept.known.any() and kept.get([0]) is None
    with pytest.raises(LookupError):
        _ = kept.maps
    predict(volume, bundle, kept=kept, device="cpu")
    assert runs == [5] and kept.too_large, "what the model said is known"
    predict(volume, bundle, kept=kept, device="cpu", with_maps=True)
    assert runs == [5, 5]
    assert kept.taken == 0 and kept.needs > kept.limit == 1000


def test_what_it_takes_is_told(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("gated")
    kept = KeptFeatures(volume, bundle)
    assert kept.taken == kept.needs == 0
    predict(volume, bundle, slices=[1, 3], kept=kept, device="cpu")
    whole = sum(kept.get([z]).nbytes for z in (1, 3)) // 2 * volume.n_slices
    assert (kept.taken, kept.needs) == (whole * 2 // volume.n_slices, whole)
    assert kept.maps.nbytes == kept.taken == whole <= kept.limit


def test_maps_of_another_study_are_refused(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("gated")
    kept = KeptFeatures(volume, bundle)
    with pytest.raises(InferenceError, match="another study"):
        predict(replace(volume, warnings=()), bundle, kept=kept, device="cpu")


def test_two_threads_lose_nothing(
    volume: DceVolume, bundles: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptFeatures(volume, bundles("gated"))
    other = threading.Thread(target=lambda: kept.put([1], torch.full((1, 2, 3, 3), 7.0)))
    plain = torch.zeros

    def slow(*shape: int) -> torch.Tensor:
        if threading.current_thread() is not other and not other.is_alive():
            other.start()
            other.join(0.3)
        return plain(*shape)

    monkeypatch.setattr(torch, "zeros", slow)
    kept.put([0], torch.full((1, 2, 3, 3), 5.0))
    assert float(kept.maps[0].mean()) == 5.0
    other.join()
    assert kept.known[:2].all()
    assert [float(kept.maps[z].mean()) for z in (0, 1)] == [5.0, 7.0]
