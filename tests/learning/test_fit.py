"""Training of the pattern networks: it learns, repeats itself, goes on after a stop."""

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch
from known_structures import some

from matgan.crystals.graphs import cgcnn
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.files import BusyError, WeightsError
from matgan.learning import compute
from matgan.learning import fit as dt
from matgan.learning.statistics import top_k
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
    assert top_k(logits, peaks[1][:, 0]) > 0.95


def test_no_subnormal_number_slows_it_down(peaks):
    """Products below 1e-38 are 0 while it learns and while it answers."""
    seen = []

    class Tells(FCN):
        def forward(self, patterns):
            seen.append(float(patterns.new_tensor([1e-30]) * 1e-10))
            return super().forward(patterns)

    network = Tells(N_POINTS, {"place": 3}, channels=(4, 8, 8), last=16)
    source = powder_patterns.Stored(*peaks)
    dt.train(network, source, LOSS, FIT, last_step=2)
    dt.outputs(network, source)
    assert len(seen) == 3 and not any(seen)


@pytest.fixture
def every_step(monkeypatch):
    """Every step is a checkpoint."""
    clock = iter(range(0, 10_000_000, 100))
    monkeypatch.setattr(dt.time, "monotonic", lambda: next(clock))


def stop_at(*steps):
    def stop(step, n_steps, loss):
        if step in steps:
            raise KeyboardInterrupt

    return stop


def test_a_stopped_run_goes_on_to_the_same_weights(peaks, tmp_path, every_step):
    whole = classifier()
    expected = dt.train(whole, powder_patterns.Stored(*peaks), LOSS, FIT)
    path = tmp_path / "checkpoint.safetensors"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            source = powder_patterns.Stored(*peaks)
            dt.train(classifier(), source, LOSS, FIT, path, stop_at(17, 30))
    network = classifier()
    assert dt.train(network, powder_patterns.Stored(*peaks), LOSS, FIT, path) == expected
    assert same(state(network), state(whole))
    assert not path.exists()


def test_the_network_ends_as_the_moving_average_of_its_steps(peaks, tmp_path, every_step):
    fit = dataclasses.replace(FIT, average=0.8)
    network = classifier()
    expected = {name: value.double() for name, value in state(network).items()}

    def follow(step, n_steps, loss):
        decay = min(0.8, step / (step + 10))
        for name, value in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()

    source = powder_patterns.Stored(*peaks)
    dt.train(network, source, LOSS, fit, progress=follow)
    counted = {name for name in expected if name.endswith("num_batches_tracked")}
    for name, value in state(network).items():
        if name not in counted:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)
    plain = classifier()
    dt.train(plain, source, LOSS, FIT)
    assert not same(state(plain), state(network))
    path, again = tmp_path / "checkpoint.safetensors", classifier()
    with pytest.raises(KeyboardInterrupt):
        dt.train(classifier(), source, LOSS, fit, path, stop_at(17))
    dt.train(again, source, LOSS, fit, path)
    assert same(state(again), state(network))


def test_half_precision_is_of_the_products_only(peaks):
    networks = {}
    for precision in ("float32", "bfloat16"):
        networks[precision] = classifier()
        fit = dataclasses.replace(FIT, precision=precision)
        losses = dt.train(networks[precision], powder_patterns.Stored(*peaks), LOSS, fit)
        assert losses[-1] < 0.5 * losses[0]
    full, half = (state(network) for network in networks.values())
    assert all(value.dtype != torch.bfloat16 for value in half.values())
    assert not same(full, half)


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_ends_the_step_and_keeps_it(peaks, tmp_path, kept):
    path = tmp_path / "checkpoint.safetensors" if kept else None
    seen = []

    def press(step, n_steps, loss):
        seen.append(step)
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    source = powder_patterns.Stored(*peaks)
    message = "stopped at step [56] of 48; " + ("run again" if kept else "nothing is kept")
    with pytest.raises(KeyboardInterrupt, match=message):
        dt.train(classifier(), source, LOSS, FIT, path, press)
    if kept:
        after = seen[-1] + 1
        seen.clear()
        dt.train(classifier(), source, LOSS, FIT, path, lambda step, *_: seen.append(step))
        assert seen == list(range(after, 49))


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


