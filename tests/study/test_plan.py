import pytest

from matgan.study import plan
from matgan.study.run import PROJECT

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
    ("text", "value"),
    [("5", 5), ("1e-3", 1e-3), ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("a b", "a b")],
)
def test_a_value_on_the_command_line_is_a_literal_or_a_text(text, value):
    assert plan._value(text) == value
