"""The stages of a backbone: what comes between two halvings of its maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def stages(backbone: nn.Module) -> tuple[tuple[nn.Module, ...], ...]:
    """A backbone's modules in groups whose maps are of one size, the first ones first.

    The size is looked at rather than kept in a list, so that every backbone has stages.

    Args:
        backbone: as `build` makes it; its mode and its numbers stay as they are.
    """
    parts = [
        child
        for name, module in backbone.named_children()
        for child in (module.children() if name in ("features", "classifier") else (module,))
    ]
    sizes: dict[nn.Module, int] = {}

    def note(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        sizes[module] = int(found.shape[2])

    hooks = [part.register_forward_hook(note) for part in parts]
    modes = {module: module.training for module in backbone.modules()}
    weight = next(backbone.parameters())
    try:
        backbone.eval()
        with torch.no_grad():
            backbone(torch.zeros(1, 3, 128, 128, dtype=weight.dtype, device=weight.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    found: list[list[nn.Module]] = []
    last = None
    for part in parts:
        if sizes[part] != last:
            found.append([])
        last = sizes[part]
        found[-1].append(part)
    return tuple(tuple(one) for one in found)