def test_each_step_has_its_rate_and_its_own_dropout(peaks, monkeypatch):
    """One cycle over all steps; no step of a training, nor of another, repeats random numbers."""
    source, network = powder_patterns.Stored(*peaks), classifier()
    per_epoch = len(source) // FIT.batch_size
    steps, seeds, rates = per_epoch * FIT.epochs, [], []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeds.append(int(seed)))
    for seed in (0, 1):
        fit = dataclasses.replace(FIT, seed=seed)
        update = dt._update

        def spied(network, loss, fit, optimizer, *given, update=update):
            rates.append(optimizer.param_groups[0]["lr"])
            return update(network, loss, fit, optimizer, *given)

        monkeypatch.setattr(dt, "_update", spied)
        dt.train(network, source, LOSS, fit)
        monkeypatch.setattr(dt, "_update", update)
    assert len(set(seeds)) == len(seeds) == 2 * steps
    cycle = [compute.learning_rate("one-cycle", step, steps) for step in range(steps)]
    assert rates == pytest.approx([FIT.learning_rate * share for share in 2 * cycle])


def other_loss(output, targets, inputs):
    return LOSS(output, targets, inputs)


def test_a_checkpoint_of_another_run_is_refused(peaks, tmp_path, every_step):
    path = tmp_path / "c.safetensors"
    codes, classes = peaks
    source = powder_patterns.Stored(codes, classes)
    with pytest.raises(KeyboardInterrupt):
        dt.train(classifier(), source, LOSS, FIT, path, stop_at(3))
    before = path.read_bytes()
    wider = FCN(N_POINTS, {"place": 4}, channels=(4, 8, 8), last=16)
    zeros = powder_patterns.Stored(np.zeros_like(codes), classes)
    upside_down = powder_patterns.Stored(codes, classes[::-1].copy())
    more = powder_patterns.Stored(codes, classes, np.ones((192, 2), dtype=np.float32))
    for network, examples, loss, fit, what in (
        (classifier(), source, LOSS, dataclasses.replace(FIT, epochs=5), "options"),
        (classifier(), source, other_loss, FIT, "loss"),
        (classifier(), zeros, LOSS, FIT, "examples"),
        (classifier(), upside_down, LOSS, FIT, "examples"),
        (classifier(), more, LOSS, FIT, "examples"),
        (classifier(), dt.Subset(source, np.arange(192)[::-1]), LOSS, FIT, "examples"),
        (classifier(seed=1), source, LOSS, FIT, "starting weights"),
        (wider, source, LOSS, FIT, "starting weights"),
    ):
        with pytest.raises(WeightsError, match=rf"c\.safetensors belongs .* with other {what}:"):
            dt.train(network, examples, loss, fit, path)
    assert path.read_bytes() == before


def test_two_trainings_do_not_share_a_folder(peaks, tmp_path):
    source, path = powder_patterns.Stored(*peaks), tmp_path / "c.safetensors"
    alone = classifier()
    dt.train(alone, source, LOSS, FIT)

    def second(step, n_steps, loss):
        if step == 2:
            with pytest.raises(BusyError, match=f"another process is writing into {tmp_path}"):
                dt.train(classifier(seed=1), source, LOSS, FIT, tmp_path / "d.safetensors")

    first = classifier()
    dt.train(first, source, LOSS, FIT, path, second)
    assert same(state(alone), state(first)) and not list(tmp_path.iterdir())
    dt.train(classifier(), source, LOSS, FIT, path)  # the folder is free again


class Line(torch.nn.Linear):
    def forward(self, x):
        return {"value": super().forward(x)}


def test_of_stored_arrays_a_linear_network_learns_what_least_squares_give():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 3)).astype(np.float32)
    y = (x @ np.float32([2, -1, 0.5]) + rng.normal(0, 0.1, 512)).astype(np.float32)
    source, network = dt.ArrayExamples(x, y), Line(3, 1, bias=False)
    fit = dt.Fit(epochs=30, batch_size=32, learning_rate=0.05, weight_decay=0.0)
    dt.train(network, dt.Subset(source, np.arange(256, 512)), dt.regression_loss, fit)
    expected = np.linalg.lstsq(x[256:], y[256:], rcond=None)[0]
    assert network.weight.detach().numpy()[0] == pytest.approx(expected, abs=0.02)


