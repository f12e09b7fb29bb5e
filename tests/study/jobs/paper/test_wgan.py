"""The WGAN jobs: their pieces are the runs of the sweep, their rows those of the kept tables."""

from functools import partial

import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.data.sources import SourceUnavailable
from matgan.data.training_set import TrainingData
from matgan.generated import sweep
from matgan.study.jobs.paper import wgan
from matgan.study.jobs.runner import known_jobs, state
from matgan.study.run import LONG
from matgan.wgan.config import LEARNING

TINY = {"batch_size": 8, "critic_steps": 1, "hidden": (8,), "head": (8,), "generator_batch": 8}


@pytest.mark.parametrize("job", wgan.JOBS, ids=lambda job: job.name)
def test_a_row_of_a_kept_table_is_that_of_a_piece(job):
    pieces = job.pieces()
    assert known_jobs()[job.name] is job and list(pieces) == sorted(pieces)
    if state(job)[0] == "missing":
        return
    kept = pd.read_csv(LONG / f"{job.name}.csv")
    assert 1 <= len(kept) <= len(pieces)
    cells = [sweep.cells(piece.args[0])[piece.args[2]] for piece in pieces.values()]
    known = {tuple(labels.values()) for labels, _ in cells}
    for row in kept[list(cells[0][0])].itertuples(index=False):
        assert tuple(row) in known
    assert kept["iterations"].iloc[0] == cells[0][1].iterations


def test_the_data_of_the_paper_are_those_of_its_authors(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(sweep, "run_cell", lambda labels, config, data, folder: seen.append(data))
    try:
        wgan.one_training("objects", "paper", 0, tmp_path)
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    (data,) = seen
    assert len(data.train) + len(data.test) == 251_368 and data.train.max() == 5


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
    kept = pd.read_csv(LONG / "wgan-seeds-oqmd.csv").columns  # an older one
    assert [name for name in row if name in kept] == list(kept)
    same = expected.drop("seconds")
    assert {name: row[name] for name in same.index} == pytest.approx(same.to_dict(), nan_ok=True)


def test_the_training_data_are_those_of_the_kept_tables(mp_compositions):
    provenance = pd.read_json(LONG / "wgan-seeds-mp.json", typ="series")
    assert wgan.training_data("mp").hash == provenance["data"]["mp.npz"]
