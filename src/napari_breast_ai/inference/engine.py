"""The backbone, run once per slice as fast as the machine allows."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..core import Progress, silent
from ..models import Composition
from .aside import made_aside
from .device import choose_device
from .errors import InferenceError
from .explanation import Explained, explain
from .runners import FAST, Runner, TorchRunner, installed
from .threads import one_thread
from .tracing import trace

AGREE = 1e-3
"""How far a faster engine's features may be from torch's, as a part of the largest of torch's on the same images."""

BATCH = 8
"""Slices that a run asks for at a time, unless it is told otherwise."""

WORTHWHILE = 16
"""Slices from which on it pays to get a faster engine ready, which takes a second or more."""


class Engine:
    """A model ready to run on one device: batch norms folded into convolutions, channels last, no gradients.

    The model that it was made from is not touched.

    Attributes:
        device: where torch runs.
        runner: what the backbone runs on.
    """

    def __init__(self, model: Composition, device: torch.device, runner: Runner | None = None) -> None:
        self.device = device
        self.runner = runner or TorchRunner(fold_batch_norms(model.backbone), device)
        self._pooling = copy.deepcopy(model.pooling).eval().requires_grad_(False).to(device)
        self._head = copy.deepcopy(model.head).eval().requires_grad_(False).to(device)

    def features(self, images: Tensor) -> Tensor:
        """Images float32 (n, 3, H, W) to feature maps (n, C, h, w) on the device."""
        return self.runner.features(images)

    def explain(self, features: Tensor) -> Explained:
        """Scores, attention and Grad-CAM of every class from the feature maps (n, C, h, w) of `features`."""
        return explain(features, self._pooling, self._head)


@dataclass
class Engines:
    """The engines of a model in a state of its weights.

    Attributes:
        state: the device, and the state.
        torch: torch's.
        fast: the one that was chosen, and a sentence about the choice, by the wish it was chosen for.
    """

    state: object
    torch: Engine
    fast: dict[str, tuple[Engine, str]] = field(default_factory=dict)

    def chosen(self, wish: str) -> tuple[Engine, str] | None:
        """The engine that was chosen, and a sentence about the choice; None while none has been."""
        if wish == "torch" or (wish == AUTO and (self.torch.device.type != "cpu" or not installed())):
            return self.torch, ""
        return self.fast.get(wish)


_engines: WeakKeyDictionary[Composition, Engines] = WeakKeyDictionary()
# Two threads that want the same engine make it once. Who wants torch's does not wait for a faster one that is made.
_lock, _choosing = threading.Lock(), threading.Lock()

AUTO = "auto"
MAKING = "Getting the engine ready"


def engine_for(model: Composition, device: torch.device, progress: Progress = silent) -> Engine:
    """torch's engine for the model, kept for the next call while the model's weights stay the same.

    `progress` is told while it is made, and may cancel the waiting for it.
    """
    return engines_of(model, device, progress).torch


def engines_of(model: Composition, device: torch.device, progress: Progress = silent) -> Engines:
    """All that there are for the model, with torch's made where it is not there; see `engine_for`."""
    known = _engines.get(model)
    if known is not None and known.state == _state(model, device):
        return known
    return made_aside(lambda: _known(model, device), progress, MAKING)


def _state(model: Composition, device: torch.device) -> object:
    """The device, and of each tensor of the model where it lies and how often it was changed."""
    # `parameters` would look for doubles, and take twice as long.
    tensors = (t for part in model.modules() for t in (*part._parameters.values(), *part._buffers.values()))
    return device, tuple((tensor.data_ptr(), tensor._version) for tensor in tensors if tensor is not None)


def _known(model: Composition, device: torch.device) -> Engines:
    state = _state(model, device)
    with _lock:
        known = _engines.get(model)
        if known is None or known.state != state:
            known = _engines[model] = Engines(state, Engine(model, device))
        return known


def chosen_engine(model: Composition, device: torch.device, wish: str = AUTO) -> tuple[Engine, str] | None:
    """The engine that was chosen for a model, and a sentence about the choice; None while none has been."""
    return _known(model, device).chosen(wish)


def kept_engine(model: Composition, key: str, make: Callable[[], tuple[Engine, str]]) -> tuple[Engine, str]:
    """An engine for the CPU that was made before under this key while the model's weights are the same, or a new one."""
    with _choosing:
        fast = _known(model, torch.device("cpu")).fast
        if key not in fast:
            fast[key] = make()
        return fast[key]


