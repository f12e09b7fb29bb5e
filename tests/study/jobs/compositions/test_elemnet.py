"""The jobs of ElemNet on a few hundred compounds."""

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix, formulas
from matgan.chemistry.validity import charge_neutral
from matgan.data.splits import Split
from matgan.representation.benchmark import Task
from matgan.representation.features import OneHot
from matgan.representation.published import ELEMNET
from matgan.study.jobs.compositions import elemnet


@pytest.fixture
def few(oqmd, monkeypatch):
    """Six hundred compounds, and networks of a sixteenth of the width."""
    table = oqmd.iloc[::500].reset_index(drop=True)[:600]
    task = Task("few", "energy", table)
    X = task.described(OneHot(fractions=True, dtype=np.float32))
    split = Split(*np.split(np.random.default_rng(0).permutation(600), [400, 500]))
    monkeypatch.setattr(elemnet, "_energies", lambda: (task, split, X))
    monkeypatch.setattr(elemnet, "DEPTH_EPOCHS", 2)
    monkeypatch.setattr(elemnet, "SIZE_STEPS", 20)
    monkeypatch.setattr(elemnet, "TIMED", 50)
    monkeypatch.setattr(elemnet, "PROBE_SPLITS", 2)
    narrow = ELEMNET | {"hidden": tuple(max(4, width // 16) for width in ELEMNET["hidden"])}
    monkeypatch.setattr(elemnet.published, "ELEMNET", narrow)


def test_seventeen_layers_are_elemnets_own():
    assert elemnet.PRINTED_LAYERS == 17  # of the review
    assert elemnet.hidden_widths(17) == ELEMNET["hidden"]
    for layers in elemnet.DEPTHS:
        widths = elemnet.hidden_widths(layers)
        assert len(widths) == layers - 1 and widths[0] == 1024
        assert list(widths) == sorted(widths, reverse=True)


def test_dropout_is_not_what_tells_the_depths_apart():
    (pieces,) = (job.pieces() for job in elemnet.JOBS if job.name == "elemnet-depth")
    given = [piece.args for piece in pieces.values()]
    assert {layers for layers, dropout, *_ in given if not dropout} == set(elemnet.DEPTHS)
    assert {layers for layers, dropout, *_ in given if dropout} == {17}
    assert elemnet.depth_network(17, 1, 0, True).dropout == ELEMNET["dropout"]
    assert elemnet.depth_network(17, 1, 0).dropout == 0


def test_a_depth_has_errors_and_a_time(few, tmp_path):
    for layers, dropout in ((2, False), (17, True)):
        (row,) = elemnet.depth_piece(layers, dropout, 2, 0, tmp_path)
        assert row["epochs"] == 4 and row["dropout"] == dropout
        assert 0 < row["mae_val"] < 5 and 0 < row["mae_test"] < 5
        assert 0 < row["seconds per 25,000"] < 5


def test_a_size_is_learned_from_by_all_three(few, tmp_path):
    rows = elemnet.size_piece(100, 1, tmp_path)
    methods = ["ElemNet", elemnet.FRACTIONS_FOREST, elemnet.ATTRIBUTES_FOREST]
    assert [row["method"] for row in rows] == methods
    assert all(row["compounds"] == 100 and 0 < row["mae"] < 5 for row in rows)
    assert rows[2]["mae"] < rows[1]["mae"]  # the attributes know the elements
    assert rows == elemnet.size_piece(100, 1, tmp_path)


def test_what_is_balanced_is_neutral_by_the_usual_charges():
    amounts, balanced, pairs = elemnet.ionic_compositions()
    assert len(np.unique(amounts, axis=0)) == len(amounts) == 10 * 8 * 7
    written = formulas(amounts.astype(int))
    index = {name: balanced[i] for i, name in enumerate(written)}
    known = amounts_matrix(["NaCl", "MgO", "CaF2", "K2S", "NaO", "MgCl", "BaO2"])
    found = [index[name] for name in formulas(known.astype(int))]
    assert found == [True, True, True, True, False, False, False]
    assert charge_neutral(amounts[balanced].astype(int)).all()  # SMACT's states have these charges
    for train, test in elemnet.unseen_cations(pairs, 5, 0):
        assert not set(pairs[train].ravel()) & set(pairs[test].ravel())
        assert len(set(balanced[train])) == len(set(balanced[test])) == 2


def test_every_layer_of_both_networks_has_a_row(few, tmp_path):
    rows = elemnet.inside_piece(0, tmp_path)
    assert [row["network"] for row in rows] == ["trained"] * 16 + ["untrained"] * 16
    assert [row["layer"] for row in rows[:16]] == list(range(1, 17))
    assert all(0 <= row["in_line"] <= 1 and 0 <= row["auc"] <= 1 for row in rows)
