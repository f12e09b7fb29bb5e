import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from torch import nn

from matgan.crystals.symmetry import SYSTEMS
from matgan.powder.classifier import class_labels
from matgan.powder.classifier import ranked as ranked_before
from matgan.powder.classifier import summed as summed_before
from matgan.powder.measured import answers
from matgan.powder.measured.hierarchy import ranked

MEMBERS = class_labels(np.arange(1, 231))
RNG = np.random.default_rng(0)


class Fixed(nn.Module):
    """Scores that depend on where the maximum lies."""

    def __init__(self, scale):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), float(scale)))

    def forward(self, patterns):
        place = patterns.argmax(1, keepdim=True).float() / patterns.shape[1]
        return {"space_group": self.weight * place * torch.linspace(-1, 1, 230)}


def test_an_ensemble_is_the_mean_over_networks_and_views():
    patterns = RNG.random((300, 1700)).astype(np.float32)
    networks = [Fixed(1), Fixed(3)]
    found = np.exp(answers.SymmetryEnsemble(networks, MEMBERS).logs(patterns))
    views = answers.viewed(torch.from_numpy(patterns))
    each = [n(v)["space_group"].double().softmax(1).detach() for n in networks for v in views]
    assert len(each) == 8
    assert np.allclose(found, torch.stack(each).mean(0), atol=1e-6)
    assert np.allclose(found.sum(1), 1)


def test_views_are_moved_by_a_point_and_smoothed():
    pattern = torch.zeros(1, 1700)
    pattern[0, 700] = 1
    same, left, right, smooth = answers.viewed(pattern)
    assert torch.equal(same, pattern)
    assert left[0, 699] == 1 and right[0, 701] == 1
    assert smooth[0, 699:702].tolist() == [0.5, 1, 0.5]


def test_probabilities_and_names_are_those_of_the_other_classifier():
    logs = RNG.normal(0, 3, (40, 230))
    shares, before = answers.tempered(logs, 1.7, MEMBERS), summed_before(logs / 1.7)
    for level in before:
        assert np.allclose(shares[level], before[level])
        assert np.allclose(ranked(shares, MEMBERS)[level], ranked_before(before)[level])


def test_a_temperature_that_was_put_in_is_found():
    """Labels drawn from softmax(logs / 2): the fitted temperature is 2."""
    logs = RNG.normal(0, 4, (1000, 230))
    share = answers.tempered(logs, 2.0, MEMBERS)["space_group"]
    groups = (share.cumsum(1) > RNG.random((len(logs), 1))).argmax(1)
    found = answers.best_temperature(logs, MEMBERS[groups], MEMBERS)
    assert found == pytest.approx(2.0, rel=0.15)


def test_what_is_judged_is_what_scikit_learn_counts():
    logs = RNG.normal(0, 1, (500, 230))
    groups = RNG.integers(0, 230, 500)
    shares = answers.tempered(logs, 1.0, MEMBERS)
    row = answers.judged(shares, MEMBERS[groups], MEMBERS)
    scores = ranked(shares, MEMBERS)
    for i, level in enumerate(shares):
        truth = MEMBERS[groups, i]
        assert row[level] == accuracy_score(truth, scores[level].argmax(1))
        labels = np.arange(scores[level].shape[1])
        five = top_k_accuracy_score(truth, scores[level], k=5, labels=labels)
        assert row[f"{level}_five"] == pytest.approx(five)
        assert row[f"{level}_low"] <= row[level] <= row[f"{level}_high"]


def test_the_limit_refuses_the_stated_share_and_kinds_add_up():
    logs, groups = RNG.normal(0, 2, (400, 230)), RNG.integers(0, 230, 400)
    shares = answers.tempered(logs, 1.0, MEMBERS)
    limit = answers.limit_of(shares, 0.1)
    width, background = RNG.uniform(0, 1, 400), RNG.uniform(0, 0.3, 400)
    width[:7] = np.nan
    told = shares["crystal_system"].max(1) >= limit
    facts = (MEMBERS[groups], width, background, told, MEMBERS, SYSTEMS)
    rows = {row["kind"]: row for row in answers.by_kind(shares, *facts)}
    assert rows["refused"]["patterns"] == 40
    assert rows["all"]["told"] == pytest.approx(0.9)
    for kind, n in (("system", 400), ("width", 393), ("background", 400)):
        assert sum(r["patterns"] for name, r in rows.items() if name.startswith(kind)) == n
    right = [r["crystal_system"] * r["patterns"] for k, r in rows.items() if k.startswith("system")]
    assert sum(right) / 400 == pytest.approx(rows["all"]["crystal_system"])
