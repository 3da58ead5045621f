"""What vispy computes anew for each window, remembered for the next one: shapes of letters, variables of shaders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vispy.gloo.program import Program
from vispy.visuals.text.text import SDFRendererCPU


class _Texture:
    """Takes what is written into a texture, as RGB of a size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.written = np.zeros((size[1], size[0], 3), np.uint8)

    def __setitem__(self, where: Any, values: Any) -> None:
        self.written[where] = values


def remember(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let vispy compute each letter and each shader's variables once in a process, not once in a window."""
    draw, parse = SDFRendererCPU.render_to_texture, Program._parse_variables_from_code
    letters: dict[Any, Any] = {}
    variables: dict[Any, Any] = {}

    def drawn(self: Any, data: Any, texture: Any, offset: tuple[int, int], size: tuple[int, int]) -> None:
        key = (data.tobytes(), data.shape, tuple(size))
        if key not in letters:
            kept = _Texture(size)
            draw(self, data, kept, (0, 0), size)
            letters[key] = kept.written
        x, y = offset
        texture[y : y + size[1], x : x + size[0], :] = letters[key]

    def parsed(self: Any, update_variables: bool = True) -> None:
        key = tuple(shader.code for shader in self._shaders)
        if key not in variables:
            parse(self, update_variables=False)
            variables[key] = dict(self._code_variables)
        self._code_variables = dict(variables[key])
        if update_variables:
            self._process_pending_variables()

    monkeypatch.setattr(SDFRendererCPU, "render_to_texture", drawn)
    monkeypatch.setattr(Program, "_parse_variables_from_code", parsed)
