"""Files that appear whole or not at all; tensors and arrays read without running code."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import json
import math
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

PRETRAINED = Path(__file__).parent / "pretrained"

_LONGEST_HEADER = 10_000_000  # bytes; more is no header
_LARGEST_ARRAYS = 4 * 2**30  # bytes of all arrays of an .npz file; the study's hold 0.2 GB
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


class WeightsError(ValueError):
    """A file of weights that is damaged, of another format or of another shape; names it."""


class ArraysError(ValueError):
    """An .npz file that is damaged or holds something else; names it."""


class BusyError(RuntimeError):
    """A folder into which another process is writing; names it."""


# --- writing --------------------------------------------------------------------------------------


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """`with atomic_file(path) as f`: a binary file that appears whole, or not at all.

    It is written as .NAME.PID.tmp beside its place and renamed at the end of the block; after an
    error it is removed, and what was at `path` stays. Folders are made.

    Raises
    ------
    OSError
        Of a full disk, too; with the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def csv_file(path: str | Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """As `atomic_file`, for a table: .csv, or .csv.gz, compressed to the same bytes each time.

    Raises
    ------
    ValueError
        Another ending, before anything is written.
    """
    name = Path(path).name
    if not name.endswith((".csv", ".csv.gz")):
        raise ValueError(f"tables are written as .csv or .csv.gz, not as {name!r}")
    with atomic_file(path) as file:
        if not name.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
            yield compressed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time writes into a folder; a killed one gives it back, nothing is left.

    Where the system or the disk knows no locks, there is none.

    Raises
    ------
    BusyError
        Another one has it.
    """
    descriptor = _lock(folder, shared=False)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def share(folder: Path) -> None:
    """Write into a folder beside others that do the same, none of them `locked`, until the end.

    For notebooks in JupyterLab: their kernels live on between two cells.

    Raises
    ------
    BusyError
        Another process has it for itself.
    """
    folder = folder.resolve()
    if folder not in _shared:
        _shared[folder] = _lock(folder, shared=True)


_shared: dict[Path, int | None] = {}  # folders of this process, and their descriptors


def _lock(folder: Path, shared: bool) -> int | None:
    """Descriptor of a lock that lasts until it is closed; None where there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not POSIX
        return None
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    # a network disk locks no folders, but files
    for path, flags in ((folder, os.O_RDONLY), (folder / ".lock", os.O_RDWR | os.O_CREAT)):
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, kind)
            return descriptor
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise BusyError(f"another process is writing into {folder}") from error
    return None


def half_written(folder: Path) -> list[Path]:
    """Temporary files of `atomic_file`, in a folder and below it, whose process was killed."""
    found = []
    for path in sorted(folder.rglob(".*.tmp")):
        ours = _TEMPORARY.fullmatch(path.name)
        if ours and path.is_file() and not _is_alive(int(ours[1])):
            found.append(path)
    return found


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # there, the next line would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


# --- hashes ---------------------------------------------------------------------------------------


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> None:
    """Write the SHA-256 of a file beside it, as NAME.sha256 (`sha256sum --check` reads it)."""
    with atomic_file(path.with_name(f"{path.name}.sha256")) as file:
        file.write(f"{sha256(path)}  {path.name}\n".encode())


def is_sealed(path: Path) -> bool:
    """Whether a file is there and is what `seal` saw."""
    try:
        words = path.with_name(f"{path.name}.sha256").read_text(encoding="utf-8").split()
        return words[:1] == [sha256(path)]
    except (FileNotFoundError, UnicodeDecodeError):
        return False


# --- tensors --------------------------------------------------------------------------------------


def save(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write named arrays and metadata to a safetensors file, whole or not at all.

    The same content gives the same bytes.

    Raises
    ------
    WeightsError
        A type of number that the format does not have.
    """
    # the library takes the memory of an array as it lies
    dense = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    try:
        content = safetensors.numpy.save(dense, metadata)
    except SafetensorError as error:
        raise WeightsError(f"{path} cannot be written: {error}") from error
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(metadata.items()))  # the library's order is random
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data start at a multiple of 8 bytes
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(memoryview(content)[start:])
        file.flush()
        os.fsync(file.fileno())  # hours of training must survive a crash of the machine, too


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file.

    Raises
    ------
    FileNotFoundError
    WeightsError
        No safetensors file (a pickle, say), cut off, with tensors that overlap or leave bytes
        over, or with types that NumPy does not have.
    """
    with open(path, "rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
    if header > _LONGEST_HEADER:
        raise WeightsError(f"{path} is no safetensors file: its header would have {header:,} bytes")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise WeightsError(f"{path} is no safetensors file, or is cut off: {error}") from error


# --- arrays ---------------------------------------------------------------------------------------


def load_arrays(path: str | Path, names: Iterable[str] | None) -> dict[str, np.ndarray]:
    """The arrays of these names in an .npz file; None: all.

    Raises
    ------
    FileNotFoundError
    ArraysError
        No .npz file, cut off, with a wrong checksum, without one of the names, or pickled; text
        that is none; arrays of more than 4 GiB together, or of another size than their headers
        say: before memory is taken for them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("one array alone, not an archive of them")
            names = list(file.files if names is None else names)
            if missing := [name for name in names if name not in file.files]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            with zipfile.ZipFile(path) as archive:
                size = sum([_declared(archive, name) for name in names])
            if size > _LARGEST_ARRAYS:
                raise ValueError(f"its arrays would have {size:,} bytes")
            arrays = {name: file[name] for name in names}
            if odd := [name for name, a in arrays.items() if not isinstance(a, np.ndarray)]:
                raise ValueError(f"{odd[0]} is no array")  # NumPy gives the bytes then
            if odd := [name for name, a in arrays.items() if not _is_plain(a)]:
                raise ValueError(f"{odd[0]} holds what is neither numbers nor text")
            return arrays
    except FileNotFoundError:
        raise
    except Exception as error:  # of zipfile, zlib, struct, ast, tokenize: damage has many names
        raise ArraysError(f"{path} is no sound .npz file: {error}") from error


def table_sha256(path: str | Path) -> str:
    """SHA-256 of the text of a .csv.gz, without columns *_recomputed: the study computes these.

    Raises
    ------
    ArraysError
        No sound file of this kind.
    """
    total = hashlib.sha256()
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            head = next(rows)
            kept = [i for i, name in enumerate(head) if not name.endswith("_recomputed")]
            for row in chain([head], rows):
                total.update((",".join(row[i] for i in kept) + "\n").encode())
    except (OSError, EOFError, ValueError, IndexError, StopIteration, zlib.error, csv.Error) as e:
        raise ArraysError(f"{path} is no packed table: {e!r}") from None
    return total.hexdigest()


def _is_plain(array: np.ndarray) -> bool:
    """Numbers, or text of which each character is one: NumPy believes any four bytes."""
    if array.dtype.kind != "U" or not array.nbytes:
        return array.dtype.names is None
    codes = np.ascontiguousarray(array).view(f"{array.dtype.byteorder}u4")
    return bool((codes <= sys.maxunicode).all())


def _declared(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of an array, if its own header and the archive agree on them."""
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(member) as opened:
        version = np.lib.format.read_magic(opened)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has a header of version {version}")
        old = version == (1, 0)
        read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(opened)
        size = math.prod(shape) * dtype.itemsize
        left = archive.getinfo(member).file_size - opened.tell()
    if size != left and not dtype.hasobject:
        raise ValueError(f"{name} would have {size:,} bytes, but there are {left:,}")
    return size
