"""Training of the pattern networks: it learns, repeats itself, goes on after a stop."""

import dataclasses

import numpy as np
import pytest
import torch
from known_structures import some

from matgan.crystals import cgcnn
from matgan.crystals.cgcnn import CrystalGraphNetwork, crystal_graphs
from matgan.files import WeightsError
from matgan.learning import compute
from matgan.learning import fit as dt
from matgan.powder import augmentation
from matgan.powder import patterns as powder_patterns
from matgan.powder.augmentation import Augmentation, Crystals
from matgan.powder.networks import FCN, VAE, Regressor, vae_loss
from matgan.powder.patterns import Instrument, encode_pattern

FIT = dt.Fit(epochs=4, batch_size=16, learning_rate=3e-3)
N_POINTS = 128


@pytest.fixture(scope="module")
def peaks():
    """Patterns with a peak at one of three places, and the place."""
    rng = np.random.default_rng(0)
    places = np.arange(192) % 3
    patterns = 0.1 * rng.random((192, N_POINTS))
    patterns[np.arange(192), 20 + 40 * places] = 1
    return encode_pattern(patterns), places[:, None].astype(np.int64)


def classifier(seed=0):
    torch.manual_seed(seed)
    return FCN(N_POINTS, {"place": 3}, channels=(4, 8, 8), last=16)


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


LOSS = dt.classification_loss(("place",))


def test_it_learns_where_the_peak_is(peaks):
    network = classifier()
    losses = dt.train(network, powder_patterns.Stored(*peaks), LOSS, FIT)
    assert len(losses) == 4
    assert losses[-1] < 0.5 * losses[0]
    logits = dt.outputs(network, powder_patterns.Stored(*peaks))["place"]
    assert dt.top_k(logits, peaks[1][:, 0]) > 0.95


def test_a_stopped_run_goes_on_to_the_same_weights(peaks, tmp_path, monkeypatch):
    whole = classifier()
    expected = dt.train(whole, powder_patterns.Stored(*peaks), LOSS, FIT)
    clock = iter(range(0, 10_000_000, 100))  # every step is a checkpoint
    monkeypatch.setattr(dt.time, "monotonic", lambda: next(clock))
    path = tmp_path / "checkpoint.safetensors"

    def stop(step, n_steps, loss):
        if step in (17, 30):
            raise KeyboardInterrupt

    network = classifier()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            dt.train(network, powder_patterns.Stored(*peaks), LOSS, FIT, path, stop)
        network = classifier(seed=1)  # what a new process starts from does not matter
    assert dt.train(network, powder_patterns.Stored(*peaks), LOSS, FIT, path) == expected
    assert same(state(network), state(whole))
    assert not path.exists()


def test_a_run_may_end_in_the_middle_of_its_cycle(peaks):
    """12 steps an epoch: after 30 two epochs are finished, with the losses of the whole run."""
    whole = dt.train(classifier(), powder_patterns.Stored(*peaks), LOSS, FIT)
    assert (
        dt.train(classifier(), powder_patterns.Stored(*peaks), LOSS, FIT, last_step=30) == whole[:2]
    )


def test_another_seed_gives_other_weights(peaks):
    one, other = classifier(), classifier()
    dt.train(one, powder_patterns.Stored(*peaks), LOSS, FIT)
    dt.train(other, powder_patterns.Stored(*peaks), LOSS, dataclasses.replace(FIT, seed=1))
    assert not same(state(one), state(other))


def test_a_checkpoint_of_another_run_is_refused(peaks, tmp_path, monkeypatch):
    clock = iter(range(0, 10_000_000, 100))
    monkeypatch.setattr(dt.time, "monotonic", lambda: next(clock))
    path = tmp_path / "c.safetensors"

    def stop(step, n_steps, loss):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dt.train(classifier(), powder_patterns.Stored(*peaks), LOSS, FIT, path, stop)
    patterns, classes = peaks
    for network, fit, targets in (
        (classifier(), dataclasses.replace(FIT, epochs=5), classes),
        (FCN(N_POINTS, {"place": 4}, channels=(4, 8, 8), last=16), FIT, classes),
        (classifier(), FIT, classes[::-1].copy()),
    ):
        with pytest.raises(WeightsError, match="another network, other options or other data"):
            dt.train(network, powder_patterns.Stored(patterns, targets), LOSS, fit, path)


def test_a_loss_that_is_no_number_stops_with_its_step(peaks):
    def broken(output, targets, inputs):
        return LOSS(output, targets, inputs) * float("nan")

    with pytest.raises(compute.Diverged, match="step 1"):
        dt.train(classifier(), powder_patterns.Stored(*peaks), broken, FIT)


def test_drawn_patterns_repeat_with_their_seed():
    crystals = Crystals(some(), Instrument(step=0.05, fwhm=0.25))
    drawn = augmentation.Drawn(crystals, Augmentation(), np.arange(3)[:, None])
    rows = np.array([2, 0])
    (one,), targets = drawn.batch(rows, [0, 1, 5])
    (two,), _ = drawn.batch(rows, [0, 1, 5])
    (other,), _ = drawn.batch(rows, [0, 1, 6])
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert targets[:, 0].tolist() == [2, 0]


def test_graphs_and_compositions_train_too(peaks):
    codes, places = peaks
    values = places[:, 0].astype(np.float32)
    composition = np.eye(3, dtype=np.float32)[places[:, 0]]
    torch.manual_seed(0)
    network = Regressor(None, 3, hidden=16)
    source = powder_patterns.Stored(codes, values, composition)
    dt.train(network, source, dt.regression_loss, dataclasses.replace(FIT, epochs=20))
    found = dt.outputs(network, source)["value"][:, 0]
    assert np.abs(found - values).mean() < 0.2

    graphs = crystal_graphs(some())
    network = CrystalGraphNetwork({"value": 1}, width=8, layers=1, hidden=8)
    source = cgcnn.Graphs(graphs, np.array([-1, 0, 1], dtype=np.float32))
    fit = dt.Fit(epochs=60, batch_size=3, learning_rate=0.02)
    losses = dt.train(network, source, dt.regression_loss, fit)
    assert losses[-1] < 0.3 * losses[0]


def test_the_vae_learns_to_copy(peaks):
    torch.manual_seed(0)
    network = VAE(N_POINTS, latent=2, hidden=32)
    source = powder_patterns.Stored(peaks[0], np.zeros(192, dtype=np.float32))
    losses = dt.train(network, source, vae_loss, dataclasses.replace(FIT, epochs=10))
    assert losses[-1] < 0.7 * losses[0]


def test_a_subset_is_its_rows(peaks):
    source = powder_patterns.Stored(*peaks)
    part = dt.Subset(source, np.array([7, 3, 50]))
    assert len(part) == 3
    (ours,), targets = part.batch(np.array([2, 0]), [0])
    (theirs,), classes = source.batch(np.array([50, 7]), [0])
    assert torch.equal(ours, theirs)
    assert torch.equal(targets, classes)


def test_top_k_by_hand():
    logits = np.array([[3.0, 2, 1], [1, 2, 3], [2, 3, 1]])
    classes = np.array([0, 1, 2])
    assert dt.top_k(logits, classes, 1) == pytest.approx(1 / 3)
    assert dt.top_k(logits, classes, 2) == pytest.approx(2 / 3)
    assert dt.top_k(logits, classes, 3) == 1
    # a model that says nothing is right on the first class only
    assert dt.top_k(np.zeros((3, 3)), np.arange(3), 1) == pytest.approx(1 / 3)
