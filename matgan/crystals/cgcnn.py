"""The crystal graph network trained for long on formation energies: the bar of notebook 7.

    python -m matgan.crystals.cgcnn --out figures/cgcnn.csv

learns from the training part of the MEGNet split (44,722 structures of ours) and is measured on its
test part. A stopped run goes on from `cgcnn.checkpoint.safetensors` beside the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan.crystals.crystal_graph import CrystalGraphNetwork, crystal_graphs
from matgan.crystals.structures import Structures, load_structures
from matgan.files import atomic_file
from matgan.learning.fit import Fit, Graphs, outputs, regression_loss, train
from matgan.learning.metrics import scores
from matgan.powder.classifier import training_rows

# Mean absolute errors on the 4,239 test structures of this split after training on 60,000, eV/atom
# and eV: JARVIS leaderboard, megnet e_form and megnet gap pbe
PUBLISHED = {
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
) -> dict[str, float]:
    """Errors of the network on the test part, in eV/atom, after training on the training part.

    Parameters
    ----------
    crystals : with the column e_form, eV/atom
    fit : passes, batch size, learning rate, seed
    rows : structures to learn from, drawn at random; 0: all
    checkpoint, progress, device : see `matgan.learning.fit.train`
    """
    parts = [
        training_rows(crystals, "train", rows, fit.seed),
        training_rows(crystals, "test", 0, 0),
    ]
    learn, test = (crystals.take(part) for part in parts)
    y = [part.table["e_form"].to_numpy(float) for part in (learn, test)]
    mean, deviation = y[0].mean(), y[0].std()
    source = Graphs(crystal_graphs(learn), ((y[0] - mean) / deviation).astype(np.float32))
    torch.manual_seed(fit.seed)
    network = CrystalGraphNetwork({"value": 1})
    train(network, source, regression_loss, fit, checkpoint, progress, device)
    found = outputs(network, Graphs(crystal_graphs(test), y[1]))["value"][:, 0] * deviation + mean
    return {"n_train": len(learn), "n_test": len(test), **scores(y[1], found)}


def main(arguments: list[str] | None = None) -> None:
    """The command line: trains, prints progress, writes the errors beside the published ones."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan.crystals.cgcnn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training part")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--structures", type=int, default=0, help="to learn from; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
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
        options.device,
    )
    ours = {"model": "CGCNN (ours)", "epochs": fit.epochs, "seed": fit.seed, **found}
    published = [
        {"model": f"{name} (published)", "mae": errors["e_form"]}
        for name, errors in PUBLISHED.items()
    ]
    table = pd.DataFrame([ours, *published])
    with atomic_file(options.out) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
