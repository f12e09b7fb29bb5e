"""Tensors in files of the safetensors format: read without running code, written atomically.

The format is a few lines long (a JSON header and raw bytes), so that a machine with only torch
and NumPy can train; a test compares these functions with the safetensors package.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32,
    "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}
_LONGEST_HEADER = 10_000_000  # bytes; more is no header


PRETRAINED = Path(__file__).parent / "pretrained"


class WeightsError(ValueError):
    """A file of weights that is damaged, of another format or of another shape; names it."""


def save(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write named arrays and metadata to a safetensors file, whole or not at all."""
    header: dict[str, object] = {"__metadata__": metadata}
    arrays, offset = [], 0
    for name, tensor in tensors.items():
        array = np.ascontiguousarray(tensor).reshape(np.shape(tensor))  # keeps a scalar a scalar
        if array.dtype not in _NAMES:
            raise WeightsError(f"{path}: tensor {name} has the unsupported type {array.dtype}")
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
        arrays.append(array)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8 bytes
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.tobytes())


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    Raises
    ------
    FileNotFoundError
    WeightsError
        Not a safetensors file (a pickle, say), truncated, or with offsets that do not fit.
    """
    content = Path(path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_LONGEST_HEADER, len(content) - 8):
        raise WeightsError(f"{path} is no safetensors file, or is cut off")
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("__metadata__ holds more than texts")
        data = memoryview(content)[8 + length :]
        tensors = {}
        for name, entry in header.items():
            dtype, (start, end) = np.dtype(_TYPES[entry["dtype"]]), entry["data_offsets"]
            if not 0 <= start <= end <= len(data):
                raise WeightsError(f"{path} is cut off: tensor {name} lies beyond its end")
            array = np.frombuffer(data[start:end], dtype).reshape(entry["shape"])
            tensors[name] = array.copy()  # writable, and free of the file's buffer
    except WeightsError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is no safetensors file: {error!r}") from error
    return tensors, metadata


class atomic_file:
    """`with atomic_file(path) as f`: a binary file that appears whole, or not at all."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, self.temporary = tempfile.mkstemp(
            dir=self.path.parent, prefix=f".{self.path.name}."
        )
        self.file = os.fdopen(descriptor, "wb")
        return self.file

    def __exit__(self, kind, *_):
        try:
            self.file.close()  # writes what is left, which a full disk does not take
            if kind is None:
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self.temporary, 0o666 & ~umask)  # mkstemp makes files private
                os.replace(self.temporary, self.path)
        finally:
            Path(self.temporary).unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well, else removed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
