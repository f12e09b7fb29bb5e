"""Crystal structures: labels, prototypes, splits, both sources, bad input."""

import dataclasses
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from known_structures import KNOWN, NACL, QUARTZ, RUTILE, some
from pymatgen.core import Composition, DummySpecies, Lattice, Structure

from matgan import files
from matgan.crystals import structures as st_
from matgan.crystals import symmetry
from matgan.crystals.structures import StructureError
from matgan.data.sources import SOURCES, SourceCorrupt, SourceUnavailable, fetch


def test_structures_come_back_as_they_were():
    structures = some()
    for i, original in enumerate((NACL, RUTILE, QUARTZ)):
        back = structures.structure(i)
        assert back.matches(original)
        assert np.allclose(back.lattice.parameters, original.lattice.parameters)
    assert structures.fractions()[1][[7, 21]] == pytest.approx([2 / 3, 1 / 3])
    assert structures.fractions().sum(1) == pytest.approx(1)


def test_formulas_are_those_of_pymatgen():
    found = some().formulas()
    assert found[0] == "Na4Cl4"
    for formula, structure in zip(found, (NACL, RUTILE, QUARTZ), strict=True):
        assert Composition(formula) == structure.composition


def test_taking_rows_keeps_order_atoms_and_labels():
    taken = some().take([2, 0])
    assert list(taken.table["id"]) == ["mp-3", "mp-1"]
    assert taken.structure(0).matches(QUARTZ)
    assert taken.structure(1).matches(NACL)
    assert len(some().take([])) == 0


def test_rows_are_of_their_part_and_have_a_space_group():
    parts, groups = ["train"] * 6 + ["test"] * 4, [1, 2, 0, 4, 5, 6, 7, 8, 9, 0]
    ten = st_.from_pymatgen(
        [NACL] * 10, pd.DataFrame({"id": range(10), "split": parts, "space_group": groups})
    )
    assert ten.rows("train").tolist() == [0, 1, 3, 4, 5]
    assert ten.rows("test", 9).tolist() == [6, 7, 8]
    assert ten.rows("val").tolist() == []
    some = ten.rows("train", 3, seed=0)
    assert len(some) == 3 and set(some) < {0, 1, 3, 4, 5}
    assert (np.diff(some) > 0).all()
    assert {tuple(ten.rows("train", 3, seed)) for seed in range(9)} != {tuple(some)}
    with pytest.raises(ValueError, match="one of train, val, test, not 'valid'"):
        ten.rows("valid")
    for limit, seed in ((-5, 0), (3, -1)):
        with pytest.raises(ValueError, match="is negative"):
            ten.rows("train", limit, seed)


# --- sources --------------------------------------------------------------------------------------


def test_arrays_on_disk_come_back(tmp_path):
    structures = some()
    st_.write_arrays(tmp_path / "s.npz", structures)
    back = st_.read_arrays(tmp_path / "s.npz")
    pd.testing.assert_frame_equal(back.table, structures.table, rtol=1e-6)
    assert np.allclose(back.frac, structures.frac, atol=1e-6)
    assert np.allclose(back.cell, structures.cell, rtol=1e-6)


def write_jarvis(folder, cartesian=False, split=None, ids=("mp-1", "mvc-2", "mp-3"), bad=0):
    """JARVIS's two files, in the format of its downloads, from the known structures.

    The energies of the split differ from those of the structures by `bad` eV/atom.
    """
    entries = [
        {
            "id": ids[i],
            "atoms": {
                "lattice_mat": structure.lattice.matrix.tolist(),
                "coords": (structure.cart_coords if cartesian else structure.frac_coords).tolist(),
                "elements": [site.specie.symbol for site in structure],
                "cartesian": cartesian,
            },
            "e_form": -1.0 - i,
            "gap pbe": 0.5 * i,
        }
        for i, (structure, _) in enumerate(KNOWN.values())
    ]
    parts = zip(("train", "val", "test"), ids, range(3), strict=True)
    split = split or {part: {name: str(bad - 1.0 - i)} for part, name, i in parts}
    paths = [folder / st_.MEGNET, folder / SOURCES["jarvis_split"].file]
    for path, content in zip(paths, (entries, split), strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.stem, json.dumps(content))
    return paths


