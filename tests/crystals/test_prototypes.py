import itertools

import numpy as np
import pytest
import torch

from matgan.crystals import prototypes as pt


@pytest.fixture(scope="module")
def groups(crystals):
    return pt.group_templates(crystals, crystals.rows("train")[:6000])


def test_anonymous_formulas_are_pymatgens(crystals):
    for row in range(0, 3000, 60):
        amounts, elements = pt.anonymous(crystals[row][1])
        reduced = crystals.structure(row).composition.reduced_composition
        assert sorted(reduced.values()) == list(amounts)
        assert {e.Z: n for e, n in reduced.items()} == dict(zip(elements, amounts, strict=True))


def brute(group, asked, table):
    """Distances by enumerating every placing of elements that keeps the amounts."""
    rows = []
    for known in group.elements:
        least = np.inf
        for order in itertools.permutations(range(len(asked))):
            placed = [asked[i] for i in order]
            if [group.amounts[i] for i in order] == list(group.amounts):
                least = min(least, sum(table[a, b] for a, b in zip(placed, known, strict=True)))
        rows.append(least)
    return np.array(rows)


def test_distances_are_least_over_all_placings(groups):
    table = torch.tensor(np.random.default_rng(0).random((pt.N_Z, pt.N_Z)), dtype=torch.float32)
    table = table + table.T
    for amounts, asked in (((1, 1, 3), [20, 22, 8]), ((1, 1, 1), [3, 8, 25])):
        group = groups[amounts]
        least = group.distances(np.array([asked]), table).amin(0)[0].numpy()
        expected = brute(group, asked, table.numpy())
        np.testing.assert_allclose(least, expected, rtol=1e-5)
        nearest = group.nearest(np.array([asked]), table)[0]
        for kind in range(len(group.names)):
            own = expected[group.prototype == kind]
            assert nearest[kind] == pytest.approx(-own.min(), rel=1e-5)


def test_scores_sum_over_the_members(groups):
    group, asked = groups[1, 2], np.array([[14, 8], [26, 16]])
    table = pt.pettifor_distances() / 10
    found = group.scores(asked, table)
    for row, elements in enumerate(asked.tolist()):
        nearness = np.exp(-brute(group, elements, table.numpy()))
        summed = np.bincount(group.prototype, nearness, len(group.names))
        np.testing.assert_allclose(found[row], np.log(summed), atol=1e-4)


def test_learned_distances_beat_those_of_pettifor_on_compositions_left_out(crystals, groups):
    """A short training: chlorides come near bromides, and right structure types come first."""
    table = torch.tensor(pt.learn_distances(groups, 60))
    assert torch.equal(table, table.T) and (table.diagonal() == 0).all()
    assert torch.equal(table, torch.tensor(pt.learn_distances(groups, 60)))
    assert table[17, 35] < table[17, 26]
    first = {"learned": [], "pettifor": []}
    for asked in pt.new_compositions_of(crystals, crystals.rows("val", 1500), groups):
        if group := groups.get(asked.amounts):
            for name, scores in (
                ("learned", group.scores(asked.elements, table)),
                ("pettifor", group.scores(asked.elements, pt.pettifor_distances())),
            ):
                first[name] += (pt.ranks_of(scores, group, asked.right) == 1).tolist()
    assert len(first["learned"]) > 300
    assert np.mean(first["learned"]) > np.mean(first["pettifor"])


def test_ranks_count_ties_against_the_right_one():
    group = pt.Group(
        (1, 1), np.arange(4), np.ones((4, 2), int), np.array([0, 1, 1, 2]), list("abc")
    )
    scores = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    assert pt.ranks_of(scores, group, ["b", "c", "x"]).tolist() == [1, 3, np.inf]
    assert pt.ranks_of(scores[:1], group, ["c"]).tolist() == [3]  # as rare as a, behind it


def test_questions_have_new_compositions_only(crystals, groups):
    known = {(a, tuple(e)) for a, group in groups.items() for e in group.elements.tolist()}
    asked = list(pt.new_compositions_of(crystals, crystals.rows("test", 500), groups))
    assert sum(len(question.right) for question in asked) > 100
    for question in asked:
        assert all((question.amounts, tuple(e)) not in known for e in question.elements.tolist())


def test_nothing_is_learned_from_too_few():
    with pytest.raises(ValueError, match="nine structures"):
        pt.learn_distances({})
