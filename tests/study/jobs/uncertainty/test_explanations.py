"""The job of explanations: controls that keep everything but what is asked."""

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.composition import formulas, fractions
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.study.jobs.uncertainty import explanations as job
from matgan.study.run import LONG, PROJECT


def test_shuffled_attributions_are_the_same_numbers_elsewhere():
    found = np.full((50, 85), np.nan)
    found[:, :4] = np.random.default_rng(0).normal(size=(50, 4))
    other = job.shuffled_within(found, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(other, axis=1))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(other))
    assert abs(job.agreement_within(found, other)) < 0.2 and job.agreement_within(found, found) == 1
    assert job.agreement_within(found, -found) == -1


def test_agreement_asks_within_compounds():
    """Compounds of high and low values alike: no agreement but of what is between elements."""
    level = np.arange(20.0)[:, None]
    one = np.full((20, 85), np.nan)
    one[:, :2] = level + np.array([1, -1])
    other = one.copy()
    other[:, :2] = level + np.array([-1, 1])
    assert job.agreement_within(one, other) == -1
    other[0, 1] = np.nan  # an element left alone has nothing to be compared with
    assert job.agreement_within(one, other) == -1


def test_the_order_of_anions_by_hand():
    X = fractions(["NaF"] * 5 + ["NaCl"] * 5 + ["NaBr"] * 4 + ["Na2O"] * 5)
    found = np.where(X > 0, 0.0, np.nan)
    found[:5, ELEMENT_INDEX["F"]], found[5:10, ELEMENT_INDEX["Cl"]] = 2.0, 1.0
    assert job.anion_order(found, X, -1.0) == (1.0, 1)  # Br in four compounds only
    assert job.anion_order(found, X, 1.0) == (0.0, 1)


def test_a_piece_has_each_way_beside_its_control(wheel, monkeypatch):
    def few(data, repeat, rows=0, start=0):
        return job.uncertainty.drawn(data, repeat, 300, start)

    for name, value in {"drawn": few, "EXPLAINED": 150, "FITTED": 150}.items():
        monkeypatch.setattr(job, name, value)
    rows = {(row["what"], row["way"]): row for row in job.piece("gaps", 0, 1, None)}
    assert rows["completeness", job.GRADIENTS]["value"] < 0.05
    for way in (job.GRADIENTS, job.DELETION):
        assert rows["ridge", way]["value"] > rows["ridge", f"{way}, shuffled"]["value"]
    apart = {way: row["value"] for (what, way), row in rows.items() if what == "neighbours"}
    assert set(apart) == {"hidden layer", "composition", "equal prediction", "any"}
    assert rows["neighbours", "composition"]["shared"] == max(
        row["shared"] for (what, _), row in rows.items() if what == "neighbours"
    )
    assert rows["ridge", job.GRADIENTS]["mae"] == pytest.approx(rows["neighbours", "any"]["mae"])


def test_what_longer_training_changes_is_not_settled():
    """By hand: a mean difference of 0.5 on repeats 0 and 1, which becomes 0.4, then 0.2."""

    def rows(ways, mae, times, data="gaps"):
        return [
            {"what": "ridge", "data": data, "repeat": r, "times": times, "way": way}
            | {"value": value + r, "mae": mae}
            for r in range(2)
            for way, value in ways.items()
        ]

    once = rows({"a": 0.6, "b": 0.1}, 1.0, 1)

    def settled(more):
        return job.is_settled(pd.DataFrame(once + more), "ridge", "a", "b")

    assert settled(rows({"a": 0.7, "b": 0.3}, 1.01, 2))
    assert not settled(rows({"a": 0.5, "b": 0.3}, 1.01, 2))
    assert not settled(rows({"a": 0.7, "b": 0.3}, 0.97, 2))
    assert not settled([])
    assert not settled(rows({"a": 0.7, "b": 0.3}, 1.0, 2) + rows({"a": 1, "b": 0}, 1.0, 1, "Tc"))


def test_the_page_of_the_docs_shows_what_the_code_says(wheel):
    part = job.drawn("gaps", 0)
    split = job.split_of(part, "random", 0)
    place = list(formulas(part.amounts[split.test])).index("NaInS2")
    found = job.example(part, split, place, 0)
    page = (PROJECT / "docs" / "explained.md").read_text(encoding="utf-8")
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = {row[0]: row[1:] for row in cells}
    first = {"predicted": found.predicted, "90% interval, from": found.low, "to": found.high}
    first |= {"measured": part.y[split.test][place]}
    first |= {"all others, which are not there": found.absent}
    for name, value in first.items():
        assert float(shown[name][0]) == pytest.approx(value, abs=0.02)
    for row in found.contributions.itertuples():
        adds, taken = map(float, shown[row.element])
        assert (adds, taken) == pytest.approx((row.adds, row.deletion), abs=0.02)
    for row in found.neighbours.itertuples():
        assert f"| {row.by} | {row.formula} | {row.value:.2f} |" in page


def test_the_page_of_the_docs_shows_the_kept_means():
    kept = pd.read_csv(LONG / "explanations.csv").query("times == 1")
    means = kept.pivot_table("value", ["what", "way"], "data")
    page = (PROJECT / "docs" / "explained.md").read_text(encoding="utf-8")
    ridge = means.loc["ridge", job.GRADIENTS]
    for number in (
        f"{ridge['energies']:.2f} (energies), {ridge['gaps']:.2f} (gaps) and {ridge['Tc']:.2f}",
        f"{means.loc[('anions', job.GRADIENTS), 'gaps']:.0%} of the pairs",
        f"{means.loc[('anions', f'{job.GRADIENTS}, shuffled'), 'gaps']:.0%} if shuffled",
        f"by {means.loc[('neighbours', 'hidden layer'), 'gaps']:.2f} eV",
        f"by {means.loc[('neighbours', 'composition'), 'gaps']:.2f} eV",
    ):
        assert number in page, number
