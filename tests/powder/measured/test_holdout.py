import numpy as np
import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.powder.measured import holdout
from matgan.powder.measured.conditions import Variation
from matgan.powder.measured.preparation import reflection_lists
from matgan.powder.measured.simulation import Simulator
from matgan.powder.minerals import load_measured


@pytest.fixture(scope="module")
def minerals():
    try:
        return load_measured()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_the_published_parts_follow_from_the_rule(minerals):
    table = holdout.parts_table(minerals)
    assert table["part"].tolist() == holdout.read_parts().tolist()
    pd.testing.assert_frame_equal(table, pd.read_csv(holdout.PARTS_FILE), check_dtype=False)
    counts = table["part"].value_counts()
    assert counts.to_dict() == {"rest": 379, "tenth": 45, "twin": 23, "calculated": 7}


def test_no_pattern_of_the_rest_has_a_twin_in_the_tenth(minerals):
    parts = holdout.read_parts()
    means = minerals.intensity.reshape(len(minerals), -1, 5).mean(2)
    alike = np.corrcoef(means)
    kept = np.isin(parts, ("tenth", "rest"))
    pairs = alike[np.ix_(parts == "tenth", parts == "rest")]
    assert pairs.max() <= 0.95
    among = alike[np.ix_(kept, kept)] - np.eye(kept.sum())
    assert among.max() <= 0.95
    assert parts[152] == "calculated"  # without noise, as KNOWN says


def test_structures_of_measured_patterns_are_found(crystals):
    """Patterns drawn as an instrument would take them, under strain and texture: nine of ten of
    their own structures are barred, and few others."""
    lists = reflection_lists(crystals.take(np.arange(0, 51_000, 100)))
    rng = np.random.default_rng(0)
    own = rng.choice(len(lists), 40, replace=False)
    patterns = Simulator(lists, Variation(other_anode=0)).patterns(own, 3).numpy()
    barred = holdout.alike(lists, patterns, lists.classes[own, 2] + 1)
    assert barred[own].mean() >= 0.8
    others = np.delete(np.arange(len(lists)), own)
    assert barred[others].mean() < 0.3
