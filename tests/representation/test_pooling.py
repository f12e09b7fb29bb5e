"""Statistics over the elements of a composition, against NumPy and SciPy on each one alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_formulas import as_row
from scipy import stats

from matgan import ELEMENTS
from matgan.chemistry.composition import amounts_matrix
from matgan.representation.pooling import STATISTICS, element_statistics

TABLE = np.random.default_rng(0).normal(size=(85, 7))


def one_by_one(amounts: np.ndarray, table: np.ndarray) -> dict[str, np.ndarray]:
    """Every statistic of one composition, written as its definition."""
    T, n = table[amounts > 0], amounts[amounts > 0]
    x = n / n.sum()
    mean = np.average(T, axis=0, weights=n)
    var = np.average((T - mean) ** 2, axis=0, weights=n)
    return {
        "sum": n @ T,
        "mean": mean,
        "min": T.min(axis=0),
        "max": T.max(axis=0),
        "range": np.ptp(T, axis=0),
        "var": var,
        "std": np.sqrt(var),
        "avg_dev": x @ np.abs(T - mean),
        "mode": T[np.isclose(n, n.max())].min(axis=0),
    }


def test_every_statistic_on_real_formulas(supercon, mp_compositions):
    formulas = [
        *supercon["formula"].sample(300, random_state=0),
        *mp_compositions["formula"].sample(300, random_state=0),
    ]
    amounts = amounts_matrix(formulas)
    got = element_statistics(amounts, TABLE, STATISTICS)
    assert got.shape == (600, 7, len(STATISTICS))
    for row, block in zip(amounts, got, strict=True):
        for name, values in one_by_one(row, TABLE).items():
            np.testing.assert_allclose(
                block[:, STATISTICS.index(name)], values, rtol=1e-9, atol=1e-12, err_msg=name
            )


def test_they_are_scipys_where_each_atom_is_written_out():
    counts = {"K": 1, "Zn": 2, "Ru": 5}  # whole counts: a sample of 8 atoms
    atoms = np.concatenate([np.tile(TABLE[ELEMENTS.index(e)], (n, 1)) for e, n in counts.items()])
    got = element_statistics(as_row(**counts)[None], TABLE, STATISTICS)[0].T
    found = dict(zip(STATISTICS, got, strict=True))
    np.testing.assert_allclose(found["sum"], atoms.sum(axis=0))
    np.testing.assert_allclose(found["std"], stats.tstd(atoms, axis=0, ddof=0))
    np.testing.assert_allclose(found["var"], np.var(atoms, axis=0))
    np.testing.assert_allclose(found["mode"], stats.mode(atoms, axis=0).mode)
    np.testing.assert_allclose(found["range"], np.ptp(atoms, axis=0))


def test_equation_5_by_hand():
    # C = Σ n_e T_e with T_e = atomic number: Fe2O3 has 2·26 + 3·8
    Z = np.arange(1.0, 86)[:, None] * 0
    Z[ELEMENTS.index("Fe")], Z[ELEMENTS.index("O")] = 26, 8
    got = element_statistics(amounts_matrix(["Fe2O3"]), Z, ("sum", "mean", "std"))[0, 0]
    np.testing.assert_allclose(got, [76, 15.2, np.sqrt(0.4 * 10.8**2 + 0.6 * 7.2**2)])


def test_a_single_element_has_no_spread():
    rows = amounts_matrix(["O2", "Fe"])
    got = element_statistics(rows, TABLE, ("var", "std", "avg_dev", "range"))
    assert (got == 0).all()


def test_amounts_that_nearly_tie_share_the_mode():
    column = np.zeros((85, 1))
    column[ELEMENTS.index("Fe")], column[ELEMENTS.index("Co")] = 26, 27
    rows = amounts_matrix(["FeCo", "FeCo1.000001", "FeCo1.1", "Fe1.1Co"])
    assert element_statistics(rows, column, ("mode",)).ravel().tolist() == [26, 26, 27, 26]


@given(st.permutations(range(6)))
def test_rows_keep_their_order(order):
    rows = amounts_matrix(["O2", "NaCl", "BaTiO3", "KZn2Ru", "Ba0.4K0.6Fe2As2", "Fe"])
    got = element_statistics(rows[order], TABLE, ("mean", "max"))
    np.testing.assert_array_equal(got, element_statistics(rows, TABLE, ("mean", "max"))[order])


def test_order_of_the_statistics_and_dtype():
    rows = amounts_matrix(["NaCl", "BaTiO3"])
    both = element_statistics(rows, TABLE, ("max", "min"), np.float32)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(
        both[..., ::-1], element_statistics(rows, TABLE, ("min", "max"), np.float32)
    )


def test_an_unknown_statistic_is_an_error():
    with pytest.raises(AttributeError, match="median"):
        element_statistics(amounts_matrix(["NaCl"]), TABLE, ("median",))
