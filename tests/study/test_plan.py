import re

import pytest

from matgan.study import plan
from matgan.study.run import PROJECT, RunError

NOTEBOOKS = PROJECT / "notebooks"


def test_a_notebook_is_chosen_by_number_or_name():
    by_number = plan.plan(NOTEBOOKS, "smoke", ["02"])
    assert [notebook.name for notebook in by_number] == ["02_wgan_training"]
    assert by_number == plan.plan(NOTEBOOKS, "smoke", ["02_wgan_training"])
    assert by_number[0].parameters["profile"] == "smoke"


def test_results_do_not_depend_on_notebooks_whose_files_are_not_read():
    first, second = plan.plan(NOTEBOOKS, "smoke", ["01", "02"])
    entries = {name: {"results": "x"} for name in (first.name, second.name)}
    changed = {**entries, first.name: {"results": "y"}}
    marks = [plan.fingerprint(n, {"notebooks": entries}) for n in (first, second)]
    assert marks[0] == plan.fingerprint(first, {"notebooks": changed})
    assert marks[1] != plan.fingerprint(second, {"notebooks": changed})


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("epochs", "['a']", "of type int, not ['a']"),
        ("epochs", "0", "1 to 4,294,967,295, not 0"),
        ("trees", "0", "1 to 4,294,967,295, not 0"),
        ("train_rows", "-5", "not -5"),
        ("seed", "-1", "0 to 4,294,967,295, not -1"),
        ("seed", "4294967296", "0 to 4,294,967,295"),
        ("seed", "null", "of type int, not None"),
        ("test_fraction", "1e999", "a finite number, not inf"),
        ("test_fraction", "1.0", "below 1, not 1.0"),
        ("test_fraction", "0", "above 0, not 0"),
        ("search", "['a', 1]", "of type int, not 'a'"),
        ("search", "[]", "an empty list"),
        ("scalings", "[1]", "of type str, not 1"),
        ("learning_rates", "[0]", "above 0, not 0"),
        ("more_features", "[1]", "of type str, not 1"),
        ("live", "SuperCon", "of type list, not 'SuperCon'"),
        ("generators", "/no/such/folder", "a folder, seen from"),
    ],
)
def test_parameters_of_the_study_that_make_no_sense(name, text, fault):
    with pytest.raises(RunError, match=re.escape(fault)) as caught:
        plan.plan(NOTEBOOKS, "laptop", overrides=[(name, text)])
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("max_compounds", "0"), ("search", "[0, 5]"), ("scalings", "[None]"), ("more_features", "[]")],
)
def test_a_zero_or_none_that_the_notebook_explains_is_taken(name, text):
    assert plan.plan(NOTEBOOKS, "laptop", overrides=[(name, text)])


def test_every_profile_of_the_study_makes_sense():
    for profile in ("smoke", "laptop", "full"):
        assert len(plan.plan(NOTEBOOKS, profile)) >= 9


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("1e-3", 1e-3), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("a b", "a b")],
)
def test_a_value_on_the_command_line_is_a_literal_or_a_text(text, value):
    assert plan._value(text) == value
