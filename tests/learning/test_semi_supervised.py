import numpy as np
import pytest

from matgan.learning import semi_supervised
from matgan.learning.regressor import FullyConnectedRegressor
from matgan.learning.semi_supervised import Teaching, students, teachers, together
from matgan.representation.features import Magpie, OneHot

SETTINGS = FullyConnectedRegressor(hidden=(16,), epochs=3, batch_size=32, learning_rate=1e-2)
LEARN, HELD = np.arange(60), np.arange(60, 80)


@pytest.fixture(scope="module")
def gaps(mp_gap):
    """Two views of 80 labelled and 50 other compounds, and the labels."""
    table = mp_gap.iloc[::300][:130]
    views = {
        "fractions": OneHot(fractions=True, dtype=np.float32).fit_transform(table["formula"]),
        "Magpie": Magpie(dtype=np.float32).fit_transform(table["formula"]),
    }
    known = {name: X[:80] for name, X in views.items()}
    return known, table["target"].to_numpy()[:80], {name: X[80:] for name, X in views.items()}


@pytest.fixture
def pair(gaps):
    views, y, _ = gaps
    return teachers(dict.fromkeys(views, SETTINGS), views, y, LEARN, HELD)


@pytest.fixture
def given(monkeypatch):
    """What each student was given: features, targets, and how many of the rows were to learn."""
    calls = []
    monkeypatch.setattr(semi_supervised, "_fitted", lambda *given: calls.append(given[1:]))
    return calls


def taught(gaps, pair, **how):
    views, y, others = gaps
    settings = dict.fromkeys(views, SETTINGS)
    return students(settings, pair, views, y, LEARN, HELD, others, Teaching(**how))


def test_a_student_learns_what_both_teachers_say(gaps, pair, given):
    views, y, others = gaps
    taught(gaps, pair)
    said = (
        pair["fractions"].predict(others["fractions"]) + pair["Magpie"].predict(others["Magpie"])
    ) / 2
    for (X, targets, n), name in zip(given, views, strict=True):
        assert n == 60 + 50  # no labelled row twice: they are more than half
        np.testing.assert_array_equal(X[:60], views[name][:60])
        np.testing.assert_array_equal(targets[:60], y[:60])
        np.testing.assert_array_equal(X[60:110], others[name])
        np.testing.assert_allclose(targets[60:110], said)
        np.testing.assert_array_equal(targets[110:], y[60:])


def test_in_co_training_each_learns_from_the_other(gaps, pair, given):
    _, _, others = gaps
    taught(gaps, pair, teacher="the other")
    for (_, targets, _), other in zip(given, ("Magpie", "fractions"), strict=True):
        np.testing.assert_allclose(targets[60:110], pair[other].predict(others[other]))


def test_few_labelled_rows_come_again_as_often_as_asked_for(gaps, pair, given):
    taught(gaps, pair, labelled=0.9)
    (X, _, n), _ = given
    assert n == 450 + 50
    _, times = np.unique(X[:450], axis=0, return_counts=True)
    # 7 or 8 times each; two compounds of equal fractions count as one row
    assert set(times) <= {7, 8, 14, 15, 16} and times.sum() == 450


def test_the_surest_are_those_on_which_teachers_agree(gaps, pair, given):
    _, _, others = gaps
    taught(gaps, pair, surest=0.2)
    apart = np.abs(
        pair["fractions"].predict(others["fractions"]) - pair["Magpie"].predict(others["Magpie"])
    )
    kept = np.sort(np.argsort(apart)[:10])
    np.testing.assert_array_equal(given[0][0][60:70], others["fractions"][kept])
    assert given[0][2] == 70


def test_no_other_label_is_looked_at_and_a_seed_fixes_all(gaps, pair):
    views, y, others = gaps
    blind = np.r_[y[:80], np.full(50, np.nan)]
    more = {name: np.concatenate([views[name], others[name]]) for name in views}
    settings = dict.fromkeys(views, SETTINGS)
    again = teachers(settings, more, blind, LEARN, HELD)
    np.testing.assert_array_equal(together(again, others), together(pair, others))
    once, twice = (
        students(settings, again, more, blind, LEARN, HELD, others, Teaching()) for _ in range(2)
    )
    np.testing.assert_array_equal(together(once, others), together(twice, others))
    assert (together(once, others) != together(pair, others)).any()


def test_what_makes_no_sense_is_refused(gaps, pair):
    views, y, others = gaps
    for wrong in ({"teacher": "nobody"}, {"labelled": 1}, {"surest": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Teaching(**wrong)
    settings = dict.fromkeys(views, SETTINGS)
    with pytest.raises(ValueError, match="same views"):
        students(settings, pair, views, y, LEARN, HELD, {"Magpie": others["Magpie"]}, Teaching())
    empty = {name: X[:0] for name, X in others.items()}
    with pytest.raises(ValueError, match="0 unlabelled"):
        students(settings, pair, views, y, LEARN, HELD, empty, Teaching())
