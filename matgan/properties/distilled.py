"""A small network for formation energies, taught by the large ones: for millions of compositions.

It sees fractions x_e and which elements are there, 170 numbers of which at most four pairs are not
0: the first layer is a sum of a few columns, and the second takes nearly all of the time. Hinton et
al. 2015 (arXiv 1503.02531): a small network learns better from the answers of a large one than from
the labels, since the large one answers wherever it is asked, for compositions without labels, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from matgan import files
from matgan.chemistry.composition import whole_counts
from matgan.chemistry.elements import N_ELEMENTS
from matgan.learning.checkpoint import check_finite, check_fit, from_arrays, to_arrays
from matgan.learning.compute import compiled, progress_bar
from matgan.learning.fit import Fit, content_hash, regression_loss, train
from matgan.properties.models import pretrained
from matgan.properties.training import labelled
from matgan.stability.enumeration import Block, Enumeration

SMALL_FILE = "distilled-formation-energy.safetensors"
SHIPPED = files.PRETRAINED / SMALL_FILE
_PART = 4096  # compositions at a time: their first layer stays in the cache


class SmallNetwork(nn.Module):
    """Fractions and presence of the elements, hidden layers of rectifiers, one value.

    Parameters
    ----------
    hidden : units of the layers
    """

    centre: Tensor  # eV/atom
    scale: Tensor

    def __init__(self, hidden: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([2 * N_ELEMENTS, *hidden]):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Values (n, 1), standardised, of inputs (n, 170)."""
        return {"value": self.layers(x)}


