"""Graphs of a training step: when they are captured; on a CUDA device, that they change nothing."""

import contextlib

import pytest
import torch

from matgan.chemistry.composition import amounts_matrix
from matgan.data.training_set import TrainingData
from matgan.learning import cuda_graph
from matgan.learning.cuda_graph import Graphed
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