@pytest.mark.parametrize("cartesian", [False, True])
def test_the_jarvis_route_gives_the_same_structures(tmp_path, cartesian):
    read = st_.read_jarvis(*write_jarvis(tmp_path, cartesian))
    assert list(read.table["space_group"]) == [225, 136, 154]
    assert list(read.table["split"]) == ["train", "val", "test"]
    assert list(read.table["gap"]) == [0, 0.5, 1]
    for i, (structure, _) in enumerate(KNOWN.values()):
        assert read.structure(i).matches(structure)


def test_a_jarvis_entry_without_its_split_is_named(tmp_path):
    paths = write_jarvis(tmp_path, split={"train": {"mp-1": -1}, "val": {}, "test": {"mp-3": -3}})
    with pytest.raises(SourceCorrupt, match=r"entry 1.*mvc-2"):
        st_.read_jarvis(*paths)


def test_jarvis_entries_are_compared_with_the_split_whose_hash_is_known(tmp_path):
    with pytest.raises(SourceCorrupt, match=r"entry 0.*e_form of mp-1 is -1\.0, and -0\.99 in"):
        st_.read_jarvis(*write_jarvis(tmp_path, bad=0.01))
    split = {"train": {"mp-1": -1}, "val": {"mvc-2": -2}, "test": {"mp-3": -3, "mp-4": -4}}
    with pytest.raises(SourceCorrupt, match=r"megnet\.json\.zip lacks 1 entries, mp-4 the first"):
        st_.read_jarvis(*write_jarvis(tmp_path, split=split))
    split = {"train": {"mp-1": -1}, "val": {"mp-3": -2}, "test": {}}
    twice = write_jarvis(tmp_path, split=split, ids=("mp-1", "mp-3", "mp-3"))
    with pytest.raises(SourceCorrupt, match=r"entry 2.*mp-3"):
        st_.read_jarvis(*twice)


@pytest.fixture
def jarvis(tmp_path, monkeypatch):
    """Paths of JARVIS's two files, which `load_structures` finds; the cache is empty."""
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path / "cache"))
    paths = write_jarvis(tmp_path)
    pinned = dataclasses.replace(SOURCES["jarvis_split"], sha256=files.sha256(paths[1]))
    monkeypatch.setitem(SOURCES, "jarvis_split", pinned)
    return paths


def test_loading_builds_from_jarvis_once(jarvis):
    first = st_.load_structures()
    for path in jarvis:
        path.unlink()
    again = st_.load_structures()
    pd.testing.assert_frame_equal(first.table, again.table, rtol=1e-6)
    assert list(again.table["id"]) == ["mp-1", "mvc-2", "mp-3"]


def test_a_jarvis_split_with_another_hash_is_refused(jarvis):
    jarvis[1].write_bytes(jarvis[1].read_bytes() + b" ")
    with pytest.raises(SourceCorrupt, match=r"megnet_e_form\.json\.zip has SHA-256"):
        st_.load_structures()


@pytest.mark.parametrize("damage", ["other structures", "no hash", "a cut"])
def test_built_structures_are_not_trusted_without_their_hash(jarvis, tmp_path, caplog, damage):
    """Structures that somebody else put into the cache are not read as the Materials Project's."""
    first = st_.load_structures()
    built = tmp_path / "cache" / "jarvis_structures.npz"
    if damage == "other structures":
        labels = first.table.assign(e_form=-99.0, split="test")
        st_.write_arrays(built, dataclasses.replace(first, table=labels))
    elif damage == "no hash":
        built.with_name(f"{built.name}.sha256").unlink()
    else:
        built.write_bytes(built.read_bytes()[:-1])
    again = st_.load_structures()
    assert f"{built} has not the SHA-256 it was written with: it is built again" in caplog.text
    pd.testing.assert_frame_equal(first.table, again.table, rtol=1e-6)
    for path in jarvis:
        path.unlink()
    assert len(st_.load_structures()) == 3  # it is sealed again


