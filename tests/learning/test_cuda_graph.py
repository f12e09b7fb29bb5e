"""Graphs of a training step: when they are captured; on a CUDA device, that they change nothing."""

import contextlib

import numpy as np
import pytest
import torch

from matgan.chemistry.composition import amounts_matrix
from matgan.data.training_set import TrainingData
from matgan.learning import cuda_graph
from matgan.learning.cuda_graph import Graphed, by_graph, set_rate
from matgan.learning.regressor import FullyConnectedRegressor, fit_repeats
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE
from matgan.wgan.training import train_wgan


@pytest.fixture
def events(monkeypatch):
    """What is asked of CUDA, in order; nothing of it is there."""
    seen = []

    class Graph:
        def register_generator_state(self, rng):
            seen.append(("random numbers", rng))

        def replay(self):
            seen.append("replay")

    class Stream:
        def wait_stream(self, other):
            seen.append("wait")

    @contextlib.contextmanager
    def capture(graph):
        seen.append("capture")
        yield
        seen.append("captured")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", capture)
    return seen


def test_it_is_captured_once_after_the_eager_calls_and_replayed_from_then_on(events):
    rng, calls = torch.Generator(), []

    def function():
        events.append("function")
        calls.append(len(calls))
        return torch.tensor(len(calls))

    graphed = Graphed(function, rng)
    for number in range(1, cuda_graph.EAGER_CALLS + 1):
        assert graphed() == number
    assert events == ["wait", "function", "wait"] * cuda_graph.EAGER_CALLS  # on another stream
    events.clear()
    results = [graphed() for _ in range(3)]
    assert events == [
        ("random numbers", rng), "capture", "function", "captured", "replay", "replay", "replay",
    ]  # fmt: skip
    assert all(result is results[0] for result in results)  # a replay overwrites it


def test_an_error_while_it_is_captured_is_not_swallowed(events):
    def function():
        if "capture" in events:
            raise RuntimeError("operation not permitted when stream is capturing")
        return torch.zeros(())

    graphed = Graphed(function, torch.Generator())
    for _ in range(cuda_graph.EAGER_CALLS):
        graphed()
    with pytest.raises(RuntimeError, match="not permitted"):
        graphed()


SETTINGS = {"paper": PAPER, "published code": PUBLISHED_CODE, "ours": LEARNING, "peer": PEER}


@pytest.mark.cuda
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_cuda_graph_trains_as_the_eager_loop_does(oqmd, tmp_path, setting, monkeypatch):
    counts = amounts_matrix(oqmd["formula"][:500]).astype("u1")
    data = TrainingData(counts[:400], counts[400:])
    config = SETTINGS[setting].replace(batch_size=8, critic_steps=2, test_every=3, iterations=12)
    graphed = train_wgan(config, data, tmp_path / "graph", "cuda")
    monkeypatch.setattr("matgan.learning.cuda_graph.EAGER_CALLS", 10**9)  # never captured
    eager = train_wgan(config, data, tmp_path / "eager", "cuda")
    for one, other in zip(graphed.history, eager.history, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4, nan_ok=True)


def test_a_step_by_graph_reads_the_newest_batch(events):
    seen = []

    def update(values, targets):
        seen.append((values.data_ptr(), values.tolist(), targets.item()))
        return targets.clone()

    step = by_graph(update, torch.Generator())
    for number in range(cuda_graph.EAGER_CALLS + 1):
        step(torch.full((2,), float(number)), torch.tensor(10 * number))
    assert [numbers for _, *numbers in seen] == [[[k, k], 10 * k] for k in range(len(seen))]
    assert len({place for place, *_ in seen}) == 1  # where a captured graph will read
    step(torch.tensor([7.0, 8.0]), torch.tensor(9))
    assert len(seen) == cuda_graph.EAGER_CALLS + 1 and events[-1] == "replay"
    with pytest.raises(RuntimeError):
        step(torch.zeros(3), torch.tensor(9))  # another shape


def test_a_rate_that_a_graph_reads_stays_where_it_is():
    weight = torch.zeros(1, requires_grad=True)
    plain = torch.optim.Adam([weight], 0.1)
    set_rate(plain, 0.3)
    assert plain.param_groups[0]["lr"] == 0.3
    rate = torch.tensor(0.1)
    captured = torch.optim.Adam([weight], rate, capturable=True)
    set_rate(captured, 0.3)
    assert captured.param_groups[0]["lr"] is rate and rate == pytest.approx(0.3)


@pytest.mark.cuda
@pytest.mark.parametrize("given", [{}, {"dropout": 0.2}, {"recipe": "published code"}])
def test_regressors_learn_by_graph_as_without(monkeypatch, given):
    random = np.random.default_rng(0)
    X, rows = random.random((200, 5)), [np.arange(150), np.arange(40, 190)]
    y = X @ np.arange(5.0) + np.sin(9 * X[:, 0])
    model = FullyConnectedRegressor(epochs=20, batch_size=32, device="cuda", **given)
    found = []
    for calls in (cuda_graph.EAGER_CALLS, 10**9):  # never captured
        monkeypatch.setattr(cuda_graph, "EAGER_CALLS", calls)
        fitted = fit_repeats(model, X, y, rows, [np.arange(190, 200)] * 2)
        found.append([each.predict(X) for each in fitted])
    np.testing.assert_allclose(*found, rtol=0.02, atol=0.02)


@pytest.mark.cuda
def test_an_encoder_learns_by_graph_as_without(monkeypatch):
    formulas = [
        f"{a}{n}{b}" for a in ("Na", "K", "Mg", "Fe") for b in ("Cl", "O", "S") for n in (2, 3)
    ]
    found = []
    for calls in (cuda_graph.EAGER_CALLS, 10**9):  # never captured
        monkeypatch.setattr(cuda_graph, "EAGER_CALLS", calls)
        encoder = CompositionEncoder(width=32, epochs=20, batch_size=8, device="cuda")
        found.append(encoder.fit(formulas, range(len(formulas))).predict(formulas))
    np.testing.assert_allclose(*found, rtol=0.02, atol=0.02)
