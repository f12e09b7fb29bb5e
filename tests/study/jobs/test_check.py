import json
from functools import partial

import pytest

from matgan.study.jobs import check, command, runner
from matgan.study.jobs.runner import Job
from matgan.study.run import RunError

ROWS = [
    {"formula": "NaN", "error": 0.5, "lower": True, "seconds": 1.0, "note": ""},
    {"formula": "Na", "error": 2.0, "lower": False, "seconds": 2.0, "note": None, "kind": "b"},
]


def piece(changed, folder):
    if isinstance(changed, Exception):
        raise changed
    first = ROWS[0] | changed
    return [first, ROWS[1]] if changed.get("formula") != "lost" else [ROWS[1]]


def job(changed=None, name="pairs"):
    """Two pieces; the second, done anew, finds what is changed."""
    changed = {} if changed is None else changed
    return Job(
        name, "", 0.1, lambda: {"a": partial(piece, {"extra": 1}), "b": partial(piece, changed)}
    )


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "WORK", tmp_path / "work")
    monkeypatch.setattr(runner, "LONG", tmp_path / "long")
    assert runner.run_job(job())
    took(tmp_path / "long", a=3.0, b=5.0)
    return tmp_path


def took(long, **seconds):
    path = long / "pairs.json"
    facts = json.loads(path.read_text())
    for key, value in seconds.items():
        facts["pieces"][key]["seconds"] = value
    path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("changed", "verdict", "why"),
    [
        ({}, "same", "2 rows"),
        ({"seconds": 9.0}, "same", "2 rows"),
        ({"error": 0.51}, "close", "error by 0.005 of its largest"),
        ({"error": 0.6}, "differs", "error by 0.05 of its largest"),
        ({"lower": False}, "differs", "lower by 1 of its largest"),
        ({"formula": "NaCl"}, "differs", "formula is another"),
        ({"error": None}, "differs", "error is another"),
        ({"formula": "lost"}, "differs", "1 rows for 2"),
        ({"note": "new"}, "differs", "columns: note"),
        (FileNotFoundError("no table\nof that"), "not checked", "no table"),
        (ModuleNotFoundError("No module named 'x'"), "not checked", "No module named 'x'"),
    ],
)
def test_a_piece_done_anew_is_compared_with_the_table(changed, verdict, why):
    found = check.check_job(job(changed))
    assert (found.piece, found.verdict, found.why) == ("b", verdict, why)


def test_of_the_pieces_that_are_short_enough_the_longest_is_done():
    changed = job({"error": 9.0})
    assert check.check_job(changed, longest=4.0).verdict == "same"  # the other piece
    assert check.check_job(changed, longest=4.0).piece == "a"
    found = check.check_job(changed, longest=2.0)
    assert (found.piece, found.why) == ("", "its quickest piece took 3 s")
    assert check.check_job(job(name="others")).verdict == "not checked"


def test_nothing_but_the_answer_is_left(table):
    before = {path: path.read_bytes() for path in table.rglob("*") if path.is_file()}
    check.check_job(job({"error": 9.0}))
    assert before == {path: path.read_bytes() for path in table.rglob("*") if path.is_file()}


def test_a_table_that_lost_rows_is_named(table):
    path = table / "long" / "pairs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(RunError, match=r"pairs.csv has 3 rows, its pieces left 4"):
        check.check_job(job())


def test_the_command_fails_where_a_piece_differs(monkeypatch, capsys):
    jobs = {"pairs": job(), "others": job(name="others")}
    monkeypatch.setattr(command, "known_jobs", lambda: jobs)
    assert command.main(["check", "--all"]) == 0
    assert capsys.readouterr().out.split() == ["pairs", "same", "0", "s", "b", "2", "rows"]
    assert command.main(["check", "others"]) == 0
    assert "no table that counts the rows" in capsys.readouterr().out
    jobs["pairs"] = job({"error": 9.0})
    assert command.main(["check", "pairs"]) == 1
    for words, message in (
        (["check"], "name a job, or --all"),
        (["check", "cubes"], "no job 'cubes'"),
        (["check", "pairs", "--seconds", "0"], "above 0, not 0"),
    ):
        with pytest.raises(RunError, match=message):
            command.main(words)
