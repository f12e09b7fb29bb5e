"""The jobs of rankings by site likelihoods: small runs of both."""

import numpy as np
import pytest

from matgan.crystals import prototypes as pt
from matgan.crystals.sites.network import SHAPE
from matgan.study.jobs.crystals import site_ranking as ranking
from matgan.study.jobs.crystals import sites as job


@pytest.fixture(scope="module")
def data(crystals):
    return job.site_data(1500)


def test_rankings_combine_and_compare(data):
    groups = pt.group_templates(data.structures, data.structures.rows("train"))
    _, model = job.trained_row(data, job.Setting(SHAPE, trained=1000, epochs=1), tested=50)
    table = pt.pettifor_distances().numpy()
    rows = ranking.ranking_rows(
        ranking.Rankings(data.structures, groups, limit=3), model, data, 0, table
    )
    methods = {row["method"] for row in rows}
    assert methods == {
        ranking.LIKELIHOOD, ranking.POPULARITY, ranking.OURS,
        f"{ranking.POPULARITY} and site likelihood", f"{ranking.OURS} and site likelihood",
    }  # fmt: skip
    by = {(row["method"], row["part"]): row for row in rows}
    for part in ("val", "test"):
        for method in (ranking.POPULARITY, ranking.OURS):
            both = by[f"{method} and site likelihood", part]
            assert both["low_1"] <= both["gain_1"] <= both["high_1"]
            assert both["gain_1"] == pytest.approx(both["top_1"] - by[method, part]["top_1"])
    # on the part that chose the weight nothing is lost
    assert by[f"{ranking.OURS} and site likelihood", "val"]["gain_1"] >= 0


def test_a_gain_has_the_interval_of_its_compositions():
    before, after = np.repeat([1.0, 2.0], 500), np.ones(1000)
    after[:100] = 3
    found = ranking.gain_interval(before, after, 1)
    assert found["gain"] == pytest.approx(0.4)
    deviation = np.std((after <= 1).astype(float) - (before <= 1)) / np.sqrt(1000)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_the_proposals_of_a_system_know_none_of_its_phases(data):
    species = data.sites.species
    pairs = species[(species > 0).sum(1) == 2][:, :2].tolist()
    numbers = next(tuple(pair) for pair in pairs if 8 in pair)  # an oxide
    known = ranking.without_system(data, numbers)
    held = [set(z.tolist()) == set(numbers) for _, z, _ in data.structures]
    spaced = data.structures.table["space_group"] > 0
    np.testing.assert_array_equal(known, ~np.array(held) & spaced)
    groups = pt.group_templates(data.structures, np.flatnonzero(known))
    _, model = job.trained_row(data, job.Setting(SHAPE, trained=1000, epochs=1), tested=50)
    found = ranking.proposals(data, model, groups, numbers, pt.pettifor_distances())
    assert found["formula"].nunique() > 6
    assert not found.duplicated(["formula", "prototype"]).any()
    rows = ranking.system_rows("oxide", data, ~known, found)
    places = [row["place by popularity"] for row in rows]
    assert min(places) >= 1 and len(rows) >= 10
