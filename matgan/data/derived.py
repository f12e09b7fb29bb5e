"""Files that are derived from others: made anew from public addresses at pinned commits.

    python -m matgan rebuild NAME [--archive FILE.zip]

What comes out is compared with the hash of the arrays of the file that the study was made with, and
then lies in the cache, where `fetch` finds it.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pooch
from tqdm import tqdm

from matgan import files
from matgan.data.compounds import PUBLISHED_MODELS
from matgan.data.sources import (
    SOURCES,
    WHEEL_DATA,
    SourceCorrupt,
    SourceUnavailable,
    cache_dir,
    fetch,
    is_sound,
    read_csv,
)


@dataclass(frozen=True)
class Repository:
    """A public repository at one commit."""

    name: str
    commit: str

    @property
    def address(self) -> str:
        """Of its files as a zip archive; GitHub packs it, so its own hash is not fixed."""
        return f"https://github.com/{self.name}/archive/{self.commit}.zip"


_GARNETDNN = Repository(
    "materialsvirtuallab/garnetdnn",
    "333bddcf4b2df1da11a8b63e92bc86480eccad5b",
)
REPOSITORIES = {
    "ye2018_perovskites": _GARNETDNN,
    "ye2018_binary_oxides": _GARNETDNN,
    "castelli_perovskites": Repository(
        "txie-93/cdvae",
        "f857f598d6f6cca5dc1ea0582d228f12dcc2c2ea",  # 7 MB of it are read
    ),
    "mp_binary_moduli": Repository(
        "materialsvirtuallab/matcalc",
        "aa76b41edb9ffb62f7efb2b5d3a3f7a8b2b4747d",  # 1 MB of it is read
    ),
    "rruff_measured": Repository(
        "AGI-init/XRDs",
        "94ab78472f014a43489c928c692823d7b8d179d5",  # 9 MB of patterns
    ),
    "mp_stability": Repository(
        "CJBartel/TestStabilityML",
        "4559c918da8edecea12f86774910b17cae3c7a09",  # 30 MB of it are read
    ),
    "mp_structures": Repository(
        "fxcoudert/topology_databases",
        "9fd8ac744685a861dfa631fd3b368515974ddd42",  # 230 MB of CIF
    ),
}
DERIVED = ("supercon_split", *REPOSITORIES)
_PARTS = ("train", "val", "test")


def rebuild(name: str, archive: Path | None = None) -> Path:
    """Make a derived file from its public sources, and put it into the cache.

    Parameters
    ----------
    name : of `DERIVED`; seconds, but for "mp_structures" 43 minutes on two busy cores: spglib looks
        for the space groups of 51,538 structures, twice
    archive : zip archive of the repository, where it is to hand

    Returns
    -------
    Path of the file.

    Raises
    ------
    ValueError
        Another name.
    SourceUnavailable
        A source cannot be had; says which.
    SourceCorrupt
        A source is another one, or what comes out is not the file that the study was made with.
    """
    if name not in DERIVED:
        raise ValueError(f"the derived files are {', '.join(DERIVED)}, not {name!r}")
    content, own = io.BytesIO(), None
    if name == "supercon_split":
        content.write(supercon_split(fetch("jarvis_supercon")))
    else:
        archive = archive or (own := _downloaded(REPOSITORIES[name]))
        try:
            with zipfile.ZipFile(archive) as opened:
                if name.startswith("ye2018"):
                    content.write(ye2018_table(opened, name))
                elif name == "mp_stability":
                    content.write(gzip.compress(mp_stability(opened), mtime=0))
                elif name == "mp_binary_moduli":
                    content.write(mp_binary_moduli(opened))
                else:
                    make = {
                        "rruff_measured": rruff_measured,
                        "castelli_perovskites": castelli_perovskites,
                        "mp_structures": mp_structures,
                    }[name]
                    np.savez_compressed(content, allow_pickle=False, **make(opened))
        except (zipfile.BadZipFile, KeyError, IndexError, ValueError) as error:
            _remove(own)  # damaged, perhaps: the next call fetches it again
            raise SourceCorrupt(f"{archive} is not what {name} is made from: {error!r}") from error
    path = cache_dir() / SOURCES[name].file
    with files.atomic_file(path) as file:
        file.write(content.getvalue())
        file.flush()
        if not is_sound(Path(file.name), SOURCES[name]):
            _remove(own)
            raise SourceCorrupt(f"{name} came out with other numbers than the study's file holds")
    _remove(own)
    return path


def _remove(downloaded: Path | None) -> None:
    if downloaded:
        downloaded.unlink(missing_ok=True)


def _downloaded(repository: Repository) -> Path:
    folder, name = cache_dir(), f"{repository.name.replace('/', '+')}-{repository.commit[:8]}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(pooch.retrieve(repository.address, known_hash=None, fname=name, path=folder))
    except OSError as error:
        raise SourceUnavailable(
            f"{repository.address} could not be had ({type(error).__name__}): save it elsewhere "
            f"and name it by --archive"
        ) from error


def supercon_split(benchmark: Path) -> bytes:
    """The split of JARVIS-Leaderboard's supercon_chem_Tc as a table: row of supercon.csv, part."""
    parts = _zipped_json(benchmark)
    rows = sorted((int(row), part) for part, members in parts.items() for row in members)
    return "".join(["row,part\n", *(f"{row},{part}\n" for row, part in rows)]).encode()


