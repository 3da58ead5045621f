"""What the backbone sees is the right phase, at the right place, in the right values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breast_ai.core import DceVolume, Geometry, Identity, PhaseTimes
from napari_breast_ai.inference import (
    InferenceError,
    choose_device,
    grey_slices,
    plan_images,
    prepare,
    to_input,
)
from napari_breast_ai.inference.images import ImageMaker
from napari_breast_ai.inference.resizing import interpolate, resize
from napari_breast_ai.models import ImageSource, PreparationSpec

PLAIN = PreparationSpec(ImageSource("phase", "post_index", 1), (40, 64), (1.0, 99.5), "plain")


def _volume(data: np.ndarray, times: tuple[float, ...], pre_contrast: int = 0) -> DceVolume:
    return DceVolume(
        data,
        Geometry(data.shape[1:], (1.0, 1.0, 1.0), np.eye(4)),
        PhaseTimes(times, ("x",) * len(times)),
        Identity("1"),
        pre_contrast=pre_contrast,
    )


@pytest.mark.parametrize(
    ("source", "pre", "phase"),
    [
        (ImageSource("phase", "post_index", 1), 0, 1),
        (ImageSource("phase", "post_index", 3), 0, 3),
        (ImageSource("phase", "post_index", 1), 2, 3),
        (ImageSource("phase", "nearest_time", 130), 0, 2),
        (ImageSource("phase", "nearest_time", 0), 0, 1),
        (ImageSource("phase", "nearest_time", 1e4), 0, 3),
        (ImageSource("subtraction", "nearest_time", 130), 0, 2),
    ],
)
def test_phase_and_subtraction(source: ImageSource, pre: int, phase: int) -> None:
    """Every phase has its own pattern, so that only the right one gives the right image."""
    rng = np.random.default_rng(0)
    volume = _volume(rng.integers(100, 1000, (4, 2, 40, 64)), (0, 60, 120, 180), pre)
    spec = replace(PLAIN, source=source)
    plan = plan_images(volume, spec)
    assert plan.phase == phase
    wanted = volume.data[phase].astype(np.float64)
    if source.kind == "subtraction":
        wanted = wanted - volume.data[0]
    low, high = plan.window
    prepared = prepare(volume, spec, [0, 1])
    assert prepared.images.shape == (2, 3, 40, 64)
    assert prepared.images.dtype == torch.float32
    for channel in range(3):
        np.testing.assert_allclose(
            prepared.images[:, channel], np.clip((wanted - low) / (high - low), 0, 1), atol=1e-5
        )
    assert f"phase {phase}" in prepared.description
    assert ("minus the pre-contrast phase" in prepared.description) == (source.kind == "subtraction")


def test_what_is_not_there_is_said(volume: DceVolume) -> None:
    far = replace(PLAIN, source=ImageSource("phase", "post_index", 9))
    with pytest.raises(InferenceError, match="needs post-contrast phase 9, and the study has only 3"):
        prepare(volume, far, [0])
    single = _volume(np.ones((1, 2, 40, 64)), (0,))
    for rule in ("post_index", "nearest_time"):
        with pytest.raises(InferenceError, match="needs a phase after the contrast agent"):
            prepare(single, replace(PLAIN, source=ImageSource("phase", rule, 1)), [0])  # type: ignore[arg-type]
    for index in (-1, 5):
        with pytest.raises(InferenceError, match=rf"no slice {index}; its slices are 0 to 4"):
            prepare(volume, PLAIN, [index])


def test_a_slice_looks_the_same_alone_and_among_others(volume: DceVolume) -> None:
    every = prepare(volume, PLAIN, range(5))
    alone = prepare(volume, PLAIN, [3])
    assert torch.equal(every.images[3], alone.images[0])


def test_air_and_hot_voxels_do_not_move_the_window() -> None:
    rng = np.random.default_rng(1)
    tissue = rng.normal(500, 80, (2, 4, 40, 40))

    def window(air: int, hot: bool) -> tuple[float, float]:
        data = rng.rayleigh(4, (2, 4, 40, 40 + air))
        data[..., :40] = tissue
        if hot:
            data[1, 0, 0, 0] = 1e6
        return plan_images(_volume(data, (0, 60)), PLAIN).window

    low, high = np.percentile(tissue[1], (1, 99.5))
    for air, hot in ((0, False), (60, False), (200, False), (60, True)):
        np.testing.assert_allclose(window(air, hot), (low, high), rtol=0.02)


def test_a_subtraction_is_black_from_zero_down() -> None:
    data = np.full((2, 1, 40, 40), 500.0)
    data[1] += np.linspace(-300, 300, 1600).reshape(40, 40)
    plan = plan_images(
        _volume(data, (0, 60)), replace(PLAIN, source=ImageSource("subtraction", "post_index", 1))
    )
    assert plan.window[0] == 0
    grey = grey_slices(_volume(data, (0, 60)), plan, [0])[0, 0]
    assert np.all(grey[:20] == 0)
    assert np.all(np.diff(grey[21:39].ravel()) > 0)


def test_three_channels_are_three_times_in_one_window() -> None:
    rng = np.random.default_rng(5)
    data = rng.integers(100, 200, (6, 2, 40, 64)).astype(np.uint16)
    data[1:] += np.array([300, 500, 450, 400, 350], dtype=np.uint16)[:, None, None, None]
    volume = _volume(data, (0, 60, 120, 180, 240, 300))
    channels = tuple(ImageSource("subtraction", "nearest_time", seconds) for seconds in (60.0, 120.0, 300.0))
    spec = replace(PLAIN, source=channels[1], channels=channels)
    assert not spec.problems()
    prepared = prepare(volume, spec, [1, 0])
    assert prepared.plan.phase == 2
    assert prepared.plan.phases == (1, 2, 5)
    assert prepared.plan.warnings == ()
    low, high = prepared.plan.window
    for channel, phase in enumerate((1, 2, 5)):
        wanted = data[phase, [1, 0]].astype(np.float64) - data[0, [1, 0]]
        np.testing.assert_allclose(
            prepared.images[:, channel], np.clip((wanted - low) / (high - low), 0, 1), atol=1e-5
        )

    assert "phase 1, 60 s" in prepared.description

    short = prepare(_volume(data[:3], (0, 60, 120)), spec, [0])
    assert short.plan.phases == (1, 2, 2)
    assert any("same phase more than once" in warning for warning in short.plan.warnings)


def test_a_change_is_percent_of_the_source_phase_and_grey_in_air() -> None:
    data = np.full((6, 1, 40, 64), 10.0)
    tissue = np.s_[:, :, 5:35]
    data[tissue] = np.array([200, 400, 500, 510, 520, 450], dtype=float)[:, None, None, None]
    data[5, 0, 6] = 650.0
    data[5, 0, 7] = 2000.0
    data[2, 0, 0] = -1.0
    volume = _volume(data, (0, 60, 120, 180, 240, 300))
    peak = ImageSource("subtraction", "nearest_time", 120.0)
    spec = replace(PLAIN, source=peak, channels=(_change(60.0), peak, _change(300.0)))
    assert not spec.problems()
    early, _, late = prepare(volume, spec, [0]).images[0].numpy()
    np.testing.assert_allclose(early[10], 0.5 - 0.5 * 20 / 30, atol=1e-6)
    np.testing.assert_allclose(late[10], 0.5 - 0.5 * 10 / 30, atol=1e-6)
    np.testing.assert_allclose(late[6], 1.0, atol=1e-6)
    np.testing.assert_allclose(late[7], 1.0, atol=1e-6)
    assert np.all(early[:5] == 0.5)
    assert np.all(late[35:] == 0.5)
    description = prepare(volume, spec, [0]).description
    assert "the change of phase 1, 60 s after the start and phase 5, 300 s" in description
    # The scanner's scale does not matter to a change.
    louder = _volume(data * 7, (0, 60, 120, 180, 240, 300))
    np.testing.assert_allclose(prepare(louder, spec, [0]).images[0].numpy()[[0, 2]], [early, late], atol=1e-5)


def _change(seconds: float) -> ImageSource:
    return ImageSource("change", "nearest_time", seconds)


def test_large_volumes_are_sampled_evenly() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(500, 80, (2, 20, 256, 256)).astype(np.float32)
    data[..., ::2] += 200
    window = plan_images(_volume(data, (0, 60)), PLAIN).window
    assert window == plan_images(_volume(data.copy(), (0, 60)), PLAIN).window
    np.testing.assert_allclose(window, np.percentile(data[1], (1, 99.5)), rtol=0.01)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_constant_image_is_black_and_said_so(value: float) -> None:
    volume = _volume(np.full((2, 1, 40, 64), value, dtype=np.float32), (0, 60))
    prepared = prepare(volume, PLAIN, [0])
    assert torch.equal(prepared.images, torch.zeros_like(prepared.images))
    assert prepared.plan.warnings == ("The image that the model saw has the same value everywhere.",)


def test_modes_are_those_of_the_weights() -> None:
    grey = torch.rand(2, 1, 40, 64)
    caffe = to_input(grey, replace(PLAIN, mode="caffe"))
    for channel, mean in enumerate((104, 117, 123)):
        torch.testing.assert_close(caffe[:, channel], grey[:, 0] * 255 - mean)
    from napari_breast_ai.models import import_torchvision

    import_torchvision()
    from torchvision.transforms.functional import normalize

    wanted = normalize(grey.expand(-1, 3, -1, -1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(to_input(grey, replace(PLAIN, mode="torchvision")), wanted)
    assert torch.equal(to_input(grey, PLAIN), grey.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("size", [(80, 128), (50, 90)])
def test_resizing_keeps_places(size: tuple[int, int]) -> None:
    """An image whose values are its coordinates shows where each new pixel lies: (i + 0.5) · rows / H − 0.5."""
    rows, columns = 40, 64
    for axis, (old, new) in enumerate(zip((rows, columns), size, strict=True)):
        ramp = torch.arange(old, dtype=torch.float32)
        grey = (ramp[:, None].expand(rows, columns) if axis == 0 else ramp.expand(rows, columns))[None, None]
        found = to_input(grey, replace(PLAIN, size=size))[0, 0]
        line = found[:, 0] if axis == 0 else found[0]
        wanted = (torch.arange(new) + 0.5) * old / new - 0.5
        torch.testing.assert_close(line[4:-4], wanted[4:-4], atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 320, 320), (1, 1, 201, 333), (1, 2, 33, 40), (3, 1, 227, 90)])
@pytest.mark.parametrize("size", [(227, 227), (240, 345), (32, 90)])
def test_resizing_is_torchs(shape: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    torch.manual_seed(3)
    images = torch.rand(shape) - 0.3
    torch.testing.assert_close(resize(images, size), interpolate(images, size), rtol=0, atol=3e-7)
    doubled = images.double()
    assert torch.equal(resize(doubled, size), interpolate(doubled, size))


@pytest.mark.parametrize("mode", ["caffe", "torchvision", "plain"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_images_are_the_grey_slices_resized_and_in_the_mode(mode: str, dtype: type) -> None:
    """Both ways from pixels to images agree, whatever the layout in memory, with values that are no numbers too."""
    rng = np.random.default_rng(4)
    data = rng.integers(0, 900, (4, 3, 50, 70)).astype(dtype)
    if dtype is np.float32:
        data[2, 1, 3, 4:8] = np.nan, np.inf, -np.inf, np.nan
        data[1, 1, 9, 4:8] = np.nan, np.inf, -np.inf, np.nan
        data[0, 2, 5:9, 6] = np.inf
    volume = _volume(data, (0, 60, 120, 300))
    change, uptake = (ImageSource(kind, "nearest_time", 120) for kind in ("change", "subtraction"))
    early = replace(change, value=60.0)
    for source, channels in ((uptake, (early, uptake, change)), (uptake, None), (PLAIN.source, None)):
        spec = replace(PLAIN, source=source, channels=channels, mode=mode)
        plan = plan_images(volume, spec)
        grey = torch.from_numpy(grey_slices(volume, plan, [2, 0, 1]))
        assert float(grey.min()) >= 0 and float(grey.max()) <= 1
        wanted = interpolate(grey, spec.size).expand(-1, 3, -1, -1)
        if mode == "caffe":
            wanted = wanted * 255 - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
        elif mode == "torchvision":
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            wanted = (wanted - mean[:, None, None]) / std[:, None, None]
        atol = 1e-3 if mode == "caffe" else 1e-5
        torch.testing.assert_close(to_input(grey, spec), wanted, rtol=0, atol=atol)
        for layout in (torch.channels_last, torch.contiguous_format):
            for count in (1, 2, 3):
                maker = ImageMaker(volume, plan, threads=count)
                images = maker([2, 0, 1], layout)
                torch.testing.assert_close(images, wanted, rtol=0, atol=atol)
                assert images.is_contiguous(memory_format=layout)
                # Alone, its channels are shared out.
                assert torch.equal(maker([0], layout), images[1:2]) and maker([]).shape == (
                    0,
                    *images.shape[1:],
                )


def test_devices() -> None:
    assert choose_device().type in ("cpu", "cuda", "mps")
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InferenceError, match="'abacus' is unknown"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InferenceError, match="'cuda' is not available"):
            choose_device("cuda")


def test_a_picture_is_seen_as_it_is_and_never_taken_for_a_dynamic_study(phantom_factory, tmp_path):
    from PIL import Image

    from napari_breast_ai.study import read_study

    spec = PreparationSpec(ImageSource("picture"), (64, 64), (0, 100), "plain")
    grey = np.tile(np.arange(100, 228, dtype=np.uint8), (128, 1))
    Image.fromarray(grey).save(tmp_path / "p.png")
    picture = read_study(tmp_path / "p.png")
    prepared = prepare(picture, spec, [0])
    assert "the picture itself" in prepared.description
    assert not prepared.plan.subtracted
    row = prepared.images[0, 0, 32].numpy()
    assert (np.diff(row) > 0).all() and row[0] < 0.02 and row[-1] > 0.98
    with pytest.raises(InferenceError, match="made for single pictures"):
        prepare(phantom_factory().volume, spec, [0])
    assert PreparationSpec(ImageSource("picture"), channels=(ImageSource("picture"),) * 3).problems()
