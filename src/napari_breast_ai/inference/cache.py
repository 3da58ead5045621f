"""What was computed once and is kept on this computer's disk, by what it was made of.

Names of files are hashes, and what is in them are numbers of a network: no image, no name, no date. Still they were
made of a person's images, and belong to the data of that person.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..files import write_whole
from ..places import cache_folder

if TYPE_CHECKING:
    from torch import nn

    from ..models import Composition

LIMIT = 8 << 30
"""Bytes that the files may take together; those not used for longest go first."""

LEAST_FREE = 1 << 30
"""Bytes that stay free on the disk: with less room nothing more is kept."""

_HEAD = b"nbai-kept\x00\x00\x00\x00\x00\x00\x02"
"""16 bytes that every file begins with; the last is the version of the format."""

_SUM = 32
_OFF = "off"


class FeatureCache:
    """A folder of arrays, one file each, of bounded size; those not used for longest go first.

    It may be deleted at any time. What cannot be read or written, is torn or of another version counts as not there.

    Attributes:
        folder: of the files.
        limit: bytes that they may take together.
        hits: arrays that were found.
        full: whether there is no room: nothing more is kept.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT) -> None:
        """Use a folder (None: the user's, unless that is switched off), which is made when it is needed."""
        self.folder = folder or (cache_folder() or Path(os.devnull)) / "features"
        self.limit = limit_bytes
        self.hits = 0
        self.off = folder is None and is_off()
        self.full = self.off

    def get(self, key: str) -> NDArray[np.float32] | None:
        """The array of that key, if it is there and whole."""
        body = self.get_bytes(key)
        if body is None:
            return None
        shape = np.frombuffer(body, np.int64, 3)
        return np.frombuffer(body, np.float32, -1, 24).reshape(shape)

    def put(self, key: str, values: NDArray[np.float32]) -> None:
        """Keep an array (C, h, w); it appears whole or not at all."""
        self.put_bytes(
            key,
            np.array(values.shape, np.int64).tobytes() + np.ascontiguousarray(values, np.float32).tobytes(),
        )

    def get_arrays(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The named arrays of that key, if they are there and whole."""
        body = self.get_bytes(key)
        if body is None:
            return None
        with np.load(BytesIO(body), allow_pickle=False) as found:
            return dict(found)

    def put_arrays(self, key: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Keep some arrays under one key."""
        stream = BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        self.put_bytes(key, stream.getvalue())

    def has(self, key: str) -> bool:
        """Whether there is a file of that key; it may prove torn when it is read."""
        return not self.off and self._file(key).is_file()

    def get_bytes(self, key: str) -> bytes | None:
        """What is kept under a key, if it is there and whole."""
        if self.off:
            return None
        file = self._file(key)
        try:
            raw = file.read_bytes()
            # Cut short by a full disk or damaged: numpy would not see a changed number.
            begin = len(_HEAD) + _SUM
            body = raw[begin:]
            if raw[: len(_HEAD)] != _HEAD or hashlib.sha256(body).digest() != raw[len(_HEAD) : begin]:
                return None
            os.utime(file)
        except OSError:
            return None
        self.hits += 1
        return body

    def put_bytes(self, key: str, body: bytes) -> None:
        """Keep bytes under a key where there is room; they appear whole or not at all."""
        if not self.has_room(len(body)):
            return
        with contextlib.suppress(OSError):
            write_whole(self._file(key), _HEAD + hashlib.sha256(body).digest() + body, lasting=False)

    def has_room(self, bytes_: int) -> bool:
        """Whether so much more can be kept: within the limit, and with `LEAST_FREE` left on the disk."""
        if self.full or bytes_ > self.limit:
            return False
        there = self.folder
        while not there.exists() and there != there.parent:
            there = there.parent
        try:
            return shutil.disk_usage(there).free >= bytes_ + LEAST_FREE
        except OSError:
            return False

    def trim(self) -> None:
        """Delete what was not used for longest until the folder is within its limit."""
        with contextlib.suppress(OSError):
            found = [(s.stat().st_mtime, s.stat().st_size, s) for s in self._files()]
            size = sum(bytes_ for _, bytes_, _ in found)
            for _, bytes_, file in sorted(found):
                if size <= self.limit:
                    break
                file.unlink(missing_ok=True)
                size -= bytes_

    def size(self) -> int:
        """Bytes that are taken."""
        total = 0
        for file in self._files():
            with contextlib.suppress(OSError):  # another window may trim
                total += file.stat().st_size
        return total

    def empty(self) -> int:
        """Delete everything. Returns the bytes that this has freed."""
        freed = 0
        for file in list(self._files()):
            with contextlib.suppress(OSError):
                bytes_ = file.stat().st_size
                file.unlink()
                freed += bytes_
        return freed

    def _files(self) -> Iterator[Path]:
        return (file for file in self.folder.glob("*/*") if file.is_file())

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.f32"


def is_off() -> bool:
    """Whether the person wants nothing kept on this computer."""
    folder = cache_folder()
    return folder is None or (folder / _OFF).exists()


def switch(on: bool) -> None:
    """Keep what is computed on this computer's disk from now on, or not. What is there stays: see `empty`.

    Raises:
        OSError: the choice cannot be written.
    """
    folder = cache_folder()
    if folder is None:
        return
    if on:
        (folder / _OFF).unlink(missing_ok=True)
    else:
        write_whole(folder / _OFF, "napari-breast-ai keeps nothing here while this file exists.\n")


def in_words(bytes_: int) -> str:
    """A size for people."""
    return f"{bytes_ / 2**30:.1f} GB" if bytes_ >= 2**30 else f"{-(-bytes_ // 2**20)} MB"


_hashes: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()


def backbone_hash(model: Composition) -> str:
    """SHA-256 of a backbone: its name, layer, mirror and weights."""
    spec = model.spec.backbone
    mirror = " mirror" if spec.mirror else ""
    return _hash(model.backbone, f"{spec.name} {spec.layer}{mirror}")


def model_hash(model: Composition) -> str:
    """SHA-256 of a whole model: what it is said to be, and all weights."""
    return _hash(model, repr(model.spec))


def part_hash(part: nn.Module) -> str:
    """SHA-256 of the weights of a part of a model, such as a fold's head."""
    return _hash(part, "")


def _hash(module: nn.Module, said: str) -> str:
    """Kept for the next call while the weights stay the same."""
    tensors = sorted(module.state_dict().items())
    state = (said, tuple((tensor.data_ptr(), tensor._version) for _, tensor in tensors))
    known = _hashes.get(module)
    if known is None or known[0] != state:
        digest = hashlib.sha256(said.encode())
        for name, tensor in tensors:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        known = (state, digest.hexdigest())
        _hashes[module] = known
    return known[1]
