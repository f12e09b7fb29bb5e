"""Where a training for measured patterns takes its batches from: drawn as they are asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from matgan.powder.measured.conditions import Variation
from matgan.powder.measured.lists import ReflectionLists
from matgan.powder.measured.simulation import Simulator


class Simulated:
    """Patterns of reflection lists, another one each time; see `matgan.learning.fit.Examples`.

    Parameters
    ----------
    lists : of the structures to learn from
    variation : how patterns vary
    device : "cpu" or "cuda"; there batches are drawn and stay
    repeats : how often a structure that is probably known from experiment comes for each other one
    """

    def __init__(
        self, lists: ReflectionLists, variation: Variation, device: str = "cpu", repeats: int = 1
    ):
        self.lists = lists
        self.simulator = Simulator(lists, variation, device)
        self.rows = np.repeat(np.arange(len(lists)), np.where(lists.experimental, repeats, 1))
        self.classes = torch.from_numpy(lists.classes.astype(np.int64)).to(device)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows, seed):
        """Inputs and targets (B, 3) of some rows, on the device."""
        own = self.rows[rows]
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        targets = self.classes[torch.from_numpy(own).to(self.classes.device)]
        return (self.simulator.patterns(own, number),), targets

    def content(self):
        """All that patterns are drawn from."""
        arrays = (getattr(self.lists, f.name) for f in dataclasses.fields(self.lists))
        return [*arrays, self.rows, self.simulator.variation]
