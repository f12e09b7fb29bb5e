"""A few structures in the place of all, so that whole pieces of jobs run in seconds."""

import numpy as np
import pytest

from matgan.study.jobs import search
from matgan.study.jobs.powder import material


@pytest.fixture
def few(crystals, monkeypatch, tmp_path):
    """160 training, 50 validation and 50 test structures of up to 20 atoms, a folder of jobs."""
    small = np.flatnonzero(np.diff(crystals.first) <= 20)
    chosen = crystals.take(small)
    rows = [chosen.rows(part, n) for part, n in (("train", 160), ("val", 50), ("test", 50))]
    chosen = chosen.take(np.sort(np.concatenate(rows)))
    monkeypatch.setattr(material, "load_structures", lambda: chosen)
    monkeypatch.setattr(material, "WORK", tmp_path / "jobs")
    monkeypatch.setattr(search, "LONG", tmp_path / "long")
    (tmp_path / "long").mkdir()
    caches = (material.all_structures, material.material, material.graphs)
    for cache in caches:
        cache.cache_clear()
    yield chosen
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def found_rates(few, tmp_path):
    """Writes the table of a search job, as the runner does."""
    import pandas as pd

    def write(job, rows):
        pd.DataFrame(rows).to_csv(tmp_path / "long" / f"{job}.csv", index=False)

    return write
