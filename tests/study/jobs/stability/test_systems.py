"""The job of the held-out systems: what is learned from, and its pieces on a small sample."""

import dataclasses
from functools import partial

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix, formulas
from matgan.properties import stability
from matgan.stability.heldout import POOLED, held_out
from matgan.stability.hull import Hull
from matgan.study.jobs.stability import systems
from matgan.study.jobs.stability.systems import (
    HELD_OUT,
    JOBS,
    METHODS,
    energies_without,
    scores_by_training,
    systems_piece,
)

HELD = [("Ti", "O"), ("Na", "Cl")]


@pytest.fixture(scope="module")
def hull(oqmd_raw):
    """A small part of OQMD and the compounds of two systems."""
    some = oqmd_raw[~oqmd_raw["formula"].str.contains("Kr")]
    inside = some["formula"].str.fullmatch(r"((Ti|O)\d*)+|((Na|Cl)\d*)+")
    some = some[inside | (np.arange(len(some)) % 300 == 0)]
    return Hull(amounts_matrix(some["formula"]), some["target"].to_numpy())


@pytest.fixture
def small(hull, monkeypatch):
    for module in (systems, stability):
        monkeypatch.setattr(module, "oqmd_hull", lambda: hull)
    monkeypatch.setattr(systems, "systems_to_hold_out", lambda amounts, seed: HELD)
    recipe = dataclasses.replace(systems.FULLY_CONNECTED, epochs=2, hidden=(16,))
    monkeypatch.setattr(systems, "FULLY_CONNECTED", recipe)
    few = dict.fromkeys(("dropout",), 0.0) | {"hidden": (32, 16), "batch_size": 64}
    monkeypatch.setattr(systems, "ELEMNET_FAST", systems.ELEMNET_FAST | few)
    monkeypatch.setattr(systems, "PASSES", 2)
    return hull


def test_nothing_of_the_systems_is_learned_from(small):
    rows, seen = energies_without(False), energies_without(True)
    held = held_out(rows.amounts, HELD)
    assert held.sum() > 15 and ((rows.amounts > 0).sum(axis=1) > 1).all()
    assert ((rows.part == "test") == held).all()
    assert (seen.part[held] == "train").all()
    assert (seen.part == rows.part)[~held].all()
    assert 0.05 < (rows.part == "val").mean() < 0.15


def test_a_piece_predicts_every_compound_of_the_systems(small, tmp_path):
    rows = energies_without(False)
    held = held_out(rows.amounts, HELD)
    true = rows.target[held]
    off = {}
    for method in METHODS:
        table = systems_piece(method, False, 1, 1, tmp_path / method)
        assert {(row["method"], row["systems"], row["seed"]) for row in table} == {
            (METHODS[method], HELD_OUT, 1)
        }
        written = amounts_matrix([row["formula"] for row in table])
        np.testing.assert_array_equal(held_out(written, HELD), True)
        assert len(table) == held.sum()
        off[method] = np.abs([row["predicted"] for row in table] - true).mean()
    median = np.abs(np.median(rows.target[rows.part == "train"]) - true).mean()
    assert off["look-up"] < median and off["ours"] < 2 * median
    known = systems_piece("look-up", True, 0, 1, tmp_path)
    assert np.abs([row["predicted"] for row in known] - true).mean() < 1e-3  # it has seen them


def test_the_pieces_are_the_plan():
    pieces = JOBS[0].pieces()
    assert len(pieces) == 19
    assert {piece.args[0] for piece in pieces.values()} == set(METHODS)
    for key, piece in pieces.items():
        assert isinstance(piece, partial) and piece.func is systems_piece
        assert ("seen" in key) == piece.args[1]


def test_diagrams_are_scored_by_training(small, tmp_path):
    """Perfect energies make perfect diagrams; rows come by method, whatever their order."""
    rows = energies_without(False)
    held = held_out(rows.amounts, HELD)
    row = {"method": "perfect", "systems": HELD_OUT, "seed": 0, "times": 1}
    perfect = [
        row | {"formula": text, "predicted": energy}
        for text, energy in zip(formulas(rows.amounts[held]), rows.target[held], strict=True)
    ]
    table = [*reversed(perfect), *systems_piece("look-up", False, 0, 1, tmp_path)]
    scored = scores_by_training(pd.DataFrame(table))
    assert scored["system"].tolist() == ["Ti-O", "Na-Cl", POOLED] * 2
    first, other = scored[:3], scored[3:]
    assert (first["f1"] == 1).all() and first["mae_distance"].max() < 1e-9
    assert set(other["method"]) == {METHODS["look-up"]} and (other["mae_energy"] > 0.01).all()
    assert first["compounds"].tolist() == other["compounds"].tolist()