def test_the_real_split_has_the_entries_of_the_structures(crystals):
    """The pinned split is the one that the structures come with."""
    try:
        path = fetch("jarvis_split")
    except SourceUnavailable:
        pytest.skip("the study does not need it")
    with zipfile.ZipFile(path) as archive:
        parts = json.loads(archive.read(archive.namelist()[0]))
    assert {part: len(names) for part, names in parts.items()} == {
        "train": 60_000, "val": 5_000, "test": 4_239,
    }  # fmt: skip
    energies = {(part, name): float(e) for part in parts for name, e in parts[part].items()}
    table = crystals.table
    found = [energies[key] for key in zip(table["split"], table["id"], strict=True)]
    np.testing.assert_allclose(found, table["e_form"], atol=1e-5)


def test_a_jarvis_file_without_structures_is_named(tmp_path):
    paths = write_jarvis(tmp_path)
    with zipfile.ZipFile(paths[0], "w") as archive:
        archive.writestr("empty.json", "[]")
    with pytest.raises(SourceCorrupt, match="holds no structures"):
        st_.read_jarvis(*paths)


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(st_.pooch, "retrieve", offline)
    with pytest.raises(SourceUnavailable, match=r"mp_structures.npz.*MATGAN_DATA"):
        st_.load_structures()


def test_the_real_structures_are_as_described(crystals):
    """The numbers that come with the data, found again here."""
    assert len(crystals) == 51_538
    assert len(crystals.numbers) == 1_467_962
    assert dict(crystals.table["split"].value_counts()) == {
        "train": 44_722, "val": 3_673, "test": 3_143,
    }  # fmt: skip
    systems = np.bincount(symmetry.crystal_system(crystals.table["space_group"]))
    assert list(systems) == [4915, 11470, 10167, 6448, 5043, 4288, 9207]
    keys = symmetry.prototypes(crystals)
    assert len(set(keys)) == 13_366
    test = keys[crystals.table["split"] == "test"]
    known = set(keys[crystals.table["split"] == "train"])
    assert np.mean([key in known for key in test]) == pytest.approx(0.835, abs=0.0005)


# --- bad input ------------------------------------------------------------------------------------


def test_atoms_that_are_announced_from_the_second_on_are_named():
    good = some()
    with pytest.raises(StructureError, match="atoms 1 to 23 are announced"):
        first = np.array([1, *good.first[1:]])
        st_.Structures(good.cell, first, good.numbers, good.frac, good.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": [5.0, -5.0, 5.0, 90, 90, 90]}, "mp-1 has a cell"),
        ({"numbers": 0}, r"mp-1, atom 0: atomic number 0"),
        ({"numbers": 200}, r"atomic number 200"),
        ({"frac": np.nan}, r"mp-1, atom 0.*nan"),
    ],
)
def test_bad_arrays_are_named(change, message):
    good = some()
    arrays = {name: getattr(good, name).copy() for name in ("cell", "numbers", "frac")}
    for name, value in change.items():
        arrays[name][0] = value
    with pytest.raises(StructureError, match=message):
        st_.Structures(arrays["cell"], good.first, arrays["numbers"], arrays["frac"], good.table)


def test_a_partly_occupied_site_is_named():
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match=r"structure 1: the site .*Cu.* is partly occupied"):
        st_.from_pymatgen([NACL, alloy])


def test_a_site_without_an_element_is_named():
    odd = Structure(Lattice.cubic(4), ["Na", DummySpecies("X")], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(StructureError, match=r"structure 0: X0?\+? at .* is no element"):
        st_.from_pymatgen([odd])


def test_files_that_hold_no_structures_are_refused(tmp_path):
    for content in (b"", b"no archive"):
        (tmp_path / "s.npz").write_bytes(content)
        with pytest.raises(SourceCorrupt, match=r"s\.npz"):
            st_.read_arrays(tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz", mp_id=np.arange(3))
    with pytest.raises(SourceCorrupt, match="cell"):
        st_.read_arrays(tmp_path / "s.npz")
