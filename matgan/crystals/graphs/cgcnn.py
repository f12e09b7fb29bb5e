"""CGCNN learns a property of crystals: training, prediction, the command `cgcnn`.

The network is that of Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018): see
`matgan.crystals.graphs.network`. Nothing here needs pymatgen.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from matgan.crystals.graphs.neighbours import CrystalGraphs, crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.structures import Structures, load_structures
from matgan.files import atomic_file
from matgan.learning.compute import DEVICES, device
from matgan.learning.fit import (
    Fit,
    Subset,
    classification_loss,
    outputs,
    regression_loss,
    train,
)
from matgan.learning.statistics import scores


class Graphs:
    """Crystal graphs."""

    def __init__(self, graphs: CrystalGraphs, targets: np.ndarray):
        self.graphs, self.targets = graphs, targets

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, rows, seed):
        """Inputs and targets of some rows, as tensors: see `matgan.learning.fit.Examples`."""
        return self.graphs.batch(rows), torch.from_numpy(self.targets[rows])

    def content(self):
        """See `matgan.learning.fit.Examples`."""
        return [*(getattr(self.graphs, f.name) for f in fields(self.graphs)), self.targets]


@dataclass(frozen=True)
class GraphModel:
    """A trained network and the scale of what it answers.

    Attributes
    ----------
    network : with the head "value", or "class" where it tells classes apart
    mean, deviation : (p,) arrays of the properties that it learned from
    losses : mean loss of each pass, in deviations
    """

    network: CrystalGraphNetwork
    mean: np.ndarray
    deviation: np.ndarray
    losses: list[float]

    def predict(self, graphs: CrystalGraphs, rows: np.ndarray) -> np.ndarray:
        """Properties of some structures: (m, p) float64 array, in the unit of what was learned."""
        return self._found(graphs, rows, "value") * self.deviation + self.mean

    def probabilities(self, graphs: CrystalGraphs, rows: np.ndarray) -> np.ndarray:
        """Probability of each class: (m, classes) array."""
        logits = torch.from_numpy(self._found(graphs, rows, "class"))
        return functional.softmax(logits.double(), dim=1).numpy()

    def contributions(self, graphs: CrystalGraphs, rows: np.ndarray) -> list[np.ndarray]:
        """What each atom of some structures contributes: m arrays (atoms, p); their means answer.

        Raises
        ------
        ValueError
            The network's pooling is not linear.
        """
        found = []
        where = next(self.network.parameters()).device
        for start in range(0, len(rows), 256):
            part = np.asarray(rows)[start : start + 256]
            batch = (t.to(where) for t in graphs.batch(part))
            values = self.network.eval().site_values(*batch)["value"].cpu().numpy()
            ends = np.cumsum(np.diff(graphs.first_atom)[part])[:-1]
            found += np.split(values * self.deviation + self.mean, ends)
        return found

    def _found(self, graphs: CrystalGraphs, rows: np.ndarray, head: str) -> np.ndarray:
        if head not in self.network.heads:
            raise ValueError(f"the network answers {', '.join(self.network.heads)}, no {head}")
        nothing = np.zeros((len(graphs), 1), dtype=np.float32)
        asked = rows if len(rows) else np.zeros(1, int)  # for the columns
        return outputs(self.network, Subset(Graphs(graphs, nothing), asked))[head][: len(rows)]


def learn_graphs(
    graphs: CrystalGraphs,
    y: np.ndarray,
    rows: np.ndarray,
    fit: Fit,
    checkpoint: Path | None = None,
    progress=None,
    device: str = "cpu",
    **options,
) -> GraphModel:
    """Train a network on some structures.

    Parameters
    ----------
    graphs : n graphs
    y : (n,) or (n, p) properties; integers: (n,) classes from 0
    rows : to learn from, as numbers or as an (n,) bool mask
    fit, checkpoint, progress, device : see `matgan.learning.fit.train`
    options : of `CrystalGraphNetwork`

    Raises
    ------
    ValueError
        Not as many values as graphs, classes in several columns, or a value to learn from is no
        number or a negative class; names the row.
    """
    y = np.asarray(y)
    if len(y) != len(graphs):
        raise ValueError(f"there are {len(y)} values for {len(graphs)} graphs")
    names_classes = y.dtype.kind in "iub"
    values, rows = y.reshape(len(y), -1), np.arange(len(y))[rows]
    if names_classes and values.shape[1] > 1:
        raise ValueError(f"classes must be (n,) whole numbers, not of shape {y.shape}")
    learned = values[rows].astype(float)
    bad = ~np.isfinite(learned).all(1) | (names_classes & (learned < 0).any(1))
    if bad.any():
        row, what = rows[bad.argmax()], "class" if names_classes else "number"
        raise ValueError(f"the value of graph {row} is {values[row]}: no {what} to learn from")
    if names_classes:
        mean, deviation = np.zeros(1), np.ones(1)
        heads, loss = {"class": int(values.max()) + 1}, classification_loss(("class",))
        targets = values.astype(np.int64)
    else:
        mean = values[rows].mean(0)
        deviation = np.maximum(values[rows].std(0), 1e-12)
        heads, loss = {"value": values.shape[1]}, regression_loss
        targets = ((values - mean) / deviation).astype(np.float32)
    torch.manual_seed(fit.seed)
    network = CrystalGraphNetwork(heads, **options)
    source = Subset(Graphs(graphs, targets), rows)
    losses = train(network, source, loss, fit, checkpoint, progress, device)
    return GraphModel(network, mean, deviation, losses)


# --- the command ----------------------------------------------------------------------------------


# Mean absolute errors on the 4,239 test structures of this split after training on 60,000, eV/atom
# and eV: JARVIS leaderboard, megnet e_form and megnet gap pbe
PUBLISHED_ERRORS = {
    "ALIGNN": {"e_form": 0.024, "gap": 0.209},
    "matminer, gradient boosting": {"e_form": 0.055, "gap": 0.267},
    "matminer, random forest": {"e_form": 0.071, "gap": 0.275},
}


def formation_energy(
    crystals: Structures,
    fit: Fit,
    rows: int = 0,
    checkpoint: Path | None = None,
    progress=None,
    device: str = "cpu",
    **options,
) -> dict[str, float]:
    """Errors of the network on the test part, in eV/atom, after training on the training part.

    Parameters
    ----------
    crystals : with the column e_form, eV/atom
    fit : passes, batch size, learning rate, seed
    rows : structures to learn from, drawn at random; 0: all
    checkpoint, progress, device : see `matgan.learning.fit.train`
    options : of `CrystalGraphNetwork`
    """
    learn, test = crystals.rows("train", rows, fit.seed), crystals.rows("test")
    used = crystals.take(np.concatenate([learn, test]))
    graphs, y = crystal_graphs(used), used.table["e_form"].to_numpy(float)
    first, last = np.arange(len(learn)), np.arange(len(learn), len(used))
    model = learn_graphs(graphs, y, first, fit, checkpoint, progress, device, **options)
    found = model.predict(graphs, last)[:, 0]
    return {"n_train": len(learn), "n_test": len(test), **scores(y[last], found)}


def main(arguments: list[str] | None = None) -> None:
    """The command `cgcnn`: trains, prints progress, writes the errors beside the published ones."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan cgcnn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training part")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--structures", type=int, default=0, help="to learn from; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=DEVICES, default="auto")
    options = parser.parse_args(arguments)
    if options.structures < 0:
        parser.error(f"--structures must be 0 or more, not {options.structures}")
    fit = Fit(options.epochs, options.batch_size, seed=options.seed)

    def show(step: int, n_steps: int, loss: float) -> None:
        if step % 200 == 0 or step == n_steps:
            print(f"step {step:,} of {n_steps:,}, loss {loss:.3f}", flush=True)

    found = formation_energy(
        load_structures(),
        fit,
        options.structures,
        options.out.with_name(f"{options.out.stem}.checkpoint.safetensors"),
        show,
        device(options.device),
    )
    ours = {"model": "CGCNN (ours)", "epochs": fit.epochs, "seed": fit.seed, **found}
    published = [
        {"model": f"{name} (published)", "mae": errors["e_form"]}
        for name, errors in PUBLISHED_ERRORS.items()
    ]
    table = pd.DataFrame([ours, *published])
    with atomic_file(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))