def choose_engine(
    model: Composition,
    device: torch.device,
    images: Callable[[], Tensor],
    wish: str = AUTO,
    progress: Progress = silent,
) -> tuple[Engine, str]:
    """The fastest engine that is installed and gives torch's features, and a sentence about the choice.

    Args:
        model: whose backbone is to run.
        device: faster engines are for the CPU.
        images: gives a few real images as `make_images` does, on which they must agree: one alone, and all together,
            no feature further from torch's than `AGREE` of the largest of torch's.
        wish: "auto"; "torch"; or the one of `runners.FAST` that is wanted.
        progress: told while it is made; may cancel at once. The engine is made to its end all the same, and kept.

    Returns:
        torch's engine where no other one is fit; the sentence then says why.

    Raises:
        Cancelled: by `progress`.
        InferenceError: the engine that is wanted is unknown or not installed, or the device is not the CPU.
    """
    if wish not in (AUTO, "torch", *FAST):
        raise InferenceError(f"There is no engine “{wish}”. Use auto, torch, {' or '.join(FAST)}.")
    if wish in FAST:
        if wish not in installed():
            extra = FAST[wish][0]
            raise InferenceError(
                f"The engine “{wish}” is not installed. Install it with pip install “napari-breast-ai[{extra}]”, or "
                "use torch."
            )
        if device.type != "cpu":
            raise InferenceError(f"The engine “{wish}” runs on the CPU only. Use it with the device cpu.")

    def make() -> tuple[Engine, str]:
        with _choosing:
            found = chosen_engine(model, device, wish)
            if found is None:
                known = _known(model, device)
                names = (wish,) if wish in FAST else installed()
                found = known.fast[wish] = _choose(
                    model, known.torch, images(), names, measure=wish not in FAST
                )
            return found

    return made_aside(make, progress, MAKING)


def _choose(
    model: Composition, plain: Engine, images: Tensor, names: tuple[str, ...], measure: bool
) -> tuple[Engine, str]:
    wanted = plain.features(images)
    scale = float(wanted.abs().max()) or 1.0
    said = []
    agreed: list[Runner] = []
    for name in names:
        try:
            runner = FAST[name][1](model, fold_batch_norms(model.backbone))
            found = [runner.features(images), runner.features(images[:1])]
        except Exception as error:  # noqa: BLE001 - whatever a foreign engine raises, torch is there
            told = " ".join(str(error).split())[:160]
            said.append(
                f"The engine “{name}” cannot run this model ({type(error).__name__}: {told}), so torch does."
            )
            continue
        off = max(
            float((one - wanted[: len(one)]).abs().max()) / scale
            if one.shape[1:] == wanted.shape[1:]
            else 1.0
            for one in found
        )
        if off <= AGREE:  # not a number is not within it
            agreed.append(runner)
            continue
        said.append(
            f"The engine “{name}” gives other features than torch (off by {off:.1g} of the largest; {AGREE:g} is "
            "allowed), so torch runs the model."
        )
    if not agreed:
        return plain, " ".join(said)
    # Which one is the fastest is a matter of the model and the processor.
    many = images[[i % len(images) for i in range(BATCH)]]
    best = fastest([plain.runner, *agreed], many) if measure else agreed[0]
    if best is plain.runner:
        others = " and ".join(one.name for one in agreed)
        said.append(f"{others} would be no faster than torch with this model on this computer.")
        return plain, " ".join(said)
    return Engine(model, plain.device, best), " ".join(said)


def fastest(runners: Sequence[Runner], images: Tensor, rounds: int = 3) -> Runner:
    """The one that takes the least time for the images, each tried some times in turn."""
    taken: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for runner, times in zip(runners, taken, strict=True):
            with one_thread(runner.alone):
                begin = time.perf_counter()
                runner.features(images)
                times.append(time.perf_counter() - begin)
    return min(zip(taken, runners, strict=True), key=lambda one: min(one[0]))[1]


def engine_ready(
    model: Composition, images: Callable[[], Tensor], n_slices: int, progress: Progress = silent
) -> None:
    """Make the engine beforehand that a prediction of so many slices will ask for. Raises Cancelled by `progress`."""
    device = choose_device()
    if n_slices >= WORTHWHILE:
        choose_engine(model, device, images, progress=progress)
    else:
        engine_for(model, device, progress)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """A copy of the module for evaluation; batch norms right behind a convolution are part of it."""
    traced = trace(copy.deepcopy(module).eval().requires_grad_(False))
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if (
            before.op != "call_module"
            or not isinstance(modules[before.target], nn.Conv2d)
            or len(before.users) > 1
        ):
            continue
        fused = fuse_conv_bn_eval(modules[before.target], modules[node.target])
        traced.set_submodule(before.target, fused)
        modules[before.target] = fused
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced.requires_grad_(False)
