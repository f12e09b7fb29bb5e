"""A function of the training step as one CUDA graph: no launch of single kernels, no waiting."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # eager calls before the capture, which give optimisers their state


def capture(function: Callable[[], Tensor], rng: torch.Generator) -> Callable[[], Tensor]:
    """A function that replays what `function` does on the device, with fresh random numbers.

    Captured is eager autograd, second derivatives of a gradient penalty included; torch.compile
    has been reported to drop those (PyTorch issue 181581).

    Parameters
    ----------
    function : has been called a few times; reads and writes the same device tensors in each call,
        never waits for the device, and takes everything random from `rng`
    rng : generator on the device

    Returns
    -------
    callable that returns the same tensor each time, overwritten by each call
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(rng)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        result = function()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
