"""What trained networks answer together, how sure they are, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from matgan.powder.measured.hierarchy import LEVELS, ranked, summed

VIEWS = ("as it is", "one point left", "one point right", "smoothed")
_WIDTHS = (0.0, 0.15, 0.25, 0.4, np.inf)  # degrees 2θ: ends of the groups
_BACKGROUNDS = (0.0, 0.02, 0.1, np.inf)  # over the largest count
REFUSED = 0.08  # share of patterns that it may not answer


@dataclass(frozen=True)
class SymmetryEnsemble:
    """Networks whose probabilities are averaged, over the views of a pattern, too.

    Attributes
    ----------
    networks : give {"space_group": (B, 230) scores}
    members : (230, 3) int array, the classes of every space group
    temperature : of the mean's logarithm, so that probabilities are shares of right answers
    views : how many of `VIEWS` each network sees
    """

    networks: Sequence[nn.Module]
    members: np.ndarray
    temperature: float = 1.0
    views: int = len(VIEWS)

    def logs(self, patterns: np.ndarray) -> np.ndarray:
        """(n, 230) float64 array, logarithms of the mean probabilities, before the temperature."""
        total = np.zeros((len(patterns), 230))
        with torch.no_grad():
            for network in self.networks:
                network.eval()
                device = next(network.parameters()).device
                for start in range(0, len(patterns), 256):
                    part = torch.from_numpy(patterns[start : start + 256]).float().to(device)
                    for view in viewed(part)[: self.views]:
                        share = network(view)["space_group"].double().softmax(1)
                        total[start : start + 256] += share.cpu().numpy()
        return np.log(np.maximum(total / (len(self.networks) * self.views), 1e-12))

    def shares(self, patterns: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities {level: (n, classes)} of patterns, (n, 1700)."""
        return tempered(self.logs(patterns), self.temperature, self.members)


def viewed(patterns: Tensor) -> list[Tensor]:
    """The pattern in each of `VIEWS`, maxima 1."""
    left, right = patterns.roll(-1, 1), patterns.roll(1, 1)
    smooth = (2 * patterns + left + right) / 4
    return [patterns, left, right, smooth / smooth.amax(1, keepdim=True).clamp_min(1e-12)]


def tempered(logs: np.ndarray, temperature: float, members: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities {level: (n, classes)} of scores (n, 230) of the space groups."""
    scaled = logs / temperature
    groups = np.exp(scaled - scaled.max(1, keepdims=True))
    return summed(groups / groups.sum(1, keepdims=True), members)


def best_temperature(logs: np.ndarray, classes: np.ndarray, members: np.ndarray) -> float:
    """Temperature with the least log loss of the three levels (Guo et al. 2017), of 81 tried.

    Parameters
    ----------
    logs : (n, 230)
    classes : (n, 3)
    members : (230, 3)
    """
    tried = np.geomspace(0.4, 3, 81)
    rows = np.arange(len(logs))
    losses = []
    for temperature in tried:
        shares = tempered(logs, temperature, members)
        own = [shares[level][rows, classes[:, i]] for i, level in enumerate(LEVELS)]
        losses.append(-np.log(np.maximum(own, 1e-12)).mean())
    return float(tried[int(np.argmin(losses))])


def limit_of(shares: dict[str, np.ndarray], refused: float = REFUSED) -> float:
    """Probability of the likeliest system below which that share of these patterns is refused."""
    return float(np.quantile(shares["crystal_system"].max(1), refused))


def judged(shares: dict[str, np.ndarray], classes: np.ndarray, members: np.ndarray) -> dict:
    """Shares right at the first choice and among five, and expected calibration errors.

    Parameters
    ----------
    shares : probabilities {level: (n, classes)}
    classes : (n, 3), the truth
    members : (230, 3)
    """
    from matgan.learning.statistics import calibration_error, share_interval, top_k

    scores = ranked(shares, members)
    row: dict[str, float] = {"patterns": len(classes)}
    for i, level in enumerate(LEVELS):
        first = scores[level].argmax(1)
        right = first == classes[:, i]
        row[level] = right.mean()
        row[f"{level}_low"], row[f"{level}_high"] = share_interval(right)
        row[f"{level}_five"] = top_k(scores[level], classes[:, i], 5)
        stated = shares[level][np.arange(len(first)), first]
        row[f"{level}_ece"] = calibration_error(stated, right)
    return row


def by_kind(
    shares: dict[str, np.ndarray],
    classes: np.ndarray,
    width: np.ndarray,
    background: np.ndarray,
    told: np.ndarray,
    members: np.ndarray,
    systems: Sequence[str],
) -> list[dict]:
    """`judged` of all patterns, of those not refused, and of each system, width and background.

    Parameters
    ----------
    shares : probabilities {level: (n, classes)}
    classes : (n, 3), the truth
    width, background : (n,), of the patterns
    told : (n,) bool, which are answered, the others refused
    members : (230, 3)
    systems : names of the crystal systems
    """
    kinds = {"all": np.ones(len(classes), bool), "not refused": told, "refused": ~told}
    kinds |= {f"system {name}": classes[:, 0] == i for i, name in enumerate(systems)}
    for name, values, ends in (("width", width, _WIDTHS), ("background", background, _BACKGROUNDS)):
        for low, high in pairwise(ends):
            kinds[f"{name} {low:g} to {high:g}"] = (values >= low) & (values < high)
    rows = []
    for name, chosen in kinds.items():
        if chosen.any():
            own = {level: share[chosen] for level, share in shares.items()}
            found = {"kind": name, "share": chosen.mean(), **judged(own, classes[chosen], members)}
            rows.append(found | {"told": told[chosen].mean()})
    return rows
