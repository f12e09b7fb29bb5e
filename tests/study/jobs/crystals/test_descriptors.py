"""The job of notebook 33: what its pieces cover, and the kept table."""

import pandas as pd

from matgan.crystals import two_descriptors as two
from matgan.study.jobs.crystals.descriptors import JOBS, REPEATS
from matgan.study.run import LONG


def test_the_pieces_cover_each_data_set():
    pieces = JOBS[0].pieces()
    assert [piece.args[0] for piece in pieces.values()] == list(two.DATASETS)


def test_the_kept_table_has_every_model_on_every_split():
    kept = pd.read_csv(LONG / "two-descriptors.csv")
    once = kept[kept["epochs"].isna() | (kept["epochs"] == two.NETWORK_EPOCHS)]
    counts = once.groupby(["dataset", "split", "features"])["repeat"].nunique()
    assert len(counts) == len(two.DATASETS) * len(two.SPLITS) * len(two.models(2))
    assert (counts == REPEATS).all()
