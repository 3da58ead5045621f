"""What is kept on disk: found again by content alone, and never in the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import DceVolume, Prediction
from napari_breast_ai.inference import Engine, FeatureCache, KeptFeatures, cache, predict
from napari_breast_ai.models.bundle import Bundle


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many slices each run of a backbone saw."""
    seen: list[int] = []
    plain = Engine.features

    def counted(self: Engine, images: torch.Tensor) -> object:
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Engine, "features", counted)
    return seen


def run(volume: DceVolume, bundle: Bundle, disk: FeatureCache, with_maps: bool = False) -> Prediction:
    """As a window does that opens the case."""
    kept = KeptFeatures(replace(volume), bundle, disk=disk)
    found = predict(kept.volume, bundle, kept=kept, device="cpu", start=2, with_maps=with_maps)
    kept.write()
    return found


def same(a: Prediction, b: Prediction) -> bool:
    return (
        (a.case, a.input, a.window, a.phase, a.warnings) == (b.case, b.input, b.window, b.phase, b.warnings)
        and all(np.array_equal(a.gradcam[one], b.gradcam[one]) for one in a.labels)
        and all(np.array_equal(a.probabilities[one], b.probabilities[one]) for one in a.labels)
        and np.array_equal(a.attention, b.attention)
    )


def test_a_case_that_is_opened_again_costs_no_backbone(
    volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path, runs: list[int]
) -> None:
    bundle = bundles("gated")
    first = run(volume, bundle, FeatureCache(tmp_path))
    assert runs == [1, 4]
    runs.clear()
    assert same(run(volume, bundle, FeatureCache(tmp_path)), first)
    kept = KeptFeatures(volume, bundle, disk=FeatureCache(tmp_path))
    assert same(predict(volume, bundle, kept=kept), first) and not kept.known.any()
    taught = predict(volume, bundle, kept=kept, with_maps=True)
    assert kept.complete and not runs
    np.testing.assert_allclose(taught.attention, first.attention, atol=1e-6)

    names = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    assert len(names) == 6
    assert all(set(Path(name).stem) <= set("0123456789abcdef") for name in names)
    for file in tmp_path.rglob("*.f32"):
        assert volume.identity.study_uid.encode() not in file.read_bytes()


def test_what_differs_is_computed(
    volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path, runs: list[int]
) -> None:
    bundle, disk = bundles("gated"), FeatureCache(tmp_path)
    run(volume, bundle, disk)
    runs.clear()
    data = volume.data.copy()
    data[2, 4, 20, 30] += 1
    changed = replace(volume, data=data)
    assert KeptFeatures(changed, bundle).plan.window == KeptFeatures(volume, bundle).plan.window
    assert (
        predict(changed, bundle).probabilities["lesion"][4]
        != predict(volume, bundle).probabilities["lesion"][4]
    )
    runs.clear()
    run(changed, bundle, disk)
    assert sum(runs) == 4, "the batch of the changed slice"
    runs.clear()
    later = replace(volume, times=replace(volume.times, start_s=(0.0, 1.0, 130.0, 190.0)))
    assert run(later, bundle, disk).phase == 2
    other = replace(
        bundle,
        model=type(bundle.model)(
            bundle.spec, bundle.model.backbone, bundle.model.pooling, torch.nn.Linear(512, 3)
        ),
    )
    runs.clear()
    found = run(volume, other, disk)
    assert not runs, "another head on the same backbone"
    assert not np.array_equal(
        found.probabilities["lesion"], run(volume, bundle, disk).probabilities["lesion"]
    )
    with torch.no_grad():
        weight = next(bundle.model.backbone.parameters())
        weight.add_(0.01)
        try:
            run(volume, bundle, disk)
        finally:
            weight.sub_(0.01)
    assert sum(runs) == 5, "other weights"


