"""Questions at the end of a lesson, answered in a cell and checked against the run's own numbers.

    answer_1 = None  # the symbol of an element
    ask("Which element is the rarest?", frequency.idxmin(), answer_1, hint="Look at 1.3.")

Nothing but text is shown, so that a quiz works wherever a notebook does.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np


def ask(
    question: str, right: object, answer: object = None, *, within: float = 0.0, hint: str = ""
) -> None:
    """Print the question, and whether the answer is right.

    Parameters
    ----------
    question : what is asked, with the unit or the choices of the answer
    right : the right answer, computed from the run: a number, a text, a truth value, or a
        collection of texts of which the answer must name all, in any order
    answer : the student's; None: not answered yet
    within : how far a number may be from the right one, in its own unit
    hint : shown beside a wrong answer

    Raises
    ------
    ValueError
        There is no right answer: it is None or not a number.
    """
    if right is None or (isinstance(right, float) and math.isnan(right)):
        raise ValueError(f"this run has no right answer to {question!r}")
    if answer is None:
        reply = "Set the answer in this cell and run it again."
    elif is_right(answer, right, within):
        reply = "Right."
    else:
        reply = f"Not yet. {hint}".strip()
    print(f"{question}\n{reply}")


def is_right(answer: Any, right: Any, within: float = 0.0) -> bool:
    """Whether an answer is right; see `ask`. One of another kind is wrong, not an error."""
    answer, right = (x.item() if isinstance(x, np.generic) else x for x in (answer, right))
    if isinstance(right, bool) or isinstance(answer, bool):
        return answer is right
    if isinstance(right, int | float):
        return isinstance(answer, int | float) and abs(answer - right) <= within
    if isinstance(right, str):
        return isinstance(answer, str) and _plain(answer) == _plain(right)
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return False
    return {_plain(a) for a in answer} == {_plain(r) for r in right}


def _plain(text: object) -> str:
    return " ".join(str(text).split()).casefold()
