"""The long training of the crystal graph network, on a few structures."""

import numpy as np
import pandas as pd
import pytest

from matgan.crystals import cgcnn
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