@pytest.mark.parametrize("harm", ["torn", "changed", "version", "empty", "gone", "folder"])
def test_a_damaged_file_counts_as_not_there(
    volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path, runs: list[int], harm: str
) -> None:
    bundle = bundles("gated")
    first = run(volume, bundle, FeatureCache(tmp_path))
    for file in list(tmp_path.rglob("*.f32")):
        raw = file.read_bytes()
        if harm == "torn":
            file.write_bytes(raw[:-100])
        elif harm == "changed":
            file.write_bytes(raw[:-4] + b"\x01\x02\x03\x04")
        elif harm == "version":
            file.write_bytes(raw[:15] + b"\x01" + raw[16:])
        elif harm == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
            if harm == "folder":
                file.mkdir()
    runs.clear()
    again = run(volume, bundle, FeatureCache(tmp_path), with_maps=True)
    assert sum(runs) == 5
    np.testing.assert_allclose(again.attention, first.attention, atol=1e-6)
    run(volume, bundle, FeatureCache(tmp_path))


def test_a_record_of_another_kind_is_passed_over(
    volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path, runs: list[int]
) -> None:
    bundle, disk = bundles("gated"), FeatureCache(tmp_path)
    kept = KeptFeatures(volume, bundle, disk=disk)
    for arrays in (
        {"x": np.zeros(3)},
        {"logits": np.zeros((5, 3), np.float32), "gradcam": np.zeros((5, 3, 2, 2), np.float32)},
        {"seen": np.frombuffer(b"[1]", np.uint8), "logits": np.zeros((4, 3))},
    ):
        disk.put_arrays(kept._case_key(), arrays)
        assert KeptFeatures(volume, bundle, disk=disk).recall() is None
    run(volume, bundle, disk)
    assert sum(runs) == 5


def test_without_room_nothing_is_kept(
    volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundles("gated")
    first = run(volume, bundle, FeatureCache(tmp_path / "a"))
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda where: SimpleNamespace(free=1 << 20))
        assert same(run(volume, bundle, FeatureCache(tmp_path / "b")), first)
        assert not (tmp_path / "b").exists()
    (tmp_path / "c").write_text("a file where the folder should be")
    assert same(run(volume, bundle, FeatureCache(tmp_path / "c")), first)

    def fails(*_: object, **__: object) -> None:
        raise OSError("no space left on the device")

    monkeypatch.setattr(cache, "write_whole", fails)
    assert same(run(volume, bundle, FeatureCache(tmp_path / "d")), first)


def test_the_oldest_go_first(volume: DceVolume, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    disk = FeatureCache(tmp_path, limit_bytes=20_000)
    for number in range(8):
        disk.put(f"{number:02}", np.full((10, 10, 10), number, np.float32))
        os.utime(disk._file(f"{number:02}"), (number, number))
    disk.get("00")
    disk.trim()
    assert [number for number in range(8) if disk.has(f"{number:02}")] == [0, 5, 6, 7]
    assert 0 < disk.size() <= 20_000
    assert disk.empty() > 0 and disk.size() == 0


def test_it_can_be_switched_off(
    volume: DceVolume,
    bundles: Callable[[str], Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runs: list[int],
) -> None:
    assert FeatureCache().off, "the tests keep nothing in the folder of whoever runs them"
    monkeypatch.setenv("NAPARI_BREAST_AI_CACHE", str(tmp_path))
    assert not cache.is_off()
    run(volume, bundles("gated"), FeatureCache())
    cache.switch(False)
    assert cache.is_off() and FeatureCache().size() > 0
    runs.clear()
    run(volume, bundles("gated"), FeatureCache())
    assert sum(runs) == 5
    cache.switch(True)
    runs.clear()
    run(volume, bundles("gated"), FeatureCache())
    assert not runs


def test_the_last_gigabyte_of_a_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FeatureCache(tmp_path)
    disk.put("0" * 8, np.zeros((1, 2, 2), np.float32))
    monkeypatch.setattr(shutil, "disk_usage", lambda where: SimpleNamespace(free=cache.LEAST_FREE))
    disk.put("1" * 8, np.zeros((1, 2, 2), np.float32))
    assert disk.has("0" * 8) and not disk.has("1" * 8)
