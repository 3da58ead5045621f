"""A study's pixels for whoever asks, read when they are asked for.

napari's reader cannot know who will look: a window, a script, another plugin. A window needs one slice at once; a
script needs all of them, complete. So the array of such a study reads what is asked for before it gives it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from ..core import BreastAIError

if TYPE_CHECKING:
    from ..study import Loader

Place = tuple[int, int]
"""Phase and slice."""


class UnreadWarning(UserWarning):
    """A slice that was asked for could not be read, and is empty."""


class OnDemand(NDArrayOperatorsMixin):
    """The array of a loader, shape (phases, slices, rows, columns), each slice read when it is first asked for.

    Indexing gives views of the loader's own array and costs what the slices cost. A slice whose file cannot be read
    stays 0 and is said by an `UnreadWarning`, which a window shows. What needs the array as a whole (`np.asarray`,
    arithmetic, an array's own methods) reads all of it, and raises `StudyError` where that cannot be.
    """

    def __init__(self, loader: Loader) -> None:
        data = loader.volume.data
        self.shape: tuple[int, ...] = data.shape
        self.ndim = data.ndim
        self.dtype = data.dtype
        self.size, self.nbytes, self.itemsize = data.size, data.nbytes, data.itemsize
        self._loader = loader
        self._lock = threading.Lock()
        self._said: set[Path] = set()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        data = self._loader.volume.data
        if not self._loader.complete and self._read(self._places(key)):
            self._say()
        return np.asarray(data[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        np.asarray(self)[key] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self._whole()
        changed = dtype is not None and np.dtype(dtype) != whole.dtype
        return whole.astype(dtype) if changed else whole.copy() if copy else whole

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **more: Any) -> Any:
        plain = [np.asarray(one) if isinstance(one, OnDemand) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **more)

    def __getattr__(self, name: str) -> Any:
        # Only what arrays have, and nothing private: a question whether there is such a thing must read nothing.
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._whole(), name)

    def __deepcopy__(self, memo: dict[int, Any]) -> NDArray[Any]:
        return np.array(self)

    def _whole(self) -> NDArray[Any]:
        data = self._loader.volume.data
        if not self._loader.complete and (error := self._read(None)):
            raise error
        return data

    def _places(self, key: Any) -> list[Place] | None:
        """The slices that an index needs, or a few more; None for all."""
        key = list(key) if isinstance(key, tuple) else [key]
        if any(part is None or np.asarray(part).dtype == bool for part in key if part is not Ellipsis):
            return None
        for at, part in enumerate(key):
            if part is Ellipsis:
                key[at : at + 1] = [slice(None)] * (self.ndim - len(key) + 1)
                break
        key += [slice(None)] * 2
        phases, slices = (
            np.atleast_1d(np.arange(count)[part]).ravel().tolist()
            for count, part in zip(self.shape[:2], key[:2], strict=True)
        )
        return list(product(phases, slices))

    def _read(self, places: Iterable[Place] | None) -> BreastAIError | None:
        """Read what is missing of some slices (None: of all); what stopped it, where it is missing still."""
        loaded = self._loader.loaded
        with self._lock:
            wanted = np.argwhere(~loaded).tolist() if places is None else places
            missing = {(p, z) for p, z in wanted if not loaded[p, z]}
            if not missing:
                return None
            try:
                self._loader.load(first=min(missing), only=missing)
            except BreastAIError as error:  # perhaps of another file, earlier
                return error if any(not loaded[place] for place in missing) else None
        return None

    def _say(self) -> None:
        for path, sentence in list(self._loader.broken.items()):
            if path not in self._said:
                self._said.add(path)
                warnings.warn(f"{sentence} Its slices are empty.", UnreadWarning, stacklevel=3)
