"""Nested plain values with tensors and arrays as bytes: safetensors with a tree beside the numbers. No pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..files import write_whole


def pack(tree: Any) -> bytes:
    """Dictionaries (with names or whole numbers as keys), lists, tensors, arrays and JSON's values as bytes."""
    tensors: dict[str, torch.Tensor] = {}

    def shape(value: Any) -> Any:
        if isinstance(value, torch.Tensor | np.ndarray):
            name = str(len(tensors))
            plain = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
            # A copy: tensors that share memory are refused.
            tensors[name] = plain.detach().cpu().contiguous().clone()
            return {"tensor" if isinstance(value, torch.Tensor) else "array": name}
        if isinstance(value, dict):
            return {"dict": [[key, shape(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [shape(item) for item in value]}
        return {"plain": value.item() if isinstance(value, np.generic) else value}

    tree = json.dumps(shape(tree))
    return bytes(save(tensors, metadata={"tree": tree}))


def unpack(content: bytes) -> Any:
    """What `pack` was given; tuples come back as lists.

    Raises:
        ValueError: the bytes are not from there.
    """
    try:
        size = int.from_bytes(content[:8], "little")
        tree = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["tree"])
        # Copies: torch's own memory is aligned, and the order of sums in vectorised code may depend on that.
        tensors = {name: value.clone() for name, value in load(content).items()}
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"not packed here ({error})") from error

    def build(node: Any) -> Any:
        ((kind, value),) = node.items()
        if kind == "tensor":
            return tensors[value]
        if kind == "array":
            return tensors[value].numpy()
        if kind == "dict":
            return {key: build(item) for key, item in value}
        return [build(item) for item in value] if kind == "list" else value

    return build(tree)


def write_packed(path: Path, tree: Any) -> None:
    """Pack into a file, with the hash of its content in front.

    Raises:
        OSError: it cannot be written.
    """
    content = pack(tree)
    write_whole(path, hashlib.sha256(content).digest() + content)


def read_packed(path: Path) -> Any:
    """What `write_packed` wrote, or None where the file is not there or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    try:
        return unpack(content[32:])
    except ValueError:
        return None


def digest(*values: NDArray[Any] | torch.Tensor | str) -> str:
    """SHA-256 of arrays, with their shapes and types, and of texts."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, str):
            found.update(value.encode())
            continue
        array = value.numpy() if isinstance(value, torch.Tensor) else value
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
