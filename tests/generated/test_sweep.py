from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.chemistry.elements import ELEMENT_INDEX, periodic_table
from matgan.data.training_set import TrainingData
from matgan.generated import sweep
from matgan.generated.measures import no_wider
from matgan.wgan.checkpoint import TrainedRun
from matgan.wgan.config import LEARNING, PAPER, ConfigError
from matgan.wgan.networks import Critic

TINY = {"batch_size": 8, "critic_steps": 1, "hidden": (8,), "head": (8,), "generator_batch": 8}


@pytest.fixture(scope="module")
def data(oqmd):
    counts = whole_counts(amounts_matrix(oqmd["formula"][::100]))
    return TrainingData(counts[::2], counts[1::2])


def test_the_search_is_the_papers_grid():
    cells = list(sweep.search_grid(7))
    assert len(cells) == 5 * 6
    for labels, config in cells:
        same = {"generator_lr", "critic_lr", "batch_size", "iterations"}
        rate = labels["learning rate"]
        assert (config.generator_lr, config.critic_lr, config.iterations) == (rate, rate, 7)
        assert config.batch_size == labels["batch size"]
        changed = {k for k, v in vars(config).items() if v != getattr(PAPER, k)}
        assert changed <= same


def test_the_ablation_leads_from_the_papers_setting_to_ours():
    configs = [config for _, config in sweep.ablation(5)]
    assert configs[0] == PAPER.replace(iterations=5)
    differing = {
        name: (value, getattr(LEARNING, name))
        for name, value in vars(configs[-1]).items()
        if value != getattr(LEARNING, name) and name != "iterations"
    }
    assert differing == {}


def test_a_part_is_measured_run_by_run_and_goes_on_where_it_stopped(
    data, mp_gap, tmp_path, monkeypatch
):
    def two(iterations):
        for seed in (0, 1):
            config = LEARNING.replace(seed=seed, iterations=iterations, **TINY)
            yield {"seed": seed}, config

    few = partial(sweep.two_sample_auc, folds=2)  # trees take their time
    monkeypatch.setattr(sweep, "two_sample_auc", few)
    monkeypatch.setattr(sweep, "_TESTED", 500)
    monkeypatch.setitem(sweep.PARTS, "seeds", (two, 3))
    path = sweep.run_part("seeds", data, tmp_path)
    first = pd.read_csv(path)
    assert first["seed"].tolist() == [0, 1]
    assert (first["decodable"] == 1).all()  # slots always hold a formula
    assert first["unique"].between(0.5, 1).all()
    assert first["AUC, counts"].gt(0.6).all()  # three updates teach nothing
    assert first["AUC, shuffled"].between(0.5, 0.9).all()
    control = first["neutral, shuffled"]
    assert control[0] == control[1]  # it has no seed of its own
    monkeypatch.setattr(sweep, "train_wgan", lambda config, data, out, **_: sweep_load(out, config))
    again = pd.read_csv(sweep.run_part("seeds", data, tmp_path))
    pd.testing.assert_frame_equal(first, again)  # the seconds are those of the training, too


def test_a_formula_of_all_elements_is_no_composition(data):
    everything = np.ones((1, 85), dtype=np.uint8)
    widest = max(map(len, map(np.flatnonzero, data.train)))
    row = np.zeros((1, 85), dtype=np.uint8)
    row[0, :widest] = 1
    one_more = row.copy()
    one_more[0, widest] = 1
    mixed = np.concatenate([data.train[:5], everything, one_more, row])
    left = no_wider(mixed, data.train)
    assert left.tolist() == [*data.train[:5].tolist(), row[0].tolist()]

    class AllElements(torch.nn.Module):
        def forward(self, z, rng=None, temperature=1.0):
            matrix = torch.zeros(len(z), 85, 8)
            matrix[:, :, 0] = 1  # an atom of each
            return matrix

    config = PAPER.replace(embedding_dim=2)
    history = [{"test_total_loss": 1.0, "effective_rank": 1.0}]
    snapshots = {"T": np.ones((1, 85, 2)), "iteration": np.array([config.iterations])}
    run = TrainedRun(config, "", AllElements(), Critic(config), history, snapshots)
    assert sweep.measure(run, data, n=50)["decodable"] == 0


def sweep_load(out, config):
    from matgan.wgan.checkpoint import load_run

    return load_run(out, config)  # fails if the run would have to be trained again


def test_too_few_compositions_are_not_measured(data):
    row = sweep.measure_sample(data.train[:999], data)
    assert np.isnan(list(row.values())).all()


