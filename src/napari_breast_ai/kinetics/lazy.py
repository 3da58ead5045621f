"""Arrays that are computed for the slices that are asked for, as a viewer asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Block = Callable[[int, int], NDArray[Any]]
"""First and last-but-one slice to an array (slices, rows, columns)."""

At = Callable[[tuple[Any, ...]], NDArray[Any]]
"""An index into (slices, rows, columns) to what is there."""


class LazyStack:
    """An array of shape (slices, rows, columns) that holds nothing: it is computed where it is asked for.

    Whole slices are, or where each voxel follows from itself alone (`at`) just what is indexed. It has what napari and
    numpy ask of an array: `shape`, `ndim`, `dtype`, indexing with whole numbers and slices.
    """

    ndim = 3

    def __init__(self, shape: tuple[int, int, int], dtype: Any, block: Block, at: At | None = None) -> None:
        """`block(first, stop)` computes slices first to stop - 1, `at(index)` what an index names."""
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._block, self._at = block, at

    @classmethod
    def each(cls, shape: tuple[int, int, int], dtype: Any, at: At) -> LazyStack:
        """Where each voxel follows from itself alone."""
        return cls(shape, dtype, lambda first, stop: at((slice(first, stop),)), at)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def block(self, first: int, stop: int) -> NDArray[Any]:
        """Slices first to stop - 1, shape (stop - first, rows, columns)."""
        return self._block(first, stop)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        if self._at is not None:
            return self._at(key)
        if any(part is Ellipsis for part in key):
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            key = key[:at] + (slice(None),) * (self.ndim - len(key) + 1) + key[at + 1 :]
        z, rest = (key[0] if key else slice(None)), key[1:]
        if isinstance(z, int | np.integer):
            number = int(z) + (self.shape[0] if z < 0 else 0)
            if not 0 <= number < self.shape[0]:
                raise IndexError(f"slice {z} of {self.shape[0]}")
            one: NDArray[Any] = self._block(number, number + 1)[0][rest]
            return one
        if isinstance(z, slice):
            start, stop, step = z.indices(self.shape[0])
            if step == 1:
                return self._block(start, max(start, stop))[(slice(None), *rest)]
            wanted = list(range(start, stop, step))
        else:
            wanted = [int(one) for one in np.arange(self.shape[0])[np.asarray(z)]]
        if not wanted:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack([self._block(one, one + 1)[0][rest] for one in wanted])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._block(0, self.shape[0]), dtype=dtype)
