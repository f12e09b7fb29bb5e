"""The WGAN jobs: their pieces are the runs of the sweep, their rows those of the kept tables."""

from functools import partial

import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data.training_set import TrainingData
from matgan.generated import sweep
from matgan.study.jobs import wgan
from matgan.study.jobs.runner import known_jobs, state
from matgan.study.run import LONG
from matgan.wgan.config import LEARNING

TINY = {"batch_size": 8, "critic_steps": 1, "hidden": (8,), "head": (8,), "generator_batch": 8}


@pytest.mark.parametrize("job", wgan.JOBS, ids=lambda job: job.name)
def test_a_job_has_a_piece_for_each_row_of_its_kept_table(job):
    kept = pd.read_csv(LONG / f"{job.name}.csv")
    pieces = job.pieces()
    assert len(pieces) == len(kept) and list(pieces) == sorted(pieces)
    part, _, index = next(iter(pieces.values())).args
    labels, config = sweep.cells(part)[index]
    assert kept.iloc[0][list(labels)].to_dict() == labels
    assert kept["iterations"].iloc[0] == config.iterations
    assert known_jobs()[job.name] is job
    assert state(job)[0] == "stale"  # made before there was the job


def test_a_piece_is_a_row_of_the_sweep(oqmd, mp_gap, tmp_path, monkeypatch):
    def one(iterations):
        yield {"seed": 3}, LEARNING.replace(seed=3, iterations=iterations, **TINY)

    counts = whole_counts(amounts_matrix(oqmd["formula"][:2400]))
    data = TrainingData(counts[:1200], counts[1200:])
    monkeypatch.setattr(sweep, "two_sample_auc", partial(sweep.two_sample_auc, folds=2))
    monkeypatch.setattr(sweep, "_TESTED", 300)
    monkeypatch.setitem(sweep.PARTS, "seeds", (one, 2))
    monkeypatch.setattr(wgan, "training_data", lambda name: data)
    (row,) = wgan.one_training("seeds", "oqmd", 0, tmp_path / "piece")
    expected = pd.read_csv(sweep.run_part("seeds", data, tmp_path / "sweep")).iloc[0]
    assert list(row) == list(pd.read_csv(LONG / "wgan-seeds-oqmd.csv").columns)
    same = expected.drop("seconds")
    assert {name: row[name] for name in same.index} == pytest.approx(same.to_dict(), nan_ok=True)


def test_the_training_data_are_those_of_the_kept_tables(mp_compositions):
    provenance = pd.read_json(LONG / "wgan-seeds-mp.json", typ="series")
    assert wgan.training_data("mp").hash == provenance["data"]["mp.npz"]
