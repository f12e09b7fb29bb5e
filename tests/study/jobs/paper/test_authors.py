"""The comparison on the authors' files: splits, pairing, planned contrasts, the table."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.data.sources import SourceUnavailable
from matgan.representation.benchmark import Task
from matgan.representation.published import HU_2020
from matgan.representation.published import table4 as as_printed
from matgan.study.jobs.paper import authors
from matgan.study.jobs.paper.authors import APART, PAPER_ENERGY, PAPER_GAP, PAPER_TC, PLAIN

FIVE = ["wgan-mp", *(f"wgan-mp-seed{k}" for k in range(1, 5))]


def had(dataset):
    try:
        return authors.load_paper_task(dataset)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


@pytest.fixture(scope="module")
def gaps():
    return had(PAPER_GAP)


def test_the_authors_rows_but_what_cannot_be_used(gaps):
    assert len(gaps.table) == 30_186 and gaps.epochs == 160
    tc = had(PAPER_TC)
    assert len(tc.table) == 11_471 - 3 - 2
    left_out = ["Am0.01Si2Th1", "Y1Ba2Cu3O6050", "Bi1.6Pb0.4Sr2Cu3Ca2O1013"]
    assert not tc.table["formula"].isin(left_out).any()
    assert tc.amounts.shape == (len(tc.table), 85) and np.isfinite(tc.y).all()


def test_plain_splits_have_formulas_on_both_sides_and_the_others_none(gaps):
    plain, apart = (authors.splits_of(gaps, kind) for kind in (PLAIN, APART))
    assert len(plain) == len(apart) == 10
    for split in plain:
        rows = np.concatenate([split.train, split.validation, split.test])
        assert np.array_equal(np.sort(rows), np.arange(30_186)) and len(split.test) == 3019
        assert len(split.validation) == round(0.1 * (30_186 - 3019))
        # a formula of k rows is in no other part with a probability of 0.1^(k - 1) only
        others = gaps.table["formula"][np.r_[split.train, split.validation]]
        shared = gaps.table["formula"][split.test].isin(others)
        sizes = gaps.table["formula"].map(gaps.table["formula"].value_counts()).to_numpy()
        expected = (1 - 0.1 ** (sizes - 1.0)).mean()
        assert shared.mean() == pytest.approx(expected, abs=0.03) and expected > 0.4
    split, shares = apart[3], gaps.amounts / gaps.amounts.sum(1, keepdims=True)
    held, known = (
        {row.tobytes() for row in shares[part].round(5)} for part in (split.test, split.train)
    )
    assert not held & known and 3019 <= len(split.test) < 3019 + sizes.max()
    held, known = (
        {row.tobytes() for row in shares[part].round(5)} for part in (plain[3].test, plain[3].train)
    )
    assert len(held & known) > 500


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_training_stands_in_the_repeats_of_its_number_modulo_all(monkeypatch, number):
    monkeypatch.setattr(authors, "trainings", lambda data: FIVE[:number] if data == "mp" else [])
    assert list(authors.tables_of_T()) == ["T (mp)"]
    monkeypatch.setitem(authors.T_OF, "T (oqmd)", "mp")  # of the paper's own T none ships
    assert authors.paper_own_T() == "T (oqmd), sum"
    names = [authors.training_of("T (mp)", repeat) for repeat in range(10)]
    if number == 5:
        assert names[:5] == names[5:] == FIVE
    assert names == (FIVE[:number] * 10)[:10]


def test_T_and_its_controls_change_with_the_repeat_and_nothing_else_does(gaps):
    task = Task("few", "gap", gaps.table.iloc[::100].reset_index(drop=True))
    makers = authors.descriptions()
    n = len(authors.tables_of_T()["T (mp)"])
    for name, make in makers.items():
        first, second = make(task, 0), make(task, 1)
        assert first.dtype == np.float32 and len(first) == len(task.table), name
        one_training = "as printed" in name  # whose rows are alike, too, so permuted they stay
        assert np.array_equal(first, second) == ("T (" not in name and "random" not in name) or (
            one_training
        ), name
    T = authors.table_of("T (mp)", 0).to_numpy()
    by_hand = task.amounts @ T
    np.testing.assert_allclose(makers["T (mp), sum"](task, n), by_hand, rtol=1e-4, atol=1e-3)
    mean = by_hand / task.amounts.sum(1, keepdims=True)
    both = makers["T (mp), mean, and Magpie"](task, 0)
    np.testing.assert_allclose(both[:, :128], mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(both[:, 128:], makers["Magpie"](task, 0))
    permuted = np.linalg.lstsq(task.amounts, makers["permuted T (mp), sum"](task, 0), rcond=None)[0]
    there = task.amounts.any(0)  # each row is a row of T, at another element
    near = np.abs(permuted[there][:, None] - T).max(2) < 0.05
    assert (near.sum(1) == 1).mean() > 0.8 and not (near & np.eye(85, dtype=bool)[there]).any(
        1
    ).all()


def test_every_T_has_the_planned_contrasts_in_both_poolings():
    pairs = authors.planned()
    assert len(pairs) == len(set(pairs)) == 8 * len(authors.tables_of_T())
    assert {a for a, b in pairs if b == "fractions"} == {
        f"{name}, mean" for name in authors.tables_of_T()
    }
    assert ("T (oqmd), sum", "one-hot") in pairs and ("T (mp), mean", "Magpie") in pairs
    assert ("T (mp), mean", "permuted T (mp), mean") in pairs
    assert {name for pair in pairs for name in pair} < set(authors.descriptions())


def made_up(repeats=10):
    """Rows of every description whose errors are known, three repeats also for twice the epochs."""
    rng, rows = np.random.default_rng(0), []
    for i, features in enumerate(authors.descriptions()):
        level = 0.4 if features.startswith("T (mp)") else 0.5 + 0.001 * i
        for repeat in range(repeats):
            for times in (1, 2) if repeat < 3 else (1,):
                mae = level + 0.01 * rng.normal()
                row = {"dataset": PAPER_GAP, "split": PLAIN, "features": features}
                row |= {"repeat": repeat, "n_train": 900, "n_test": 100, "epochs": 80 * times}
                row |= {"mae": mae, "rmse": 1.4 * mae, "r2": 1 - mae**2}
                row |= {f"test_chosen_{m}": row[m] - 0.001 for m in ("mae", "rmse", "r2")}
                rows.append(row)
    return pd.DataFrame(rows)


def test_contrasts_are_the_planned_ones_corrected_among_themselves():
    rows = made_up()
    found = authors.contrasts(rows)
    assert list(zip(found["a"], found["b"], strict=True)) == authors.planned()
    once = rows[rows["epochs"] == 80].pivot_table("mae", "repeat", "features")
    p = []
    for a, b in authors.planned():
        d = once[a] - once[b]
        t = d.mean() / np.sqrt((1 / 10 + 1 / 9) * d.var())
        p.append(2 * stats.t.sf(abs(t), 9))
    np.testing.assert_allclose(found["p"], p)
    for family in range(0, len(p), 4):  # Holm among the four of one T, step by step
        least, own = 0.0, p[family : family + 4]
        for rank, place in enumerate(np.argsort(own)):
            least = max(least, min(1, own[place] * (4 - rank)))
            assert found["p_holm"].iloc[family + place] == pytest.approx(least)
    assert found.loc[found["a"] == "T (mp), mean", "p_holm"].max() < 1e-3
    assert found["converged"].dtype == bool and found["converged"].any()


def test_a_table_that_lacks_pieces_is_read_as_far_as_it_goes():
    rows = made_up()
    lacking = rows[(rows["features"] != "SkipAtom") | (rows["repeat"] < 5)]
    same = authors.common_repeats(lacking)
    assert "SkipAtom" not in set(same["features"]) and (same["epochs"] == 80).all()
    assert (same.groupby("features")["repeat"].nunique() == 10).all()
    assert len(authors.contrasts(lacking)) == len(authors.planned())  # SkipAtom is in none
    five = rows[rows["repeat"] < 5]
    assert set(authors.common_repeats(five)["features"]) == set(rows["features"])
    assert authors.contrasts(rows[rows["repeat"] == 0]).empty


def test_a_claim_is_complete_with_all_repeats_of_all_that_it_compares():
    T, kinds = "T (mp), mean", [PLAIN, APART]
    rows = pd.concat([made_up(), made_up().assign(split=APART)], ignore_index=True)
    assert authors.is_complete(rows, PAPER_GAP, T, kinds)
    assert not authors.is_complete(rows, PAPER_TC, T, kinds)
    assert authors.is_complete(made_up(), PAPER_GAP, T, [PLAIN])
    assert not authors.is_complete(made_up(), PAPER_GAP, T, kinds)
    last = (rows["repeat"] == 9) & (rows["split"] == APART)
    for name in (T, f"permuted {T}", "fractions", "Magpie", "mat2vec"):
        lacking = rows[~(last & (rows["features"] == name))]
        assert not authors.is_complete(lacking, PAPER_GAP, T, kinds), name
        assert authors.is_complete(lacking, PAPER_GAP, T, [PLAIN])
    assert authors.is_complete(rows[rows["features"] != "SkipAtom"], PAPER_GAP, T, kinds)
    three = made_up().query("repeat < 3").assign(dataset=PAPER_ENERGY)
    assert authors.is_complete(three, PAPER_ENERGY, T, [PLAIN])
    assert not authors.is_complete(pd.DataFrame(), PAPER_GAP, T, kinds)


def test_the_table_has_the_papers_triples_where_they_belong():
    table = authors.beside_paper(made_up()).set_index("features")
    printed = as_printed().query("dataset == 'MP'").set_index("method")
    own = authors.paper_own_T()
    assert own.split(", ")[0] in authors.tables_of_T()
    for theirs, here in (
        ("WGAN", own),
        ("one-hot", "one-hot"),
        ("Magpie", "Magpie, unscaled"),
    ):
        for metric in ("mae", "rmse", "r2"):
            assert table.loc[here, f"paper_{metric}"] == printed.loc[theirs, metric]
    assert table["paper_mae"].notna().sum() == 3 and HU_2020
    assert (table["repeats"] == 10).all() and table["relative"].notna().all()
    assert (table["converged"] == (table["relative"].abs() < 0.02)).all()
    np.testing.assert_allclose(table["test_chosen_mae"], table["mae"] - 0.001)


def test_parts_of_a_rule():
    tests = authors.contrasts(made_up())
    others = ["permuted T (mp), mean", "fractions"]
    assert authors.ahead(tests, PAPER_GAP, "T (mp), mean", others, [PLAIN])[0] == [True, True]
    both = authors.ahead(tests, PAPER_GAP, "T (mp), mean", ["fractions"], [PLAIN, APART])
    assert both == ([True, None], [True, False])
    worse = tests["a"].str.startswith("T (oqmd)") & (tests["b"] == "one-hot")
    assert (tests.loc[worse, "difference"] > 0).all()
    assert authors.ahead(tests, PAPER_GAP, "T (oqmd), sum", ["one-hot"], [PLAIN])[0] == [False]
    unsure = tests.assign(converged=tests["b"] != "fractions")
    assert authors.ahead(unsure, PAPER_GAP, "T (mp), mean", others, [PLAIN])[1] == [True, False]
    assert (
        authors.ahead(tests.iloc[:0], PAPER_GAP, "T (mp), mean", others, [PLAIN])[0] == [None] * 2
    )
