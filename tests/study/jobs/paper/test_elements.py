"""The job of unseen elements on a few hundred compounds."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.data.splits import unseen_elements
from matgan.representation import benchmark
from matgan.representation.benchmark import ENERGY
from matgan.representation.tables import load_embedding
from matgan.study.jobs.paper import elements as jobs
from matgan.study.jobs.runner import known_jobs

LOAD = benchmark.load_task


@pytest.fixture
def small(monkeypatch, oqmd):
    monkeypatch.setattr(jobs, "SIZES", (50, 100, 100_000))
    monkeypatch.setattr(jobs, "STEPS", 2)
    monkeypatch.setattr(jobs, "TESTED", 40)
    monkeypatch.setattr(jobs, "EPOCHS", dict.fromkeys(jobs.EPOCHS, 1))
    monkeypatch.setattr(benchmark.compounds, "load_oqmd", lambda: oqmd)
    monkeypatch.setattr(benchmark, "load_task", partial(LOAD, rows=500))


def test_a_piece_for_each_fold_and_data_set():
    (job,) = jobs.JOBS
    assert known_jobs()[job.name] is job
    pieces = job.pieces()
    assert len(pieces) == 3 * jobs.FOLDS and list(pieces)[:3] == [
        "fold-0-energies", "fold-0-gaps", "fold-0-tc",
    ]  # fmt: skip
    assert all(pickle.loads(pickle.dumps(piece)) for piece in pieces.values())


def test_every_feature_set_learns_from_the_same_compounds(small, tmp_path):
    try:
        table = pd.DataFrame(jobs.fold_piece(ENERGY, 2, tmp_path))
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    assert set(table["split"]) == {"unseen elements"} and set(table["repeat"]) == {2}
    sizes = table.groupby("features")[["n_train", "n_test"]].agg(list)
    assert len(sizes) == 13 and sizes.map(tuple).nunique().tolist() == [1, 1]
    assert sizes["n_train"].iloc[0] == [50, 100] and set(table["n_test"]) == {40}
    assert np.isfinite(table["mae"]).all()


def test_training_permutation_and_random_numbers_change_with_the_fold(small):
    task = benchmark.load_task(ENERGY)
    assert jobs.trainings("mp")[0] == "wgan-mp" and len(jobs.trainings("mp")) >= 3
    one, two, four = (jobs.features_of_fold(task, fold) for fold in (0, 1, 3))
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
    split = unseen_elements(task.amounts, jobs.FOLDS, jobs.SEED)[2]
    assert len(split.test) > 40
