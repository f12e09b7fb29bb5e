"""Castelli's perovskites: what the file holds, what each null model sees, contributions by hand."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from matgan.chemistry.composition import amounts_matrix
from matgan.crystals.graphs import castelli as pv
from matgan.crystals.graphs.cgcnn import learn_graphs
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.data.sources import SourceCorrupt, wheel_table
from matgan.learning.fit import Fit


def test_what_the_file_holds(perovskites):
    table = perovskites.table
    assert len(table) == 7572 and (table["split"] == "test").sum() == 3785
    assert table["A"].nunique() == table["B"].nunique() == 52 and table["X"].nunique() == 7
    assert not table.duplicated(["A", "B", "X"]).any()
    assert perovskites.table["heat"].mean() == pytest.approx(1.475, abs=1e-3)


def test_b_has_six_anions_and_a_stands_farther_off(perovskites):
    graphs = crystal_graphs(perovskites.take(np.arange(0, 7572, 151)))
    for i in range(len(graphs)):
        start, end = graphs.first_edge[i : i + 2]
        centre, neighbour = graphs.edges[:, start:end]
        distance = graphs.distances[start:end]
        nearest = [distance[centre == atom].min() for atom in range(5)]
        assert nearest[0] > nearest[1]  # A, B
        near_b = neighbour[centre == 1][np.argsort(distance[centre == 1])[:6]]
        assert set(near_b) <= {2, 3, 4}


def test_energies_are_those_of_the_other_table_of_these_data(perovskites):
    """Most of them: the wheel gives one energy a composition, of A and B either way round."""
    listed = wheel_table("matbench/castelli")
    by_key = defaultdict(list)
    for row, energy in zip(amounts_matrix(listed["formula"]), listed["target"], strict=True):
        by_key[row.tobytes()].append(energy)
    ours = [row.tobytes() for row in amounts_matrix(perovskites.formulas())]
    found = [
        min((abs(heat - other) for other in by_key.get(key, ())), default=np.inf)
        for key, heat in zip(ours, perovskites.table["heat"], strict=True)
    ]
    assert np.mean(np.array(found) < 0.006) > 0.9


def test_another_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    whole = {"id": np.arange(2), "cell": np.ones((2, 6)), "heat_all": np.zeros(2)}
    whole |= {"Z": np.ones((2, 4)), "frac": np.zeros((2, 4, 3)), "part": np.zeros(2, int)}
    np.savez(path, **whole)
    monkeypatch.setattr(pv, "fetch", lambda name: path)
    with pytest.raises(SourceCorrupt, match="holds no perovskites: cells of 5 atoms are needed"):
        pv.load_castelli.__wrapped__()


def test_sites_as_one_hot(perovskites):
    few = perovskites.take(np.arange(200))
    X, names = pv.site_one_hot(few)
    assert (X.sum(1) == 3).all()
    for row, (a, b, x) in zip(X, few.table[["A", "B", "X"]].to_numpy(), strict=True):
        assert [names[i] for i in np.flatnonzero(row)] == [f"A {a}", f"B {b}", f"X {x}"]


def test_described_sites_differ_where_a_and_b_change_places(perovskites):
    described = pv.site_descriptions(perovskites)
    assert described.shape == (7572, 276)
    assert described[:, :184].max() == 1 and described[:, 184:].max() <= 1
    key = perovskites.table.reset_index().set_index(["A", "B", "X"])["index"]
    a, b = next(
        (i, key[b, a, x]) for (a, b, x), i in key.items() if a != b and (b, a, x) in key.index
    )
    assert (described[a, :92] == described[b, 92:184]).all()


def test_cells_of_one_size_have_one_volume(perovskites):
    few = perovskites.take(np.arange(100))
    scaled = pv.graphs_of_one_size(few, crystal_graphs(few))
    graphs = crystal_graphs(few)
    starts = graphs.first_edge[:-1]
    factors = scaled.distances[starts] / graphs.distances[starts]
    assert factors * few.cell[:, 0] == pytest.approx(np.median(few.cell[:, 0]), rel=1e-3)


def test_ideal_positions_leave_sites_and_length(perovskites, monkeypatch):
    few = perovskites.take(np.arange(0, 7572, 300))
    monkeypatch.setattr(pv, "load_castelli", lambda: few)
    monkeypatch.setattr(pv, "castelli_graphs", lambda: crystal_graphs(few).merged())
    ideal = pv.ideal_graphs.__wrapped__()
    monkeypatch.setattr(pv, "ideal_graphs", lambda: ideal)
    own, one = pv.graphs_of(pv.IDEAL), pv.graphs_of(pv.SITES_ONLY)
    for i in range(len(few)):
        start, end = own.first_edge[i : i + 2]
        relative = own.distances[start:end] / few.cell[i, 0]
        known = np.array([0.5, 2**-0.5, 3**0.5 / 2, 1])  # B-X, A-X and X-X, A-B, a cell on
        assert np.abs(relative[:, None] - known).min(axis=1).max() < 1e-3
    # all cells alike but for the elements: every cell has the first one's distances
    edges = np.diff(one.first_edge)
    assert (edges == edges[0]).all()
    assert one.distances.reshape(len(few), -1) == pytest.approx(
        np.tile(one.distances[: edges[0]], (len(few), 1)), rel=1e-3
    )
    assert len(np.unique(pv.graphs_of(pv.ONE_SIZE).distances.round(2))) > 10  # positions stay


def test_ridge_contributions_are_weights_without_the_mean_of_the_site(perovskites):
    rows, y = np.arange(1000), perovskites.table["heat"].to_numpy()
    told = pv.ridge_contributions(perovskites, y, rows)
    X, names = pv.site_one_hot(perovskites)
    model = RidgeCV(np.logspace(-3, 2, 11)).fit(X[rows], y[rows])
    weights = pd.Series(model.coef_, names)
    for site in ("A", "B"):
        here = told[told["site"] == site].set_index("element")
        mean = (here["contribution"] * here["structures"]).sum() / here["structures"].sum()
        assert mean == pytest.approx(0, abs=1e-9)
        apart = here.loc["Ba", "contribution"] - here.loc["Ti", "contribution"]
        assert apart == pytest.approx(weights[f"{site} Ba"] - weights[f"{site} Ti"])


def test_contributions_of_sites_add_up_to_the_answers(perovskites):
    few = perovskites.take(np.arange(120))
    graphs = crystal_graphs(few).merged()
    y, rows = few.table["heat"].to_numpy(), np.arange(120)
    options = {"width": 8, "layers": 1, "pooling": "linear"}
    model = learn_graphs(graphs, y, rows, Fit(1, 16), **options)
    told = pv.site_contributions(model, few, graphs, rows)
    sites = np.array(model.contributions(graphs, rows))[:, :, 0] / 5
    assert sites.sum(1) == pytest.approx(model.predict(graphs, rows)[:, 0], abs=1e-5)
    for place, site in enumerate(("A", "B")):
        here = told[told["site"] == site].set_index("element")["contribution"]
        by_hand = pd.Series(sites[:, place]).groupby(few.table[site].to_numpy()).mean()
        expected = by_hand - sites[:, place].mean()
        assert here[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


def test_every_null_model_has_its_input(perovskites):
    few = perovskites.take(np.arange(60))
    inputs, models = pv.null_inputs(few), pv.null_models(epochs=2)
    assert inputs.keys() == models.keys()
    length, scaled = few.cell[:, 0], inputs[pv.SITES_AND_CELL][:, -1]
    assert scaled == pytest.approx((length - length.mean()) / length.std())
    np.testing.assert_array_equal(inputs[pv.SITES_AND_CELL][:, :-1], inputs[pv.NETWORK])
    guess = models[pv.GUESS].fit(inputs[pv.GUESS], few.table["heat"])
    assert guess.predict(inputs[pv.GUESS][:1]) == few.table["heat"].median()
