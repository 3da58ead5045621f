"""A whole run: same result alone and together, cancelled cleanly, at the right place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Box, Cancelled, DceVolume, Prediction
from napari_breast_ai.inference import InferenceError, engine_for, predict, prepare
from napari_breast_ai.inference.write import cell_to_patient
from napari_breast_ai.models import ImageSource, PreparationSpec, load_bundle
from napari_breast_ai.models.bundle import Bundle
from napari_breast_ai.study import read_study


def test_a_prediction_is_complete(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("gated")
    found = predict(volume, bundle, device="cpu")
    assert found.model == bundle.ref
    assert found.slices == (0, 1, 2, 3, 4)
    assert found.labels == ("lesion", "IGM", "NME")
    assert found.image_shape == (40, 64)
    assert found.map_shape == found.attention.shape[1:] == (3, 5)
    assert (found.phase, found.subtracted) == (2, True)
    assert found.warnings[0] == "A warning of the study."
    assert found.input.startswith(
        "The model saw post-contrast phase 2 of 3 (phase 2, 120 s after the start) minus"
    )
    for label in found.labels:
        assert found.gradcam[label].shape == (5, 3, 5)
        assert found.gradcam[label].dtype == found.probabilities[label].dtype == np.float32
        assert found.gradcam[label].min() >= 0
    np.testing.assert_allclose(found.probabilities["IGM"] + found.probabilities["NME"], 1, atol=1e-6)
    images = prepare(volume, bundle.spec.preparation, found.slices).images
    with torch.inference_mode():
        output = bundle.model(images)
    np.testing.assert_allclose(found.probabilities["lesion"], torch.sigmoid(output.logits[:, 0]), atol=1e-6)
    np.testing.assert_allclose(found.attention, output.attention, atol=1e-5)


def test_slices_alone_equal_the_whole(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    whole = predict(volume, bundles("gated"), device="cpu")
    for chosen, batch in (((3,), 8), ((4, 1), 1), ((0, 2, 3), 2)):
        part = predict(volume, bundles("gated"), slices=chosen, batch=batch, device="cpu")
        assert part.slices == tuple(sorted(chosen))
        for label in whole.labels:
            for ours, theirs in (
                (part.probabilities, whole.probabilities),
                (part.gradcam, whole.gradcam),
            ):
                wanted = theirs[label][list(part.slices)]
                np.testing.assert_allclose(ours[label], wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(part.attention, whole.attention[list(part.slices)], atol=1e-5)
        assert part.window == whole.window


def test_cancel_at_every_step(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    calls: list[tuple[int, int]] = []
    engine_for(bundles("gated").model, torch.device("cpu"))  # else its making is told of too
    predict(volume, bundles("gated"), batch=2, progress=lambda d, t, _: calls.append((d, t)), device="cpu")
    assert calls == [(0, 5), (2, 5), (4, 5), (5, 5)]
    for step in range(len(calls)):
        seen = 0

        def stop(done: int, total: int, what: str, step: int = step) -> None:
            nonlocal seen
            if seen == step:
                raise Cancelled
            seen += 1

        with pytest.raises(Cancelled):
            predict(volume, bundles("gated"), batch=2, progress=stop, device="cpu")
    again = predict(volume, bundles("gated"), batch=2, device="cpu")
    assert len(again.slices) == 5


def test_a_model_without_a_gate_says_so(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    bundle = bundles("plain")
    blind = predict(volume, bundle, device="cpu")
    assert blind.attention is None
    assert any("Draw boxes on the lesion" in text for text in blind.warnings)
    assert blind.case.voting_slices == {"diagnosis": (0, 1, 2, 3, 4)}
    boxes = [Box(2, 10, 10, 20, 20, "IGM"), Box(4, 10, 10, 20, 20, "normal tissue")]
    seen = predict(volume, bundle, boxes=boxes, device="cpu")
    assert seen.case.voting_slices == {"diagnosis": (2,)}
    assert seen.case.probabilities["IGM"] == pytest.approx(float(seen.probabilities["IGM"][2]), abs=1e-6)
    assert seen.warnings == ("A warning of the study.",)


def test_bad_wishes_are_refused(volume: DceVolume, bundles: Callable[[str], Bundle]) -> None:
    with pytest.raises(InferenceError, match="No slice was chosen"):
        predict(volume, bundles("plain"), slices=[])
    with pytest.raises(InferenceError, match="no slice 17"):
        predict(volume, bundles("plain"), slices=[17])
    with pytest.raises(InferenceError, match="at least 1"):
        predict(volume, bundles("plain"), batch=0)
    broken = bundles("plain")
    model = type(broken.model)(
        broken.spec, broken.model.backbone, broken.model.pooling, torch.nn.Linear(512, 2)
    )
    torch.nn.init.constant_(model.head.bias, float("nan"))
    with pytest.raises(InferenceError, match="not finite"):
        predict(volume, replace(broken, model=model), slices=[0], device="cpu")


@pytest.mark.parametrize("cell", [(0, 0), (1, 4), (3, 2)])
def test_cells_lie_where_the_image_was_bright(volume: DceVolume, cell: tuple[int, int]) -> None:
    """A bright block of 10 × 8 pixels fills one of 4 × 8 cells of whatever size the network sees."""
    h, w = 4, 8
    rows, columns = volume.geometry.shape[1:]
    data = np.full(volume.data.shape, 100, dtype=np.int16)
    y, x = cell[0] * rows // h, cell[1] * columns // w
    data[1:, :, y : y + rows // h, x : x + columns // w] = 900
    spec = PreparationSpec(ImageSource("phase", "post_index", 1), (64, 96), (0.0, 100.0), "plain")
    bright = replace(volume, data=data)
    images = prepare(bright, spec, [1]).images
    maps = torch.nn.functional.adaptive_avg_pool2d(images[:, 0], (h, w)).numpy()
    assert np.unravel_index(maps[0].argmax(), (h, w)) == cell
    assert maps[0][cell] > 0.85
    whole = Prediction(
        model=None,  # type: ignore[arg-type]
        groups=(),
        slices=(1,),
        probabilities={},
        case=None,  # type: ignore[arg-type]
        attention=None,
        gradcam={"a": maps},
        image_shape=(rows, columns),
    )
    centre = np.array([y + rows / h / 2 - 0.5, x + columns / w / 2 - 0.5])
    np.testing.assert_allclose(whole.cell_to_pixel(*cell), centre)
    patient = cell_to_patient(whole, bright) @ np.array([1, *cell, 1])
    np.testing.assert_allclose(patient[:3], bright.geometry.to_patient([1, *centre]))


def test_a_model_that_knows_phantoms_only_says_so_of_a_person(
    volume: DceVolume, bundles: Callable[[str], Bundle]
) -> None:
    phantoms = replace(bundles("gated"), evaluation={"data": "synthetic phantoms only"})

    def said(synthetic: bool, bundle: Bundle) -> bool:
        seen = replace(volume, identity=replace(volume.identity, synthetic=synthetic))
        found = predict(seen, bundle, slices=[0], device="cpu")
        return any("synthetic phantoms only" in warning for warning in found.warnings)

    assert said(False, phantoms)
    assert not said(True, phantoms)
    assert not said(False, bundles("gated"))


def test_the_shipped_model_on_a_real_slice(data_dir: Path) -> None:
    volume = read_study(data_dir / "breast_dce_invivo" / "dicom")
    found = predict(volume, load_bundle("demo-attention-squeezenet"), device="cpu")
    assert found.slices == (0,)
    # Early, peak and delayed: the phases at 16.43 s steps that start nearest to 60, 120 and 300 s.
    assert found.phase == 7
    assert "phase 4, 66 s" in found.input
    assert "phase 18, 296 s" in found.input
    for maps in (found.attention, *found.gradcam.values()):
        assert maps is not None
        assert maps.shape == (1, *found.map_shape)
        assert np.isfinite(maps).all()
    assert any("synthetic phantoms only" in warning for warning in found.warnings)
