"""Crystal system ⊃ extinction group ⊃ space group: probabilities that agree with each other.

A space group's probability is that of its system, times that of its extinction group within the
system, times its own within the extinction group. Space groups of one extinction group have the
same lines, so a powder pattern tells them apart by heights alone, and hardly: the loss smooths
labels within it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = ("crystal_system", "extinction_group", "space_group")


def sizes(members: np.ndarray) -> dict[str, int]:
    """Number of classes of each level, from the (230, 3) classes of all space groups."""
    return {name: int(members[:, i].max()) + 1 for i, name in enumerate(LEVELS)}


class HierarchicalHead(nn.Module):
    """Logarithms of the probabilities of the 230 space groups from features.

    Parameters
    ----------
    width : of the features
    members : (230, 3) int array, the classes of every space group
    """

    system: Tensor
    group: Tensor
    parent: Tensor

    def __init__(self, width: int, members: np.ndarray):
        super().__init__()
        self.scores = nn.Linear(width, sum(sizes(members).values()))
        self.counts = list(sizes(members).values())
        columns = torch.from_numpy(np.asarray(members, dtype=np.int64))
        parent = torch.zeros(self.counts[1], dtype=torch.int64)  # the system of an extinction group
        parent[columns[:, 1]] = columns[:, 0]
        self.register_buffer("system", columns[:, 0], persistent=False)
        self.register_buffer("group", columns[:, 1], persistent=False)
        self.register_buffer("parent", parent, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) -> (B, 230), whose exponentials sum to 1."""
        with torch.autocast(features.device.type, enabled=False):
            system, extinction, group = self.scores(features.float()).split(self.counts, 1)
            system = functional.log_softmax(system, 1)
            extinction = _within(extinction, self.parent, self.counts[0])
            group = _within(group, self.group, self.counts[1])
            return system[:, self.system] + extinction[:, self.group] + group


def _within(scores: Tensor, parent: Tensor, n: int) -> Tensor:
    """Logarithms of the softmax among the classes that have the same parent."""
    top = scores.new_zeros((len(scores), n))
    top = top.scatter_reduce(
        1, parent.expand_as(scores), scores.detach(), "amax", include_self=False
    )
    shifted = scores - top[:, parent]
    total = torch.zeros_like(top).scatter_add(1, parent.expand_as(scores), shifted.exp())
    return shifted - total.log()[:, parent]


class HierarchicalLoss:
    """Log loss of the three levels, each given the one above.

    Parameters
    ----------
    members : (230, 3) int array, the classes of every space group
    within : share of the label that goes to all space groups of the same extinction group, equally
    smoothing : share that goes to all space groups, equally
    system, extinction : weights of the log losses of these two levels beside the whole one's
    """

    def __init__(
        self,
        members: np.ndarray,
        within: float = 0.2,
        smoothing: float = 0.02,
        system: float = 0.5,
        extinction: float = 0.5,
    ):
        columns = torch.from_numpy(np.asarray(members, dtype=np.int64))
        same = (columns[:, 1, None] == columns[:, 1]).float()
        targets = (1 - within - smoothing) * torch.eye(len(columns))
        self.targets = targets + within * same / same.sum(1, keepdim=True)
        self.targets += smoothing / len(columns)
        self.members = [functional.one_hot(columns[:, i]).float() for i in (0, 1)]
        self.weights = (system, extinction)
        self.__qualname__ = f"HierarchicalLoss({within}, {smoothing}, {system}, {extinction})"

    def __call__(self, output: dict[str, Tensor], classes: Tensor, inputs) -> Tensor:
        """Mean over a batch; classes (B, 3), the network's output has "space_group"."""
        logs = output["space_group"]
        if self.targets.device != logs.device:  # once
            self.targets = self.targets.to(logs.device)
            self.members = [member.to(logs.device) for member in self.members]
        total = -(self.targets[classes[:, 2]] * logs).sum(1).mean()
        for i, (member, weight) in enumerate(zip(self.members, self.weights, strict=True)):
            # the summed probability of a level's class, as a logarithm
            own = member.T[classes[:, i]]
            chosen = torch.where(own > 0, logs, -1e4).logsumexp(1)
            total = total - weight * chosen.mean()
        return total


def summed(groups: np.ndarray, members: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities {level: (n, classes)} of all levels, from (n, 230) of the space groups."""
    found = {}
    for i, (level, size) in enumerate(sizes(members).items()):
        found[level] = np.zeros((len(groups), size))
        np.add.at(found[level].T, members[:, i], groups.T)
    return found


def ranked(shares: dict[str, np.ndarray], members: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities, raised by 1 for the three classes of each pattern that are named first.

    They belong to the space group for which its probability, its extinction group's and its
    system's together are largest: of all answers whose labels agree with each other, the one with
    the most right labels to be expected.
    """
    together = sum(share[:, members[:, i]] for i, share in enumerate(shares.values()))
    best = members[np.argmax(together, axis=1)]
    scores = {label: share.copy() for label, share in shares.items()}
    for i, score in enumerate(scores.values()):
        score[np.arange(len(score)), best[:, i]] += 1
    return scores
