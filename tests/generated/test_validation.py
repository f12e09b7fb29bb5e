"""One table of all measures: each value is what the measure alone gives."""

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import amounts_matrix, count_matrix, whole_counts
from matgan.data.training_set import TrainingData
from matgan.generated import measures
from matgan.generated.models import MATGAN, OURS, REAL, SHUFFLED, find_models, known_compositions
from matgan.generated.pairs import map_likeness, pair_enrichment
from matgan.generated.validation import (
    PAIR_MAP,
    Sizes,
    decoded,
    measure,
    measure_all,
    recovery_table,
    wide,
)

SMALL = Sizes(samples=1200, auc_samples=100, auc_folds=2, pool=10_000)


@pytest.fixture(scope="module")
def models(mp_training):
    data = TrainingData(mp_training.train[:20_000], mp_training.test)
    return find_models("mp", data, slow_draws=1024)


@pytest.fixture(scope="module")
def known(models):
    return known_compositions([models.data])


def values(table):
    return table.set_index("measure")["value"]


def test_each_value_is_that_of_the_measure_alone(models, known):
    table = measure(models, OURS, known, SMALL, seed=2, turn=1)
    assert set(table["weights"]) == {"wgan-mp-seed1"}
    assert set(table["seed"]) == {3}
    found, drawn = values(table), models.draw(OURS, 1200, 2, 1).counts
    assert found["balanced"] == measures.validity_rates(drawn)["balanced"]
    assert found["novel"] == measures.novelty(drawn, models.data.train)
    assert found["novel, all known"] <= found["novel"]
    assert found["compositions"] == 1200
    assert found["recovered in 1,000"] == measures.recovery(drawn, models.data.test, [1000])[0]
    pool = models.draw(OURS, 10_000, 2, 1).counts
    assert found["recovered in 10,000"] == measures.recovery(pool, models.data.test, [10_000])[0]
    real = pair_enrichment(models.data.test)
    assert found[PAIR_MAP] == map_likeness(pair_enrichment(pool), real)


def test_what_a_real_compound_cannot_be_is_not_measured(models, known):
    found = values(measure(models, REAL, known, SMALL))
    assert not [name for name in found.index if name.startswith(("novel", "recovered"))]
    assert found["unique"] == 1


def test_a_model_without_network_and_one_of_few_compositions_say_so(models, known, tmp_path):
    without = find_models("mp", models.data, tmp_path)
    table = measure(without, OURS, known, SMALL)
    assert table["measure"].tolist() == ["not run"]
    assert np.isnan(table["value"][0])
    few = find_models("mp", models.data, slow_draws=1)  # one batch of 1,024
    few.networks[MATGAN]["wgan-mp-dan2020"].rule = "threshold"
    found = values(measure(few, MATGAN, known, Sizes(samples=50, pool=50)))
    assert found["compositions"] == 50  # below 100: no rates
    assert "neutral" not in found


def test_every_network_has_its_turn_and_the_tables_follow(models, known):
    table = measure_all(models, known, Sizes(120, 100, 2, 1000), n_seeds=1)
    counts = table[table["measure"] == "neutral"]["model"].value_counts()
    assert counts[OURS] == 5
    assert counts[SHUFFLED] == counts[REAL] == 1
    summary = measures.over_seeds(table)
    recovered = recovery_table(summary)
    assert set(recovered["samples"]) == {1000}
    row = recovered[recovered["model"] == SHUFFLED].iloc[0]
    alone = table[(table["model"] == SHUFFLED) & (table["measure"] == "recovered in 1,000")]
    assert row["recovered"] == alone["value"].item()
    shown = wide(summary, "mp")
    assert shown.loc["neutral", OURS].count("±") == 1
    assert "±" not in shown.loc["neutral", SHUFFLED]
    assert shown.loc["compositions", SHUFFLED] == "120"


def test_decoding_by_hand():
    """Two marks for one element: nothing, the larger, or the sum."""
    two = count_matrix(whole_counts(amounts_matrix(["NaCl", "KBr"]))).astype(float)
    two[1, :, 7] = two[1, :, 0] * 0.9  # eight of each as well, a little less sure
    empty, single = np.zeros((2, 85, 8))
    single[3, 1] = 1
    table = decoded(np.stack([*two, empty, single])).set_index("rule")
    assert table["undecodable"].tolist() == [1 / 4, 0, 0]
    assert table["decodable"].tolist() == [1 / 4, 2 / 4, 2 / 4]
    assert table["empty"].tolist() == table["single element"].tolist() == [1 / 4] * 3
    assert table["atoms, mean"].tolist() == [2, 2, (2 + 18) / 2]
    assert table["neutral"].tolist() == [1, 1, 1]
    nothing = decoded(np.zeros((3, 85, 8)))
    assert nothing["empty"].tolist() == [1, 1, 1]
    assert nothing["unique"].isna().all()


def test_sizes_go_in_powers_of_ten():
    assert Sizes(pool=99_999).recovery == [1000, 10_000]


def test_rows_without_recovery_give_an_empty_table():
    columns = ["data", "measure", "model", "mean", "low", "high", "interval over", "n"]
    rows = [("mp", "neutral", REAL, 0.7, 0.6, 0.8, "samples", 3)]
    assert recovery_table(pd.DataFrame(rows, columns=columns)).empty
