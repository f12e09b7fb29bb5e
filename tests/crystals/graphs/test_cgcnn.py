"""CGCNN learns: errors, seeds, classes, contributions of sites, the command."""

import numpy as np
import pandas as pd
import pytest

from matgan.crystals.graphs import cgcnn
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.learning.fit import Fit

PARTS = {"train": 400, "test": 60}


@pytest.fixture(scope="module")
def few(crystals):
    rows = [np.flatnonzero(crystals.table["split"] == part)[:n] for part, n in PARTS.items()]
    return crystals.take(np.concatenate(rows))


def test_it_learns_and_a_seed_fixes_it(few):
    long, short = Fit(12, 16), Fit(1, 16)
    error = cgcnn.formation_energy(few, long)
    truth = few.table.groupby("split")["e_form"]
    guess = (truth.get_group("test") - truth.get_group("train").median()).abs().mean()
    assert error["mae"] < 0.7 * guess
    assert (error["n_train"], error["n_test"]) == (400, 60)
    assert cgcnn.formation_energy(few, short) == cgcnn.formation_energy(few, short)


def test_the_command_goes_on_and_writes_the_table(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cgcnn, "load_structures", lambda: few)
    out = tmp_path / "cgcnn.csv"
    cgcnn.main(["--out", str(out), "--epochs", "2", "--batch-size", "16", "--structures", "100"])
    table = pd.read_csv(out).set_index("model")
    assert table.loc["CGCNN (ours)", ["epochs", "n_train", "n_test"]].tolist() == [2, 100, 60]
    assert table.loc["ALIGNN (published)", "mae"] == 0.024
    assert "step 12 of 12" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]  # and no checkpoint


# --- learn_graphs ---------------------------------------------------------------------------------


SMALL = {"width": 8, "layers": 1, "hidden": 8}


@pytest.fixture(scope="module")
def graphs(few):
    return crystal_graphs(few).merged()


def test_contributions_have_the_answer_as_their_mean(few, graphs):
    y = few.table[["e_form", "gap"]].to_numpy()
    rows = np.arange(100)
    model = cgcnn.learn_graphs(graphs, y, rows, Fit(1, 16), pooling="linear", **SMALL)
    asked = np.array([400, 3, 17])
    sites = model.contributions(graphs, asked)
    assert [len(part) for part in sites] == [len(few[i][1]) for i in asked]
    means = np.array([part.mean(0) for part in sites])
    assert means == pytest.approx(model.predict(graphs, asked), abs=1e-4)


def test_answers_are_in_the_unit_of_what_was_learned(few, graphs):
    """Of values a thousand times as large the answers are a thousand times as large."""
    y, rows = few.table["e_form"].to_numpy(), np.arange(100)
    once, larger = (
        cgcnn.learn_graphs(graphs, f * y + s, rows, Fit(1, 16), **SMALL).predict(graphs, rows)
        for f, s in ((1, 0), (1000, 7))
    )
    assert larger == pytest.approx(1000 * once + 7, rel=1e-3, abs=1)


def test_rows_may_be_a_mask(few, graphs):
    y, mask = few.table["e_form"].to_numpy(), np.arange(len(graphs)) < 30
    models = (cgcnn.learn_graphs(graphs, y, r, Fit(1, 16), **SMALL) for r in (mask, np.arange(30)))
    np.testing.assert_array_equal(*(model.predict(graphs, np.arange(3)) for model in models))


def test_classes_are_told_apart(few, graphs):
    """Heavy or light: the elements say so."""
    light = np.array([few[i][1].mean() < 25 for i in range(len(few))]).astype(int)
    rows = np.arange(400)
    fit = Fit(6, 16, learning_rate=1e-2)
    model = cgcnn.learn_graphs(graphs, light, rows, fit, **SMALL)
    found = model.probabilities(graphs, np.arange(400, 460))
    assert found.sum(1) == pytest.approx(1)
    right = (found.argmax(1) == light[400:]).mean()
    assert right > 0.85 > max(light[400:].mean(), 1 - light[400:].mean())


def test_no_rows_have_no_answers_and_a_negative_class_is_named(few, graphs):
    y = np.zeros(len(graphs))
    model = cgcnn.learn_graphs(graphs, y, np.arange(20), Fit(1, 10))
    assert model.predict(graphs, np.arange(0)).shape == (0, 1)
    with pytest.raises(ValueError, match="the network answers value, no class"):
        model.probabilities(graphs, np.arange(3))
    classes = np.zeros(len(graphs), int)
    classes[4] = -2
    with pytest.raises(ValueError, match=r"the value of graph 4 is \[-2\]: no class"):
        cgcnn.learn_graphs(graphs, classes, np.arange(20), Fit(1, 10))


def test_a_value_that_is_no_number_is_named(few, graphs):
    y = few.table["e_form"].to_numpy().copy()
    y[7] = np.nan
    with pytest.raises(ValueError, match=r"the value of graph 7 is \[nan\]: no number"):
        cgcnn.learn_graphs(graphs, y, np.arange(10), Fit(1))
    with pytest.raises(ValueError, match=r"classes must be \(n,\) whole numbers, not of shape"):
        cgcnn.learn_graphs(graphs, np.zeros((460, 2), int), np.arange(10), Fit(1))
    with pytest.raises(ValueError, match="there are 3 values for 460 graphs"):
        cgcnn.learn_graphs(graphs, y[:3], np.arange(3), Fit(1))
