import re

import numpy as np
import pandas as pd
import pytest

from matgan.learning.statistics import mean_interval
from matgan.study import claims
from matgan.study.claims import Claims, Number
from matgan.study.run import PROJECT, open_run

README = (PROJECT / "README.md").read_text()


def test_a_range_is_told_from_an_interval():
    span = claims.Number.span("3 trainings", [0.1, 0.4, 0.1], ".0%")
    assert str(span) == "3 trainings 20% [10% to 40%]" and span.ends == "range"
    assert str(claims.Number.span("one", [0.25])) == "one 0.25"
    assert str(Number("T", 0.2, 0.1, 0.4, ".0%")) == "T 20% (10% to 40%)"


@pytest.mark.parametrize(
    ("holds", "repeats", "converged", "expected"),
    [
        ([True, True], 10, True, "holds"),
        ([True, False], 10, None, "holds in part"),
        ([False, False], 12, True, "does not hold"),
        ([True, None], 10, True, "holds in part"),  # what was not run cannot be said to hold
        ([False, None], 10, True, "does not hold"),
        ([None], 0, None, "not run"),
        ([True], 9, True, "not decided: too few repeats"),
        ([False], 3, None, "not decided: too few repeats"),
        ([True], 10, False, "not decided: not converged"),
        ([np.bool_(True)], 10, np.bool_(True), "holds"),
        ([True], 10, np.bool_(False), "not decided: not converged"),
        ([True, True], 10, [True, True], "holds"),
        ([True, True], 10, [True, False], "not decided: not converged"),
        ([False, False], 10, (False, True), "not decided: not converged"),
        ([True, False, True], 10, [True, True, False], "holds in part"),  # whatever the last
        ([True, False, False], 10, [True, False, False], "not decided: not converged"),
        ([True, None, False], 10, [True, False, False], "holds in part"),  # never all of it
        ([False, None, False], 10, [True, False, False], "not decided: not converged"),
        ([True, False], 9, np.array([True, True]), "not decided: too few repeats"),
    ],
)
def test_the_verdict_follows_from_the_numbers(holds, repeats, converged, expected):
    assert claims.verdict(holds, repeats, converged=converged) == expected


def test_each_part_needs_its_convergence():
    with pytest.raises(ValueError, match="zip"):
        claims.verdict([True, False], 10, converged=[True])


def test_numbers_are_shown_and_kept_as_numbers(tmp_path):
    collected = Claims(open_run(tmp_path, "04_benchmarks"))
    interval = mean_interval([1.0, 2.0, 3.0])
    found = collected.add(
        "T | beats <one-hot> (MAE, eV)",
        paper="yes (Table 4)",
        here=Number.of("T", interval, ".2f"),
        control=[Number("one-hot", 2.5), "chance"],
        rule="lower",
        holds=[interval.mean < 2.5],
        needed=1,
        headline="T beats one-hot",
    )
    assert found == "holds"
    shown = collected.table()
    table = pd.read_csv(tmp_path / "tables" / "claims_04.csv")
    assert table.loc[0, "here"] == f"T 2.00 ({interval.low:.2f} to {interval.high:.2f})"
    assert table.loc[0, "control"] == "one-hot 2.5, chance"
    path = tmp_path / "tables" / "claims_04_numbers.csv"
    numbers = pd.read_csv(path, float_precision="round_trip")
    assert numbers["value"].tolist() == [2.0, 2.5]
    assert numbers.loc[0, ["low", "high"]].tolist() == [interval.low, interval.high]
    page = shown._repr_html_()
    assert 'id="claim-t-beats-one-hot-mae-ev"' in page
    assert "&lt;one-hot&gt;" in page
    assert str(shown) == "1 claims. holds: 1."


def test_a_cell_that_runs_again_replaces_its_claims(tmp_path):
    collected = Claims(open_run(tmp_path, "05_x"))
    facts = {"paper": "b", "rule": "above 1", "needed": 1}
    collected.add("a", here=Number("T", 0.5), holds=[False], **facts)
    collected.not_run("c", paper="b", why="no data")
    assert collected.add("a", here=Number("T", 2.0), holds=[True], **facts) == "holds"
    assert [row["claim"] for row in collected.rows] == ["a", "c"]
    assert [number["value"] for number in collected.numbers] == [2.0]
    assert collected.rows[1]["verdict"] == "not run"
    with pytest.raises(ValueError, match="has no part"):
        collected.add("d", paper="", here="1", rule="", holds=[])


def test_only_headlines_come_into_the_readme(tmp_path):
    for name, headline in (("04_x", "short"), ("05_y", "")):
        collected = Claims(open_run(tmp_path, name))
        claim = {"paper": "yes", "here": "1", "rule": "above 0", "holds": [True], "needed": 1}
        collected.add(f"long claim of {name}", headline=headline, **claim)
        collected.table()
    assert claims.read_claims(tmp_path / "tables")["notebook"].tolist() == ["04", "05"]
    assert claims.headline_table(tmp_path / "tables").splitlines()[2:] == [
        "| short | yes | 1 |  | holds |"
    ]


def test_a_readme_without_marks_or_a_folder_without_claims_is_named(tmp_path):
    with pytest.raises(ValueError, match="lacks the marks"):
        claims.with_claims("no marks", "| a |")
    with pytest.raises(FileNotFoundError, match=r"holds no claims_NN\.csv"):
        claims.headline_table(tmp_path)


def test_every_local_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 3
    for link in links:
        assert (PROJECT / link).exists(), link


def test_the_five_lines_of_the_readme_run(capsys, monkeypatch):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(PROJECT)
    names: dict = {}
    exec(snippet, names)
    assert names["C"].shape == (2, 128)
    assert len(names["new"]) == 1000
    said = capsys.readouterr().out
    assert "neutral" in said
    assert "space_group: 225" in said  # MnO has the structure of common salt
    assert len([line for line in snippet.splitlines() if line]) == 5


def test_the_claims_in_the_readme_are_those_of_the_published_run():
    table = claims.headline_table(PROJECT / "results" / "tables")
    assert len(table.splitlines()) == 2 + 8
    assert claims.with_claims(README, table) == README


def test_the_readme_is_short():
    words = re.findall(
        r"\w+(?:[.'’-]\w+)*", re.sub(r"\]\([^)]*\)|```.*?```", " ", README, flags=re.S)
    )
    assert len(words) <= 1200