class DistilledEnergy:
    """Formation energies of enumerated compositions, some hundred thousand a second on one core.

    Parameters
    ----------
    network : trained
    """

    def __init__(self, network: SmallNetwork):
        self.network = network.eval()
        first = _linear(network)[0]
        with torch.no_grad():
            columns = first.weight.T.contiguous()  # (170, units)
            self._shares = columns[:N_ELEMENTS].numpy().copy()
            self._present = columns[N_ELEMENTS:].numpy().copy()
            self._bias = first.bias.numpy().copy()
            self._scale, self._centre = float(network.scale), float(network.centre)

    def energies(self, elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """Formation energies of n compositions: (n,) float32 in eV/atom.

        Parameters
        ----------
        elements, amounts : (n, k), as in `matgan.stability.enumeration.Block`
        """
        out = np.empty(len(elements), dtype=np.float32)
        hidden = np.empty((min(_PART, len(elements)), len(self._bias)), dtype=np.float32)
        rest = self.network.layers[2:]
        with torch.inference_mode():
            for start in range(0, len(elements), _PART):
                part = slice(start, start + _PART)
                n = len(out[part])
                _first_layer(
                    elements[part], amounts[part], self._shares, self._present, self._bias, hidden
                )
                out[part] = rest(torch.from_numpy(hidden[:n]))[:, 0].numpy()
        return out * self._scale + self._centre

    def save(self, path: str | Path, facts: dict[str, str]) -> None:
        """Write the network, and facts about it."""
        widths = [layer.out_features for layer in _linear(self.network)]
        tensors = to_arrays({"network": self.network})
        files.save(path, tensors, facts | {"hidden": json.dumps(widths[:-1])})


def _linear(network: SmallNetwork) -> list[nn.Linear]:
    return [layer for layer in network.layers if isinstance(layer, nn.Linear)]


@compiled
def _first_layer(elements, amounts, shares, present, bias, out):
    """max(0, b + Σ_e x_e s_e + p_e) for each composition, into `out`."""
    width = len(bias)
    for i in range(len(elements)):
        row = out[i]
        row[:] = bias
        total = np.float32(0)
        for j in range(elements.shape[1]):
            total += np.float32(amounts[i, j])
        for j in range(elements.shape[1]):
            e = elements[i, j]
            if amounts[i, j] > 0:
                x, s, p = np.float32(amounts[i, j]) / total, shares[e], present[e]
                for h in range(width):
                    row[h] += x * s[h] + p[h]
        for h in range(width):
            row[h] = max(row[h], np.float32(0))


def load_distilled(path: str | Path) -> DistilledEnergy:
    """A network that `DistilledEnergy.save` wrote.

    Raises
    ------
    FileNotFoundError
    matgan.files.WeightsError
        The file is damaged or holds something else.
    """
    arrays, facts = files.load(path)
    try:
        hidden = [int(units) for units in json.loads(facts["hidden"])]
        if not 1 <= len(hidden) <= 10 or not all(0 < units <= 4096 for units in hidden):
            raise ValueError(f"layers of {hidden} units")
    except (KeyError, ValueError, TypeError) as error:
        raise files.WeightsError(f"{path} holds no small network: {error!r}") from None
    check_finite(arrays, path)
    with torch.device("meta"):  # a small file that asks for a huge network is refused
        check_fit({"network": SmallNetwork(hidden)}, arrays, path)
    network = SmallNetwork(hidden)
    from_arrays({"network": network}, arrays, path)
    return DistilledEnergy(network)


# --- teaching -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lessons:
    """How a small network is taught."""

    epochs: int = 6
    batch_size: int = 1024
    learning_rate: float = 3e-3
    hidden: tuple[int, ...] = (512, 128, 64)


class Counts:
    """Compositions and values as batches: see `matgan.learning.fit.Examples`.

    Parameters
    ----------
    counts : (n, 85) uint8
    values : (n,) standardised
    """

    def __init__(self, counts: np.ndarray, values: np.ndarray):
        self.counts, self.values = counts, torch.from_numpy(values.astype(np.float32))

    def __len__(self) -> int:
        return len(self.counts)

    def batch(self, rows, seed):
        """See `Examples`."""
        amounts = torch.from_numpy(self.counts[rows]).float()
        shares = amounts / amounts.sum(1, keepdim=True)
        return (torch.cat([shares, (amounts > 0).float()], 1),), self.values[rows]

    def content(self):
        """See `Examples`."""
        return [self.counts, self.values.numpy()]


def taught(
    counts: np.ndarray,
    energies: np.ndarray,
    lessons: Lessons,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[DistilledEnergy, dict[str, str]]:
    """A small network that learned the energies of n compositions, and facts for its file.

    Parameters
    ----------
    counts : (n, 85) uint8
    energies : (n,) eV/atom, labels or a teacher's answers
    lessons : sizes and steps
    seed : of the first weights and of the order
    checkpoint, progress : as for `matgan.learning.fit.train`
    """
    centre, scale = float(np.mean(energies)), float(np.std(energies))
    source = Counts(counts, (energies - centre) / scale)
    fit = Fit(lessons.epochs, lessons.batch_size, lessons.learning_rate, 1e-3, 0.0, seed=seed)
    torch.manual_seed(seed)
    network = SmallNetwork(lessons.hidden)
    network.centre.fill_(centre)
    network.scale.fill_(scale)
    train(network, source, regression_loss, fit, checkpoint, progress)
    facts = {
        "lessons": json.dumps(dataclasses.asdict(lessons)),
        "examples": content_hash(source.content()),
        "seed": str(seed),
    }
    return DistilledEnergy(network), facts


def balanced_sample(n: int, seed: int) -> Block:
    """n different neutral and balanced compounds of the enumeration, drawn at random.

    Parameters
    ----------
    n, seed : how many, and which
    """
    everything, rng = Enumeration(), np.random.default_rng(seed)
    drawn = np.unique(rng.integers(0, len(everything), 4 * n + 1000))
    made = everything.compositions(drawn)
    able = np.flatnonzero(made.balanced & ((made.amounts > 0).sum(axis=1) > 1))
    return made.take(np.sort(rng.choice(able, n, replace=False)))


def teacher(counts: np.ndarray) -> np.ndarray:
    """Formation energies by the networks of `predict`: (n,) eV/atom."""
    return pretrained("formation_energy").raw(counts)[0]


TEACHERS = ("answers", "labels")  # of the large networks; of OQMD alone, as a control


def examples(way: str, enumerated: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What a small network learns from: (n, 85) counts and (n,) eV/atom.

    Parameters
    ----------
    way : "labels": the training part of OQMD that the large networks had; "answers": what these
        answer for its compositions and for enumerated ones, neutral and balanced
    enumerated : how many of these
    seed : of their draw

    Raises
    ------
    ValueError
        Another way.
    """
    if way not in TEACHERS:
        raise ValueError(f"a small network learns from {' or '.join(TEACHERS)}, not {way!r}")
    data = labelled("formation_energy")
    learned = data.part == "train"
    counts = whole_counts(data.amounts[learned])
    if way == "labels":
        return counts, data.target[learned]
    counts = np.concatenate([counts, balanced_sample(enumerated, seed).counts()])
    return counts, teacher(counts)


def main(words: Sequence[str] | None = None) -> None:
    """The command `train-distilled`: the small network of `screen`."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan train-distilled",
        description=f"Teach the small network of `screen`: {SMALL_FILE}.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="a stopped run goes on from it")
    add("--way", choices=TEACHERS, default="answers", help="what it learns from (default: answers)")
    add("--enumerated", type=int, default=300_000, help="compositions beside OQMD's")
    add("--epochs", type=int, default=Lessons().epochs)
    add("--seed", type=int, default=0)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    counts, energies = examples(options.way, options.enumerated, options.seed)
    lessons = Lessons(epochs=options.epochs)
    with progress_bar(options.epochs * (len(counts) // lessons.batch_size)) as show:
        network, facts = taught(
            counts, energies, lessons, options.seed, options.out / "distilled.checkpoint",
            lambda step, steps, loss: show({"iteration": step, "loss": loss}),
        )  # fmt: skip
    network.save(options.out / SMALL_FILE, facts | {"way": options.way})