def test_sources_are_told_apart_by_all_that_they_draw_from():
    structures, instrument = some(), Instrument(step=0.05, fwhm=0.25)
    targets = np.arange(3)[:, None]
    crystals = Crystals(structures, instrument)
    graphs = crystal_graphs(structures)
    other_graphs = crystal_graphs(structures, 3)
    swapped = Crystals(structures.take([1, 0, 2]), instrument)
    longer = Crystals(structures, Instrument(step=0.05, fwhm=0.25, stop=100.0))
    sources = [
        augmentation.Drawn(crystals, Augmentation(), targets),
        augmentation.Drawn(crystals, Augmentation(strain=0.02), targets),
        augmentation.Drawn(longer, Augmentation(), targets),
        augmentation.Drawn(swapped, Augmentation(), targets),
        cgcnn.Graphs(graphs, targets),
        cgcnn.Graphs(graphs, targets[::-1]),
        cgcnn.Graphs(other_graphs, targets),
        dt.Subset(cgcnn.Graphs(graphs, targets), np.arange(3)),
        dt.Subset(cgcnn.Graphs(graphs, targets), np.arange(2)),
        dt.ArrayExamples(targets, targets),
        dt.ArrayExamples(targets, targets[::-1]),
        dt.ArrayExamples(targets[::-1], targets),
    ]
    found = [dt.content_hash(source.content()) for source in sources]
    assert len(set(found)) == len(sources)
    again = augmentation.Drawn(Crystals(structures, instrument), Augmentation(), targets)
    assert dt.content_hash(again.content()) == found[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, not 0"),
        ({"epochs": -1}, "epochs must be 1 or more, not -1"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"weight_decay": -1e-3}, "weight_decay must not be negative"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"average": 1.0}, r"average must be in \[0, 1\)"),
        ({"precision": "float64"}, "precision must be one of float32, bfloat16, not 'float64'"),
    ],
)
def test_choices_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dt.Fit(**options)


def test_a_training_of_nothing_is_refused(peaks):
    source = powder_patterns.Stored(*peaks)
    with pytest.raises(ValueError, match="the last step must be 0 or more, not -1"):
        dt.train(classifier(), source, LOSS, FIT, last_step=-1)
    with pytest.raises(ValueError, match="no examples"):
        dt.train(classifier(), dt.Subset(source, np.arange(0)), LOSS, FIT)


class Watched(powder_patterns.Stored):
    """Notes the rows of every batch."""

    def __init__(self, *arrays):
        super().__init__(*arrays)
        self.seen = []

    def batch(self, rows, seed):
        self.seen.append(rows)
        return super().batch(rows, seed)


def test_each_epoch_sees_every_row_once_in_an_order_of_its_own(peaks):
    source = Watched(*peaks)
    dt.train(classifier(), source, LOSS, FIT)
    epochs = np.array(source.seen).reshape(4, 12, 16)
    assert (np.sort(epochs.reshape(4, -1)) == np.arange(192)).all()
    batches = [{tuple(rows) for rows in epoch.tolist()} for epoch in epochs]
    assert not batches[0] & batches[1] and not batches[1] & batches[2]


def test_each_head_learns_its_own_label():
    logits = {"first": torch.tensor([[2.0, 0.0]]), "second": torch.tensor([[0.0, 1.0, 0.0]])}
    classes = torch.tensor([[0, 2]])  # the first is right, the second is not
    loss = dt.classification_loss(("first", "second"))(logits, classes, ())
    log_sums = np.log(np.exp(2) + 1) - 2, np.log(np.exp(1) + 2) - 0
    assert float(loss) == pytest.approx(sum(log_sums))
    # a share ε of the target is spread over all classes (Szegedy et al. 2016)
    smooth = dt.classification_loss(("second",), 0.3)(logits, classes[:, 1:], ())
    log_shares = np.log(np.exp([0, 1, 0]) / (np.exp(1) + 2))
    assert float(smooth) == pytest.approx(-0.7 * log_shares[2] - 0.1 * log_shares.sum())


def test_a_regression_loss_is_the_mean_over_rows_and_properties():
    found = {"value": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    assert dt.regression_loss(found, torch.tensor([[0.0, 2.0], [3.0, 8.0]]), ()) == 5 / 4
    one = {"value": found["value"][:, :1]}
    assert dt.regression_loss(one, torch.tensor([0.0, 0.0]), ()) == 2  # (B,) is not spread over B


def test_two_heads_learn_two_labels(peaks):
    codes, places = peaks
    left = (places[:, 0] == 0).astype(np.int64)
    classes = np.column_stack([1 - left, places[:, 0]])
    torch.manual_seed(0)
    network = FCN(N_POINTS, {"right": 2, "place": 3}, channels=(4, 8, 8), last=16)
    source = powder_patterns.Stored(codes, classes)
    dt.train(network, source, dt.classification_loss(("right", "place")), FIT)
    for i, logits in enumerate(dt.outputs(network, source).values()):
        assert top_k(logits, classes[:, i]) > 0.9


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
