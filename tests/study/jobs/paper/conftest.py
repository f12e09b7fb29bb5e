"""A task of a few hundred compounds in the place of OQMD's, for the jobs of unseen elements."""

from functools import partial

import pytest

from matgan.representation import benchmark
from matgan.study.jobs.paper import elements

LOAD = benchmark.load_task


@pytest.fixture
def few_elements(monkeypatch, oqmd):
    """The table of compounds; trainings of a few steps, each at one rate."""
    monkeypatch.setattr(elements, "DECIDES", dict.fromkeys(elements.DATA, 100))
    monkeypatch.setattr(elements, "STEPS", 4)
    monkeypatch.setattr(elements, "TESTED", 40)
    monkeypatch.setattr(elements, "best_rate", lambda search, method: 1e-3)
    monkeypatch.setattr(benchmark.compounds, "load_oqmd", lambda: oqmd)
    monkeypatch.setattr(benchmark, "load_task", partial(LOAD, rows=500))
    return oqmd
