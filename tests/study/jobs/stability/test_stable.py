"""The jobs of the search: its pieces hold every block once; the errors of the small network."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from matgan.chemistry.composition import amounts_matrix, fractions, whole_counts
from matgan.properties import stability
from matgan.properties.candidates import Search
from matgan.properties.models import pretrained
from matgan.properties.training import Labelled
from matgan.representation.neighbours import NearestCompositions
from matgan.stability.hull import Hull
from matgan.study.jobs.stability import stable
from matgan.study.jobs.stability.stable import (
    ALL,
    ANY,
    ENERGY,
    ENTRIES,
    JOBS,
    LEARNED,
    LOOK_UP,
    OURS,
    nearest_energies,
    stability_rows,
)


def test_the_pieces_of_the_search_hold_every_block_once():
    pieces = {job.name: job.pieces() for job in JOBS}
    assert list(pieces["distilled"]) == ["answers", "labels"]
    blocks = [range(*piece.args) for piece in pieces["stable-compounds-all"].values()]
    every = [block for part in blocks for block in part]
    assert every == list(range(Search().enumeration().n_blocks))
    hundred = [
        block for piece in pieces["stable-compounds"].values() for block in range(*piece.args)
    ]
    assert sum(map(Search().enumeration().size, hundred)) == pytest.approx(1e8, rel=0.001)


def test_a_row_of_errors_by_hand(monkeypatch):
    """The teacher says -n for n atoms of the first kind; the small network is off by 0.1."""

    class Small:
        def energies(self, elements, amounts):
            assert np.take_along_axis(counts, elements, axis=1).tolist() == amounts.tolist()
            return -amounts.max(axis=1) + 0.1

    counts = whole_counts([f"Na{n}Cl" for n in range(1, 8)])
    monkeypatch.setattr(stable.distilled, "teacher", lambda rows: -rows.max(axis=1) * 1.0)
    monkeypatch.setattr(stable, "hull_energies", lambda rows: np.zeros(len(rows)))
    row = stable._row(Small(), counts, -counts.max(axis=1) + 0.3)
    assert row["compositions"] == 7 and row["kept"] == 1
    assert [row[k] for k in ("away", "mae", "mae_teacher")] == pytest.approx([0.1, 0.2, 0.3])


def test_the_look_up_is_that_of_the_study(oqmd):
    """`NearestCompositions`, whose search is another, where the fifth nearest is one alone."""
    rows = oqmd.sample(4100, random_state=0)
    amounts, energies = amounts_matrix(rows["formula"]), rows["target"].to_numpy()
    known, asked = amounts[:4000], amounts[4000:]
    away = np.sort(np.abs(fractions(asked)[:, None] - fractions(known)[None]).sum(axis=2), axis=1)
    alone = away[:, 5] - away[:, 4] > 1e-4
    theirs = NearestCompositions().fit(known, energies[:4000]).predict(asked[alone])
    own = nearest_energies(known, energies[:4000], asked[alone])
    assert alone.sum() > 10
    np.testing.assert_allclose(own, theirs, atol=1e-4)


def test_every_method_is_judged_on_the_same_compounds(oqmd, monkeypatch):
    rows = oqmd.sample(1500, random_state=0)
    amounts, energies = amounts_matrix(rows["formula"]), rows["target"].to_numpy()
    part = np.array(["train"] * 1200 + ["val"] * 100 + ["test"] * 200)
    data = Labelled(amounts, energies, np.ones(1500, dtype=bool), part)
    whole = Hull(amounts, energies)
    monkeypatch.setattr(stability, "oqmd_hull", lambda: whole)
    model = pretrained("formation_energy")
    table = {(row["method"], row["hull"]): row for row in stability_rows(data, model)}
    assert list(table) == [
        (OURS, ALL), (OURS, LEARNED), (LOOK_UP, ALL), (ENERGY, ""), (ENTRIES, LEARNED), (ANY, "")
    ]  # fmt: skip
    true = whole.own_distances()[part == "test"]
    for row in table.values():
        assert row["compounds"] == 200 and row["stable"] == pytest.approx((true < 0).mean())
    ours, guess = table[OURS, ALL], table[ANY, ""]
    predicted = stability.stability(amounts[part == "test"]).distance
    assert ours["mae"] == pytest.approx(np.abs(predicted - true).mean(), abs=1e-6)
    assert ours["f1_ranked"] >= table[ENERGY, ""]["f1_ranked"] > guess["f1_ranked"]
    assert guess["enrichment_100"] == pytest.approx(1)
    assert {r["compounds"] for r in stability_rows(data, pretrained("formation_energy"), 50)} == {
        50
    }


def test_of_a_samplers_draws_new_balanced_ones_count_once():
    enumeration = Search().enumeration()
    drawn = whole_counts(["NaCl", "MgO", "LiCl", "Na2Cl", "NaCl", "Ba2Cu3Y1O7", "KI", "Al2O3"])
    known = np.unique(enumeration.numbers(whole_counts(["KI", "NaO", "Na3Cl"])))
    kept = stable.new_ones(drawn, enumeration, known)
    # Na2Cl does not balance, the cuprate has more than ten atoms, KI is known
    np.testing.assert_array_equal(kept, whole_counts(["NaCl", "MgO", "LiCl", "Al2O3"]))
    assert stable.new_ones(drawn[:0], enumeration, known).shape == (0, 85)


def test_leads_are_over_trainings_whatever_the_samples_of_each():
    rng = np.random.default_rng(0)
    rows = [
        {"source": source, "seed": seed, "stable, per thousand kept": 200 + lead + noise}
        for lead, source in ((0, stable.GENERATED), (-90, stable.SWAPPED), (1, stable.SHUFFLED))
        for seed, noise in enumerate(rng.normal(0, 5, 10))
    ]
    table = stable.leads(pd.DataFrame(rows))
    each = pd.DataFrame(rows).assign(training=lambda t: t["seed"] % 5)
    values = each.pivot_table("stable, per thousand kept", "training", "source")
    assert len(values) == stable.SAMPLED == len(stable.trainings("oqmd"))
    tests = [
        stats.ttest_rel(values[stable.GENERATED], values[other]).pvalue
        for other in (stable.SWAPPED, stable.SHUFFLED)
    ]
    assert table.loc[stable.SWAPPED, "p_holm"] == pytest.approx(2 * tests[0])
    assert table.loc[stable.SHUFFLED, "p_holm"] == pytest.approx(tests[1])
    assert table.loc[stable.SWAPPED, "lead"] == pytest.approx(90, abs=6)
    assert np.isnan(table.loc[stable.GENERATED, "lead"])