def ye2018_table(archive: zipfile.ZipFile, name: str) -> bytes:
    """Energies of Ye et al. 2018: pymatgen's entries as a table, in their order."""
    member, key = {
        "ye2018_perovskites": ("perovskite/perov_calc_entries.json", "entry_id"),
        "ye2018_binary_oxides": ("binary_oxides_entries_dict.json", "cation"),
    }[name]
    (path,) = _members(archive, f"data/({re.escape(member)})").values()
    read = json.loads(archive.read(path))
    named = read.items() if key == "cation" else ((entry[key], entry) for entry in read)
    lines = [f"{key},composition,energy_ev,correction_ev"]
    for label, entry in named:
        formula = "".join(f"{symbol}{n:g}" for symbol, n in entry["composition"].items())
        lines.append(f"{label},{formula},{entry['energy']:.6f},{entry['correction']}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def mp_binary_moduli(archive: zipfile.ZipFile) -> bytes:
    """Moduli of binary compounds of matcalc's benchmark as a table, in their order."""
    name = "mp-binary-pbe-elasticity-2025.1.json.gz"
    (path,) = _members(archive, f"benchmark_data/({re.escape(name)})").values()
    columns = ("mp_id", "formula", "bulk_modulus_vrh", "shear_modulus_vrh")
    lines = [",".join(columns)]
    for entry in json.loads(gzip.decompress(archive.read(path))):
        lines.append(",".join(str(entry[column]) for column in columns))
    return "".join(f"{line}\r\n" for line in lines).encode()


def castelli_perovskites(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Perovskites of CDVAE's perov_5, its validation and test parts; atoms as A, B, X, X, X."""
    members = _members(archive, r"data/perov_5/(val|test)\.csv")
    tables = [pd.read_csv(io.BytesIO(archive.read(members[part]))) for part in ("val", "test")]
    table = pd.concat(tables)
    cells, numbers, places = zip(*map(read_published_cif, table["cif"]), strict=True)
    energies = ("heat_all", "heat_ref", "dir_gap", "ind_gap")
    return {
        "id": table["material_id"].to_numpy(np.int32),
        "cell": np.array(cells, np.float32),
        "Z": np.array(numbers, np.uint8),
        "frac": np.array(places, np.float32),
        **{name: table[name].to_numpy(np.float32) for name in energies},
        "part": np.repeat(np.arange(2, dtype=np.uint8), [len(t) for t in tables]),
    }


# Each pattern is a pickled dict, all 908 with the same layout; nothing of it is run: the bytes
# after these marks are read. Half of the files repeat the pattern before them with changes.
_INTENSITY = re.compile(rb"features.*?B" + (34_000).to_bytes(4, "little"), re.DOTALL)
_SYSTEM = re.compile(rb"labels7.*?C\x08(.{8})", re.DOTALL)
_GROUP = re.compile(rb"labels230.*?C\x08(.{8})", re.DOTALL)


def rruff_measured(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Measured patterns of an archive of AGI-init/XRDs: every second file, 0 to 906."""
    members = _members(archive, r"Data/Generated/XRDs_RRUFF/(\d+)\.npy")
    intensity, systems, groups = [], [], []
    for key in sorted(map(int, members))[::2]:
        content = archive.read(members[str(key)])
        found = [pattern.search(content) for pattern in (_INTENSITY, _SYSTEM, _GROUP)]
        if not all(found):
            raise ValueError(f"{members[str(key)]} has another layout")
        start, system, group = (match for match in found if match)
        intensity.append(np.frombuffer(content, "<f4", 8500, start.end()))
        systems.append(int.from_bytes(system[1], "little"))
        groups.append(int.from_bytes(group[1], "little") + 1)  # counted from 0 there
    # scaled to 1,000 there
    return {
        "intensity": np.rint(50 * np.array(intensity)).astype(np.uint16),
        "two_theta_start": np.float32(5),
        "two_theta_step": np.float32(0.01),
        "crystal_system": np.array(systems, np.uint8),
        "space_group": np.array(groups, np.uint8),
    }


def mp_structures(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Structures of topology_databases with MEGNet's split, energies and gaps; by number."""
    energies, gaps = (_zipped_json(fetch(name)) for name in ("jarvis_split", "jarvis_gaps"))
    members = _members(archive, r"cif/mp-(\d+)\.cif")
    split = {
        int(key.removeprefix("mp-")): part
        for part in _PARTS
        for key in energies[part]
        if key.removeprefix("mp-") in members  # the entries "mvc-…" are left out, too
    }
    ids = sorted(split)
    texts = (archive.read(members[str(i)]).decode() for i in tqdm(ids, "CIF", delay=3))
    read = [read_published_cif(text) for text in texts]
    cells, numbers, places = zip(*read, strict=True)
    tasks = (joblib.delayed(space_groups)(*structure) for structure in read)
    workers = joblib.Parallel(n_jobs=-1, return_as="generator")
    groups = np.array(list(tqdm(workers(tasks), "space groups", len(ids), delay=3)), np.uint8)
    labels = [(f"mp-{i}", split[i]) for i in ids]
    return {
        "mp_id": np.array(ids, np.int32),
        "cell": np.array(cells, np.float32),
        "natoms": np.array([len(some) for some in numbers], np.uint16),
        "Z": np.concatenate(numbers).astype(np.uint8),
        "frac": np.concatenate(places).astype(np.float32),
        "sg": groups[:, 0],
        "sg_001": groups[:, 1],
        "split": np.array([_PARTS.index(part) for _, part in labels], np.uint8),
        "e_form": np.array([float(energies[part][key]) for key, part in labels], np.float32),
        "gap": np.array([float(gaps[part][key]) for key, part in labels], np.float32),
    }


def mp_stability(archive: zipfile.ZipFile) -> bytes:
    """Energies and published predictions of an archive of CJBartel/TestStabilityML, as a table.

    Rows, parts and true values are those of the crabnet wheel (CritExam): formation energies to
    1e-6 eV/atom, the predictions of the models to 1e-4.
    """
    rows, columns = wheel_parts("CritExam__Ef"), {}
    distances = wheel_parts("CritExam__Ed").set_index("formula")["target"]
    for kind, models in PUBLISHED_MODELS.items():
        for model in models:
            path = f"mlstabilitytest/ml_data/{kind}/allMP/{model}/ml_input.json"
            (member,) = (n for n in archive.namelist() if n.partition("/")[2] == path)
            columns[f"{kind}_{model}"] = json.loads(archive.read(member))
    head = ["formula", "part", "Ef", "Ed_published", *columns]
    lines = [",".join(head)]
    for row in rows.itertuples():
        cells = [row.formula, row.part, f"{row.target:.6f}", f"{distances[row.formula]:.6f}"]
        predicted = (values[row.formula] for values in columns.values())
        lines.append(",".join([*cells, *(f"{value:.4f}" for value in predicted)]))
    return ("\n".join(lines) + "\n").encode()


def wheel_parts(name: str) -> pd.DataFrame:
    """The three parts of a benchmark of the wheel, in order: formula, target, part."""
    columns = {"formula": "str", "target": "str"}  # pandas would read the last digit otherwise
    parts = []
    for part in _PARTS:
        member = f"{WHEEL_DATA}benchmark_data/{name}/{part}.csv"
        parts.append(read_csv("crabnet", member, columns).assign(part=part))
    table = pd.concat(parts)
    return table.assign(target=table["target"].map(float))


def read_published_cif(text: str) -> tuple[list[float], list[int], np.ndarray]:
    """Cell (6,), atomic numbers and fractional coordinates (m, 3) of a CIF in P 1 by pymatgen."""
    from pymatgen.core import Element

    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = [float(re.findall(rf"_cell_{name} +(\S+)", text)[0]) for name in names]
    sites = text.split("_atom_site_occupancy\n")[1].partition("loop_")[0]
    rows = [line.split() for line in sites.splitlines() if line.strip()]
    symbols = [re.match("[A-Za-z]+", row[0]) for row in rows]
    numbers = [Element(symbol[0]).Z for symbol in symbols if symbol]
    return cell, numbers, np.array([row[3:6] for row in rows], dtype=float)


def space_groups(cell: list[float], numbers: list[int], places: np.ndarray) -> tuple[int, int]:
    """Space groups that spglib finds within 0.1 and 0.01 Å; 0 where it finds none."""
    import spglib
    from pymatgen.core import Lattice

    crystal = (Lattice.from_parameters(*cell).matrix.tolist(), places.tolist(), numbers)
    first, second = (spglib.get_symmetry_dataset(crystal, symprec=s) for s in (0.1, 0.01))
    return first.number if first else 0, second.number if second else 0


def _members(archive: zipfile.ZipFile, pattern: str) -> dict[str, str]:
    """What the group in a pattern is -> name in the archive, below its one folder."""
    found = {}
    for name in archive.namelist():
        if match := re.fullmatch(f"[^/]+/{pattern}", name):
            found[match[1]] = name
    if not found:
        raise ValueError(f"nothing in it is named {pattern}")
    return found


def _zipped_json(path: Path) -> dict[str, dict[str, str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        return json.load(file)


def main(arguments: list[str] | None = None) -> None:
    """`python -m matgan rebuild`."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan rebuild",
        description="Make a derived file of data from its public sources; it goes into the cache.",
    )
    parser.add_argument("name", choices=DERIVED)
    parser.add_argument("--archive", type=Path, help="the repository as a zip archive, if to hand")
    options = parser.parse_args(arguments)
    print(rebuild(options.name, options.archive))
