"""Faster engines beside torch: taken when they say the same, left with a sentence when they do not."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breast_ai.core import Cancelled, DceVolume, Prediction
from napari_breast_ai.inference import (
    FeatureCache,
    InferenceError,
    choose_engine,
    engine,
    make_images,
    plan_images,
    predict,
    runners,
)
from napari_breast_ai.models import RECIPES, Composition, build, load_bundle
from napari_breast_ai.models.bundle import Bundle

CPU = torch.device("cpu")


class Fake:
    """An engine that is torch with an error of its own."""

    name, precision = "Fake 1.0", "float32"
    layout, alone = torch.contiguous_format, True
    off, per_image = 0.0, True

    def __init__(self, model: Composition, folded: torch.nn.Module) -> None:
        self.folded, self.seen = folded, []
        type(self).made.append(self)

    made: list[Fake]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        if not self.per_image and len(images) == 1:
            raise RuntimeError("a batch of 2 was baked in")
        with torch.no_grad():
            found = self.folded(images)
        return found + self.off * found.abs().max()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    """The only engine that is installed."""
    kind = type("Fake", (Fake,), {"made": []})
    monkeypatch.setattr(runners, "FAST", {"fake": ("fake", kind)})
    monkeypatch.setattr(engine, "FAST", {"fake": ("fake", kind)})
    monkeypatch.setattr(engine, "installed", lambda: ("fake",))
    monkeypatch.setattr(engine, "WORTHWHILE", 3)
    monkeypatch.setattr("napari_breast_ai.inference.prediction.WORTHWHILE", 3)
    # Which is the fastest here is no matter of these tests.
    monkeypatch.setattr(engine, "fastest", lambda runners, images: runners[-1])
    engine._engines.clear()
    return kind


def test_one_that_agrees_is_taken(
    volume: DceVolume, bundles: Callable[[str], Bundle], fake: type[Fake]
) -> None:
    bundle = bundles("gated")
    plain = predict(volume, bundle, device="cpu", engine="torch")
    assert not fake.made and "Features computed by torch" in plain.input
    seen: list[Prediction] = []
    found = predict(volume, bundle, device="cpu", start=4, batch=2, partial=lambda make: seen.append(make()))
    (one,) = fake.made
    assert one.seen[:2] == [4, 1], "the probe, and one image of it alone"
    assert one.seen[2:] == [1, 2, 2], "every slice by the same engine"
    assert "Features computed by Fake 1.0, float32." in found.input
    assert [part.slices for part in seen] == [(4,), (4,), (2, 3, 4)], "torch shows the slice in view at once"
    np.testing.assert_allclose(found.attention, plain.attention, atol=1e-5)
    predict(volume, bundle, device="cpu")
    assert len(fake.made) == 1, "chosen once"
    predict(volume, bundle, device="cpu", slices=[1])
    assert one.seen[-1] == 1, "one that is ready serves single slices too"


def test_a_few_slices_are_not_worth_getting_one_ready(
    volume: DceVolume, bundles: Callable[[str], Bundle], fake: type[Fake]
) -> None:
    assert "by torch" in predict(volume, bundles("gated"), device="cpu", slices=[1, 2]).input
    assert not fake.made


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"off": 0.002}, "gives other features than torch .off by 0.002"),
        ({"off": float("nan")}, "gives other features than torch"),
        ({"per_image": False}, "cannot run this model .RuntimeError: a batch of 2 was baked in"),
        ({"__init__": lambda *_: 1 / 0}, "cannot run this model .ZeroDivisionError"),
    ],
)
def test_one_that_does_not_is_left_with_a_sentence(
    volume: DceVolume, bundles: Callable[[str], Bundle], fake: type[Fake], fault: dict[str, object], said: str
) -> None:
    for name, value in fault.items():
        setattr(fake, name, value)
    bundle = bundles("gated")
    found = predict(volume, bundle, device="cpu")
    assert "Features computed by torch" in found.input and re.search(said, found.input)
    plain = predict(volume, bundle, device="cpu", engine="torch")
    np.testing.assert_array_equal(found.attention, plain.attention)
    assert len(fake.made) <= 1, "not tried again"


def test_wishes_that_cannot_be_met(
    volume: DceVolume, bundles: Callable[[str], Bundle], fake: type[Fake]
) -> None:
    bundle = bundles("gated")
    with pytest.raises(InferenceError, match=r"no engine “abacus”\. Use auto, torch, fake"):
        predict(volume, bundle, device="cpu", engine="abacus")
    with pytest.raises(InferenceError, match="runs on the CPU only"):
        choose_engine(bundle.model, torch.device("meta"), lambda: torch.zeros(1), "fake")
    engine.FAST["absent"] = ("extra", fake)
    with pytest.raises(InferenceError, match=r"pip install “napari-breast-ai.extra.”"):
        predict(volume, bundle, device="cpu", engine="absent")


def test_the_fastest_is_taken_and_torch_may_be_it(
    volume: DceVolume,
    bundles: Callable[[str], Bundle],
    fake: type[Fake],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = bundles("gated")
    monkeypatch.setattr(engine, "fastest", lambda runners, images: runners[0])
    found = predict(volume, bundle, device="cpu")
    assert "Features computed by torch" in found.input
    assert "Fake 1.0 would be no faster than torch" in found.input
    asked = predict(volume, bundle, device="cpu", engine="fake")
    assert "Features computed by Fake 1.0" in asked.input, "who asks for one gets it"


def test_each_is_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clocked:
        alone = False

        def __init__(self, *seconds: float) -> None:
            self.seconds = list(seconds)

        def features(self, images: torch.Tensor) -> torch.Tensor:
            now[0] += self.seconds.pop(0)
            return images

    now = [0.0]
    monkeypatch.setattr(engine.time, "perf_counter", lambda: now[0])
    runners = [Clocked(1.0, 1.0, 1.0), Clocked(9.0, 0.5, 9.0), Clocked(0.7, 0.7, 0.7)]
    assert engine.fastest(runners, torch.zeros(1)) is runners[1], "the best of three"
    assert not any(one.seconds for one in runners)


MODELS = ["demo-attention-squeezenet", "attention-resnet50", "attention-mobilenet-v3"]


def model_of(name: str) -> Composition:
    if name.startswith("demo"):
        return load_bundle(name).model
    torch.manual_seed(0)
    spec = RECIPES[name]
    return build(replace(spec, preparation=replace(spec.preparation, size=(96, 160))))


@pytest.mark.parametrize("name", sorted(runners.FAST))
@pytest.mark.parametrize("model_name", MODELS)
def test_installed_engines_agree_with_torch(
    volume: DceVolume, name: str, model_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name, reason=f"the extra with {name} is not installed")
    monkeypatch.setenv("NAPARI_BREAST_AI_CACHE", str(tmp_path))
    model = model_of(model_name)
    images = make_images(volume, plan_images(volume, model.spec.preparation), range(5))
    found, said = choose_engine(model, CPU, lambda: images[:3], name)
    assert not said and found.runner.name.split()[0].lower() in ("openvino", "onnx")
    wanted = engine.engine_for(model, CPU).features(images)
    for count in (1, 5):
        off = (found.features(images[:count]) - wanted[:count]).abs().max() / wanted.abs().max()
        assert float(off) <= engine.AGREE
    assert torch.isfinite(found.explain(found.features(images)).gradcam).all()

    (file,) = tmp_path.rglob("*.f32")
    kind = runners.FAST[name][1]
    again = kind(model, torch.nn.Identity())  # an identity could not be exported to this
    torch.testing.assert_close(again.features(images), found.features(images), rtol=1e-4, atol=1e-4)
    if model_name != MODELS[0]:
        return
    file.write_bytes(file.read_bytes()[:-9])
    kind(model, engine.fold_batch_norms(model.backbone))
    assert FeatureCache().get_arrays(file.stem) is not None, "made anew"


@pytest.mark.parametrize("wish", ["fake", "nonsense"])
def test_a_wish_that_another_device_cannot_fulfil_is_said(
    volume: DceVolume, bundles: Callable[[str], Bundle], fake: type[Fake], wish: str
) -> None:
    model, elsewhere = bundles("plain").model, torch.device("meta")
    assert engine.chosen_engine(model, elsewhere, wish) is None, "torch is not what was asked for"
    with pytest.raises(InferenceError, match=r"runs on the CPU only|There is no engine “nonsense”"):
        choose_engine(model, elsewhere, lambda: torch.zeros(1), wish)
    auto = engine.chosen_engine(model, elsewhere)
    assert auto is not None and auto[0].device == elsewhere


def test_who_waits_for_an_engine_can_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; it is made to its end and kept, once for all who want it, and a failure reaches the one who waits."""
    model = load_bundle("demo-attention-squeezenet").model
    made, asked = threading.Event(), []

    def slowly(_: Composition, plain: object, images: torch.Tensor, names: object, measure: bool) -> object:
        asked.append(len(images))
        assert made.wait(60)
        return plain, "Made slowly."

    monkeypatch.setattr(engine, "installed", lambda: ("slow",))
    monkeypatch.setattr(engine, "_choose", slowly)

    def stop(done: int, total: int, what: str) -> None:
        if asked:
            raise Cancelled

    for _ in range(2):
        with pytest.raises(Cancelled):
            choose_engine(model, CPU, lambda: torch.zeros(2, 3, 32, 32), progress=stop)
    made.set()
    told: list[str] = []
    found = choose_engine(
        model, CPU, lambda: torch.zeros(2, 3, 32, 32), progress=lambda *said: told.append(said[2])
    )
    assert found[1] == "Made slowly." and asked == [2] and set(told) <= {engine.MAKING}
    assert engine.chosen_engine(model, CPU) == found

    def fail() -> torch.Tensor:
        raise ValueError("no images")

    with pytest.raises(ValueError, match="no images"):
        choose_engine(load_bundle("demo-attention-squeezenet").model, CPU, fail, progress=lambda *_: None)
