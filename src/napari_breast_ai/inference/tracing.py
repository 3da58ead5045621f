"""Graphs of modules, traced while other threads run modules of their own.

torch.fx takes the place of `nn.Module.__call__` and `__getattr__` in the whole process while it traces.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

_lock = threading.Lock()
"""Of two traces at once one would keep the other's replacement for good."""


def trace(module: nn.Module) -> fx.GraphModule:
    """The module as a graph; it shares the module's parameters."""
    with _lock:
        return fx.GraphModule(module, _Tracer().trace(module), type(module).__name__)


class _Tracer(fx.Tracer):
    """Traces what its own thread calls; what others call runs as ever."""

    def __init__(self) -> None:
        super().__init__()
        self._own = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """See `fx.Tracer`."""
        if threading.get_ident() != self._own:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """See `fx.Tracer`."""
        if threading.get_ident() != self._own:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)
