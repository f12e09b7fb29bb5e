import pytest

from matgan.data.sources import SourceUnavailable
from matgan.properties import form, prediction
from matgan.properties.form import prediction_form
from matgan.properties.known import KnownCompositions


@pytest.fixture
def clicked(monkeypatch):
    few = KnownCompositions({"OQMD": ["TiO2", "Fe2O3"]})
    monkeypatch.setattr(prediction, "all_known", lambda: few)

    def click(formulas):
        _, options, answers = prediction_form(formulas).children
        options.children[1].click()
        return answers.value

    return click


def test_a_click_answers_each_formula(clicked):
    page = clicked("TiO2,\nNaCl , ")
    assert page.count("<th>TiO2</th>") == 1 and "<th>NaCl</th>" in page
    assert "formation energy (eV/atom)" in page and "OQMD" in page


def test_what_is_no_formula_is_said_and_is_no_html(clicked):
    page = clicked("<script>alert(1)</script>, TiO2")
    assert "<script>" not in page and "&lt;script&gt;" in page and "<th>TiO2</th>" in page


@pytest.mark.parametrize("asked", ["", " , ", ",".join(["NaCl"] * 201)])
def test_too_few_or_too_many(clicked, asked):
    assert "Give 1 to 200 formulas" in clicked(asked)


def test_missing_data_are_named(clicked, monkeypatch):
    def nothing(*args, **options):
        raise SourceUnavailable("oqmd: <no network>")

    monkeypatch.setattr(form, "predict", nothing)
    assert "&lt;no network&gt;" in clicked("TiO2")
