import gzip
import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matgan import CompositionError, explain
from matgan.__main__ import main as door
from matgan.chemistry.composition import amounts_matrix
from matgan.data.sources import SourceUnavailable
from matgan.properties import models, prediction
from matgan.properties.known import KnownCompositions
from matgan.properties.prediction import PredictionError, predict, predict_file, summary

ROOT = Path(__file__).parents[2]
FORMULAS = ["TiO2", "Cu3Au", "YBa2Cu3O7", "Fe4O6", "NaCl"]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Four known compositions in place of 395,000."""
    few = KnownCompositions({"OQMD": ["TiO2", "Fe2O3"], "SuperCon": ["YBa2Cu3O7", "TiO2", "KI"]})
    monkeypatch.setattr(prediction, "all_known", lambda: few)
    return few


def test_each_number_is_that_of_its_source(known):
    table = predict(FORMULAS, nearest=2)
    asked = [Composition(formula).reduced_composition for formula in FORMULAS]
    assert [Composition(formula) for formula in table["formula"]] == asked
    amounts = amounts_matrix(FORMULAS)
    for name in models.PROPERTIES:
        found = models.pretrained(name).predict(amounts)
        np.testing.assert_array_equal(table[name], found.value)
        np.testing.assert_array_equal(table[f"{name}_low"], found.low)
        np.testing.assert_array_equal(table[f"{name}_high"], found.high)
        np.testing.assert_array_equal(table[f"{name}_outside"], found.outside)
    gap, tc = models.pretrained("band_gap"), models.pretrained("critical_temperature")
    np.testing.assert_allclose(table["metal_probability"], 1 - gap.predict(amounts).probability)
    np.testing.assert_array_equal(
        table["superconductor_probability"], tc.predict(amounts).probability
    )
    neutral = [explain(formula, "smact14").neutral for formula in FORMULAS]
    assert table["neutral"].tolist() == neutral
    assert table["known_in"].tolist() == ["OQMD, SuperCon", "", "SuperCon", "OQMD", ""]
    assert table["nearest_1"].tolist()[2:4] == table["formula"].tolist()[2:4]
    assert table["distance_1"].iloc[[0, 2, 3]].tolist() == [0, 0, 0]
    assert table["nearest_1"][1] == table["formula"][2]  # of copper, 3 of 13 atoms
    assert table["distance_1"][1] == pytest.approx(1 - 3 / 13)


def test_the_index_is_kept():
    given = pd.Series(FORMULAS, index=list("edcba"))
    table = predict(given, ["formation_energy"])
    assert table.index.tolist() == list("edcba") and "band_gap" not in table
    other = predict(given[::-1], ["formation_energy"])  # the same but for the last bits
    pd.testing.assert_series_equal(other.loc["a"], table.loc["a"], rtol=1e-5)


def test_rows_that_are_none():
    given = pd.Series(["TiO2", "TiOO2x", "NaCl"], index=[7, 8, 9])
    with pytest.raises(CompositionError, match="8"):
        predict(given)
    table = predict(given, on_error="nan")
    assert table.index.tolist() == [7, 8, 9] and table["formula"].isna().tolist() == [0, 1, 0]
    assert table["error"].map(bool).tolist() == [False, True, False]
    assert table["error"][8] and "band_gap" in table and np.isnan(table["band_gap"][8])
    assert predict(given, on_error="drop").index.tolist() == [7, 9]


@pytest.mark.parametrize("given", [[], iter([]), pd.Series([], dtype=object)])
def test_no_rows_have_all_columns(given):
    table = predict(given)
    assert len(table) == 0 and list(table) == list(predict(["NaCl"]))


def test_all_rows_may_be_none():
    table = predict(["x", "y"], on_error="nan")
    assert len(table) == 2 and table["error"].all()
    assert len(predict(["x", "y"], on_error="drop")) == 0


def test_parts_do_not_matter(monkeypatch):
    whole = predict([*FORMULAS, "x"], on_error="nan")
    monkeypatch.setattr(prediction, "_PART", 2)
    pd.testing.assert_frame_equal(
        predict([*FORMULAS, "x"], on_error="nan"), whole, check_dtype=False, rtol=1e-5
    )


def test_without_neighbours_no_data_are_needed(monkeypatch):
    def nothing():
        raise SourceUnavailable("no data here")

    monkeypatch.setattr(prediction, "all_known", nothing)
    assert "known_in" not in predict(FORMULAS, nearest=0)
    with pytest.raises(SourceUnavailable):
        predict(FORMULAS)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"properties": ["colour"]}, "not 'colour'"),
        ({"properties": "colour"}, "not 'colour'"),
        ({"nearest": -1}, "whole number from 0 to 1000, not -1"),
        ({"nearest": 1.5}, "whole number from 0 to 1000, not 1.5"),
        ({"nearest": None}, "whole number from 0 to 1000, not None"),
        ({"nearest": True}, "whole number from 0 to 1000, not True"),
        ({"nearest": 10**7}, "whole number from 0 to 1000, not 10000000"),
    ],
)
def test_options_that_make_no_sense(options, why):
    with pytest.raises(ValueError, match=why):
        predict(FORMULAS, **options)


def test_one_property_may_be_given_by_its_name_alone():
    table = predict(FORMULAS, "band_gap", nearest=np.int64(4))
    pd.testing.assert_frame_equal(table, predict(FORMULAS, ["band_gap"], nearest=4))
    assert "band_gap" in table and "formation_energy" not in table


def test_no_more_are_near_than_are_known():
    table = predict(FORMULAS, nearest=9)  # four are known
    assert [c for c in table if c.startswith("nearest_")] == [f"nearest_{k}" for k in (1, 2, 3, 4)]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text('id,formula,note\n007,TiO2,"a, b"\n008,what?,NA\n009,NaCl,\n', encoding="utf-8")
    return path


def test_a_file_keeps_its_columns_and_rows(table, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_PART", 2)
    out = tmp_path / "out.csv"
    assert predict_file(table, out) == (3, 1)
    found = pd.read_csv(out, dtype={"id": str}, keep_default_na=False, na_values={"band_gap": ""})
    assert found["id"].tolist() == ["007", "008", "009"]
    assert found["note"].tolist() == ["a, b", "NA", ""]
    assert found["error"].map(bool).tolist() == [False, True, False]
    answers = predict(["TiO2", "NaCl"])
    np.testing.assert_allclose(found["band_gap"].dropna(), answers["band_gap"], rtol=1e-4)
    assert found["reduced_formula"].tolist() == ["TiO2", "", "NaCl"]


def test_a_compressed_file(table, tmp_path):
    predict_file(table, tmp_path / "out.csv.gz")
    with gzip.open(tmp_path / "out.csv.gz", "rt") as file:
        assert len(pd.read_csv(file)) == 3


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        ("a,b\n1,2\n", {}, "has no column 'formula'; it has a, b"),
        ("formula,band_gap\nNaCl,5\n", {}, "has a column 'band_gap'"),
        ("", {}, "is no CSV table"),
        ("formula\nNaCl\nNaCl,1,2\n", {}, "is no CSV table"),
        ("x\nNaCl\n", {"column": "formulas"}, "has no column 'formulas'"),
    ],
)
def test_a_file_that_cannot_be_answered_leaves_nothing(content, options, why, tmp_path):
    path, out = tmp_path / "in.csv", tmp_path / "new" / "out.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PredictionError, match=why):
        predict_file(path, out, **options)
    assert not out.exists() and not list(tmp_path.glob("new/.*"))


def test_the_command(table, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert door(["predict", str(table), "--out", str(out), "--nearest", "0"]) == 0
    assert len(pd.read_csv(out)) == 3
    assert door(["predict", "TiO2", "NaCl", "--properties", "band_gap"]) == 0
    shown = capsys.readouterr().out
    assert "band gap (PBE) (eV)" in shown and "TiO2" in shown
    given = tmp_path / "given.csv.gz"
    assert door(["predict", "TiO2", "NaCl", "--out", str(given)]) == 0
    assert pd.read_csv(given)["formula"].tolist() == ["TiO2", "NaCl"]
    assert door(["predict", "TiO2x"]) == 1
    assert "TiO2x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        door(["predict", str(table)])


def test_a_summary_for_people():
    texts = summary(predict(["TiO2", "Na+"], on_error="nan"))
    row = texts.iloc[0]
    assert (
        row["charge-neutral"].startswith("neutral and balanced") and "Ti" in row["charge-neutral"]
    )
    assert row["known in"] == "OQMD, SuperCon" and row["nearest 1"].startswith("TiO2 (0% ")
    value = predict(["TiO2"])["formation_energy"][0]
    assert row["formation energy (eV/atom)"].startswith(f"{value:.3g} (")


def test_the_examples_of_the_page_run():
    """docs/predict.md: a gap whose whole interval lies in the wanted range."""
    page = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert len(names["table"]) == 3 and names["wide"].rule == "interval"
    drawn = names["load_generator"]("wgan-mp").sample(3, seed=1, having=names["wide"])
    assert (names["gap"](drawn.counts)[1] >= 2).all()


def test_elements_have_the_energy_zero_and_people_see_no_unlikely_values():
    table = predict(["Fe", "NaCl"])
    assert table.loc[0, ["formation_energy", "formation_energy_low"]].tolist() == [0, 0]
    shown = summary(table)["critical temperature (K)"]
    assert table["superconductor_probability"][1] < 0.05 and shown[1] == "none expected"


def test_an_interrupt_waits_for_compiled_code(monkeypatch):
    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return answers(*arguments)

    answers = prediction._answers
    monkeypatch.setattr(prediction, "_answers", pressed)
    with pytest.raises(KeyboardInterrupt):
        predict(["NaCl"])


@pytest.mark.parametrize(
    ("out", "error", "why"),
    [
        ("in.csv", PredictionError, "is the file that is read"),
        ("a.xlsx", ValueError, "as .csv or .csv.gz, not as 'a.xlsx'"),
    ],
)
def test_answers_replace_nothing_that_is_read(table, tmp_path, out, error, why):
    before = table.read_bytes()
    with pytest.raises(error, match=why):
        predict_file(table, tmp_path / out)
    assert table.read_bytes() == before and not (tmp_path / "a.xlsx").exists()
