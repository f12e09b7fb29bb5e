"""Quizzes: what counts as right, what is shown."""

import numpy as np
import pytest

from matgan.study.quiz import ask, is_right


def shown(capsys, *arguments, **options):
    ask(*arguments, **options)
    return capsys.readouterr().out.splitlines()


def test_it_shows_the_question_and_one_reply(capsys):
    hint = {"hint": "Look at 1.3."}
    first = "Which element?"
    assert shown(capsys, first, "Xe", None, **hint)[0] == first
    assert "run it again" in shown(capsys, first, "Xe", None, **hint)[1]
    assert shown(capsys, first, "Xe", "Kr", **hint) == [first, "Not yet. Look at 1.3."]
    assert shown(capsys, first, "Xe", " xe ", **hint) == [first, "Right."]


@pytest.mark.parametrize(
    ("answer", "right", "within", "expected"),
    [
        (0.95, 0.953, 0.01, True),
        (0.94, 0.953, 0.01, False),
        (95, 0.953, 0.01, False),
        (3, np.int64(3), 0, True),
        (3.0, 3, 0, True),
        (True, 1, 0, False),
        ("3", 3, 0, False),
        (float("nan"), 3, 1, False),
        (True, True, 0, True),
        (1, True, 0, False),
        ("yes", True, 0, False),
        (True, np.bool_(True), 0, True),
        ("The  Cuprates", "the cuprates", 0, True),
        (["O", "P"], {"P", "O"}, 0, True),
        (["O"], {"P", "O"}, 0, False),
        ("OP", {"P", "O"}, 0, False),
    ],
)
def test_what_is_right(answer, right, within, expected):
    assert is_right(answer, right, within) is expected


@pytest.mark.parametrize(
    "answer", ["", [], [1, None], {"a": 2}, float("inf"), object(), np.ones(2)]
)
def test_no_answer_is_an_error(answer):
    for right in ("Xe", 0.3, 7, True, {"O", "P"}):
        assert is_right(answer, right, 0.1) in (True, False)


@pytest.mark.parametrize("right", [None, float("nan"), np.float64("nan")])
def test_a_question_without_a_right_answer_is_named(right):
    with pytest.raises(ValueError, match="no right answer to 'Which'"):
        ask("Which", right, 3)
