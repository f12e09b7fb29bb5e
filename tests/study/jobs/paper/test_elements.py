"""The jobs of unseen elements on a few hundred compounds."""

import pickle

import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.representation.benchmark import ENERGY, GAP, TC
from matgan.representation.tables import load_embedding
from matgan.study.jobs.paper import elements as jobs
from matgan.study.jobs.runner import known_jobs


def test_what_decides_comes_first():
    assert all(known_jobs()[job.name] is job for job in jobs.JOBS)
    searches, curves = (job.pieces() for job in jobs.JOBS)
    n = len(jobs.descriptions())
    assert len(searches) == 3 * n and len(curves) == 9 * n + len(jobs.LONGER)
    first, checks = list(curves.values())[:n], list(curves.values())[n : 2 * n]
    assert {(p.args[0], *p.args[2:]) for p in first} == {(ENERGY, (jobs.DECIDES[ENERGY],), 1)}
    assert {(p.args[0], *p.args[2:]) for p in checks} == {(ENERGY, (jobs.DECIDES[ENERGY],), 2)}
    assert [p.args[1] for p in first] == [p.args[1] for p in checks] == list(jobs.descriptions())
    assert all(pickle.loads(pickle.dumps(piece)) for piece in curves.values())
    assert {name for pair in jobs.planned() for name in pair} <= set(jobs.descriptions())


def test_no_label_holds_an_element_that_is_tested(few_elements):
    task = jobs.task_of(ENERGY)
    splits = jobs.element_splits(task)
    assert len(splits) == jobs.FOLDS
    present = task.amounts > 0
    for split in splits:
        parts = (split.train, split.validation, split.test)
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        train, validation, test = (present[part].any(0) for part in parts)
        known = train | validation
        # each compound that is tested, and each that chooses the epoch, has an element of its own
        assert present[split.test][:, ~known].any(1).all()
        assert present[split.validation][:, ~train].any(1).all()
        assert len(split.validation) <= 0.2 * (len(split.train) + len(split.validation))
        assert (test & ~known).sum() >= 7  # of 85 a tenth, less those of no compound here


@pytest.mark.parametrize("dataset", [GAP, TC])
def test_every_fold_has_the_labels_that_decide(dataset):
    try:
        splits = jobs.element_splits(jobs.task_of(dataset))
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    assert jobs._most(splits) >= jobs.DECIDES[dataset]


def test_a_piece_has_a_row_for_each_fold(few_elements, tmp_path):
    table = pd.DataFrame(jobs.curve_piece(ENERGY, "T (mp)", (50, 100, 100_000), 1, tmp_path))
    assert table["repeat"].tolist() == 2 * list(range(jobs.FOLDS))  # no fold has 100,000 labels
    assert table["labels"].tolist() == [50] * 10 + [100] * 10
    assert table["split"].nunique() == 2 and np.isfinite(table["mae"]).all()
    twice = pd.DataFrame(jobs.curve_piece(ENERGY, "T (mp)", (100,), 2, tmp_path))
    assert set(twice["epochs"]) == {2 * table["epochs"].iloc[-1]}
    # the folds of other features are the same, and no fold is tested on what another one is
    other = pd.DataFrame(jobs.curve_piece(ENERGY, "fractions", (50, 100), 1, tmp_path))
    assert other["n_test"].equals(table["n_test"]) and not other["mae"].equals(table["mae"])


def test_the_search_looks_at_validation_rows(few_elements, tmp_path, monkeypatch):
    seen = []

    def fit_splits(X, y, splits, model):
        seen.append(splits[0])
        return jobs_fit(X, y, splits, model)

    jobs_fit = jobs.fit_splits
    monkeypatch.setattr(jobs, "fit_splits", fit_splits)
    rows = jobs.search_piece(ENERGY, "fractions", tmp_path)
    assert len(rows) == len(seen) >= 3 and {row["method"] for row in rows} == {
        f"fractions, {ENERGY}"
    }
    assert all(len(split.train) + len(split.validation) == 100 for split in seen)


def test_training_permutation_and_random_numbers_change_with_the_fold(few_elements):
    task = jobs.task_of(ENERGY)
    assert jobs.trainings("mp")[0] == "wgan-mp" and len(jobs.trainings("mp")) >= 3
    try:
        one, two, four = (
            {name: describe(task, fold) for name, describe in jobs.descriptions().items()}
            for fold in (0, 1, 3)
        )
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    fractions, n = one["fractions"], len(jobs.trainings("oqmd"))
    np.testing.assert_allclose(
        one["T (oqmd)"], fractions @ load_embedding("wgan-oqmd").to_numpy(), rtol=1e-3, atol=1e-4
    )
    for name in one:
        same = np.array_equal(one[name], two[name])
        assert same == (name in ("fractions", "Magpie", "mat2vec", "SkipAtom")), name
    assert np.array_equal(one["T (mp)"], four["T (mp)"]) == (n == 3)  # its turn again
    # the permuted T is the same vectors for other elements
    assert one["permuted T (mp)"].std() == pytest.approx(one["T (mp)"].std(), rel=0.3)
    assert not np.allclose(one["permuted T (mp)"], one["T (mp)"])
    assert one["T (mp) and Magpie"].shape[1] == 128 + one["Magpie"].shape[1]


def test_contrasts_wait_for_all_that_a_T_is_compared_with():
    names = [name for name in jobs.descriptions() if "oqmd" not in name]
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        [
            {"dataset": ENERGY, "features": name, "split": jobs.split_name(jobs.DECIDES[ENERGY])}
            | {"labels": jobs.DECIDES[ENERGY], "repeat": fold, "n_train": 1, "n_test": 2}
            | {"epochs": epochs, "mae": (0.2 if name == "T (mp)" else 0.4) + 0.01 * rng.random()}
            for name in names
            for fold in range(jobs.FOLDS)
            for epochs in (125, 250)
        ]
    )
    found = jobs.contrasts(rows, ENERGY)
    assert set(found["a"]) == {"T (mp)", "T (mp) and Magpie"}  # T (oqmd) is not there
    own = found[found["a"] == "T (mp)"]
    assert len(own) == 5 and (own["p_holm"] < 0.05).all() and own["converged"].all()
    assert (own["p_holm"] >= own["p"]).all() and own["difference"].max() < -0.15
    assert jobs.contrasts(rows[rows["repeat"] < 9], ENERGY).empty