def test_the_small_data_error_of_the_paper_s_features_beats_the_mean(mp_gap):
    onehot = sweep.small_data_error(np.eye(85))
    blind = sweep.small_data_error(np.ones((85, 1)))  # the same vector for each compound
    assert onehot < 0.8 * blind
    # what ridge makes of it: the mean of 1,000 compounds, measured on 10,000 others
    gap = mp_gap["target"].to_numpy()[np.random.default_rng(0).permutation(len(mp_gap))]
    expected = np.abs(gap[1000:11_000] - gap[:1000].mean()).mean()
    assert blind == pytest.approx(expected, rel=1e-3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz"):
        sweep.main(["seeds", str(tmp_path / "no.npz"), "--out", str(tmp_path)])


@pytest.mark.parametrize("iterations", [0, -1])
def test_no_iterations_are_refused_not_replaced_by_the_usual_number(iterations):
    with pytest.raises(ConfigError, match=f"iterations must be at least 1, not {iterations}"):
        sweep.cells("seeds", iterations)


def test_without_swaps_the_rest_is_ours():
    for (labels, config), (_, ours) in zip(sweep.unswapped(9), sweep.converged(9), strict=True):
        assert (labels["seed"], config.negatives, config.embedding_scale) == (ours.seed, 0, 1)
        assert ours.negatives > 0 and ours.embedding_scale < 0.1
        same = {"negatives": ours.negatives, "embedding_scale": ours.embedding_scale}
        assert config.replace(**same) == ours


def test_twice_the_updates_and_nothing_else():
    ((labels, twice),), (_, once) = list(sweep.doubled(18)), next(iter(sweep.converged(9)))
    assert twice.replace(iterations=9) == once and labels["seed"] == once.seed
    assert sweep.PARTS["doubled"][1] == 2 * sweep.PARTS["converged"][1]


def test_what_twice_the_updates_change_is_of_the_seeds_in_both():
    once = pd.DataFrame({"seed": [0, 1], **{name: [0.8, 0.1] for name in sweep.MEASURED}})
    twice = pd.DataFrame({"seed": [0], **{name: [0.6] for name in sweep.MEASURED}})
    found = sweep.changes(once, twice)
    assert found.index.tolist() == list(sweep.MEASURED)
    np.testing.assert_allclose(found, [[-0.2, -0.25]] * len(found))
    assert not sweep.draws_settled(found)
    found = sweep.changes(once, twice.replace(0.6, 0.81))
    assert sweep.draws_settled(found)
    assert sweep.draws_settled(found, pd.Series({"neutral": -0.05, "AUC": 0.03}))
    assert not sweep.draws_settled(found, pd.Series({"neutral": -0.015, "AUC": 0.03}))
    assert not sweep.draws_settled(found, pd.Series({"AUC": np.nan}))
    assert not sweep.draws_settled(found[:0])
    assert sweep.changes(once, twice.assign(seed=7)).empty
    assert sweep.changes(once, pd.DataFrame()).empty


def test_the_elements_of_a_group_are_found_by_their_directions():
    halogens = ["F", "Cl", "Br", "I"]
    group = periodic_table()["group"].to_numpy()
    T = np.random.default_rng(0).normal(size=(85, 40))
    chance = sweep.same_group(T)
    assert 0 < chance < 0.12
    direction = dict(zip(np.unique(group), np.eye(40), strict=False))
    T = np.array([direction[name] for name in group]) + 0.01 * T
    lengths = np.random.default_rng(1).uniform(1, 100, (85, 1))
    # a group of six elements or more has five others, one of four has three
    sizes = np.array([(group == name).sum() for name in group])
    assert sweep.same_group(lengths * T) == pytest.approx(np.minimum(sizes - 1, 5).mean() / 5)
    assert (sizes[[ELEMENT_INDEX[symbol] for symbol in halogens]] == 4).all()
    assert np.isnan(sweep.same_group(np.zeros((85, 0))))


def test_neighbours_are_counted_since_three_quarters():
    rng = np.random.default_rng(0)
    T = rng.normal(size=(3, 85, 8))
    T[2] = 3 * T[1]  # lengths mean nothing
    config = LEARNING.replace(iterations=100)

    def kept(iterations, T):
        snapshots = {"T": T, "iteration": np.array(iterations)}
        run = TrainedRun(config, "", None, None, [], snapshots)
        return sweep.neighbours_kept(run)

    assert kept([0, 75, 100], T) == 1
    assert kept([0, 100], T[[0, 1]]) != kept([0, 100], T[[0, 1]])  # nobody looked: NaN
    assert kept([75, 80, 100], T) < 0.2  # chance is 5 of 84
    T[2, :42] = rng.normal(size=(42, 8))
    assert 0.05 < kept([0, 75, 100], T) < 0.8


def test_the_look_at_half_of_the_updates_is_the_first_after_it():
    def at(iterations):
        snapshots = {"iteration": np.array(iterations)}
        run = TrainedRun(LEARNING.replace(iterations=100), "", None, None, [], snapshots)
        return sweep.halfway(run)

    assert at([0, 40, 60, 100]) == 2
    assert at([0, 50, 100]) == 1
    assert at([0, 100]) == 1


def test_the_grid_of_the_published_code_and_the_peer_differ_by_what_they_name():
    for _, config in sweep.cells("rates"):
        assert config.critic_lr == config.generator_lr and config.iterations == 1000
    grid = sweep.cells("rates")
    assert len(grid) == 30 and len({tuple(labels.values()) for labels, _ in grid}) == 30
    (labels, one), (_, published) = grid[22], next(iter(sweep.objects(1000)))
    assert labels == {"learning rate": 1e-4, "batch size": 512}  # Adam's rate there
    same = {"critic_lr", "generator_lr", "batch_size", "test_batches"}
    fields = {field for field in vars(one) if getattr(one, field) != getattr(published, field)}
    assert fields <= same
    assert {config.seed for _, config in sweep.cells("peer")} == {0, 1, 2}
    of_objects = [
        (labels["object"], config.iterations) for labels, config in sweep.cells("objects")
    ]
    assert of_objects == [("published code", 20_000)] * 5 + [("as printed", 5000)] * 5
    assert all(config.architecture == "convolution" for _, config in sweep.cells("peer"))
