"""The jobs of the composition encoder on OQMD: what each choice is worth, then to convergence.

The parts are the published ones, of which Roost, CrabNet and ElemNet have errors. The choices are
compared on the validation part; the test part is predicted beside it and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from matgan.data.tasks import ENERGIES, load_task_fold
from matgan.learning.compute import fast_precision
from matgan.learning.fit import Fit
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.pretraining import Pretext, pretrained_encoder
from matgan.representation.encoder.routes import Compounds, read_compounds
from matgan.representation.encoder.sources import OQMD, joint_labels
from matgan.representation.tables import load_embedding, permuted_embedding
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, RunError, read_table

TASK = ENERGIES
T = "wgan-mp"  # the element table that starts an encoder, in the order of the elements and permuted
HELD_COMPOUNDS = "validation and test compounds"
FINAL = "encoder-oqmd"
MEAN = f"{FINAL}-mean"
SEARCH = "encoder-search"
SEARCHED_EPOCHS, FINAL_EPOCHS, SEEDS = 15, 60, 5
TRIPLES = list(combinations(range(SEEDS), 3))  # of which means are taken
LEAST = 0.01  # a choice that lowers the validation error by this share is taken


@dataclass(frozen=True)
class EncoderChoice:
    """How an encoder learns OQMD's formation energies; the defaults are the reference."""

    width: int = 128
    layers: int = 3
    dropout: float = 0.0
    learning_rate: float = 5e-3
    batch_size: int = 512
    weight_decay: float = 1e-2
    elements: str = "learned"  # or the name of a table; "permuted T": with its rows mixed up
    begins: str = "anew"  # or from a pretext, see `Guesser`
    targets: str = "energy"  # "all four": energy per atom, volume and gap are learned, too
    epochs: int = SEARCHED_EPOCHS

    @property
    def sizes(self) -> dict[str, Any]:
        """Of the network."""
        heads = self.width // 32
        return {"width": self.width, "layers": self.layers, "heads": heads, "dropout": self.dropout}


REFERENCE = EncoderChoice()
CHOICES = {
    "reference": REFERENCE,
    "learning rate 2e-3": replace(REFERENCE, learning_rate=2e-3),
    "learning rate 1e-2": replace(REFERENCE, learning_rate=1e-2),
    "dropout 0.05": replace(REFERENCE, dropout=0.05),
    "dropout 0.1": replace(REFERENCE, dropout=0.1),
    "weight decay 0.1": replace(REFERENCE, weight_decay=0.1),
    "batches of 1,024": replace(REFERENCE, batch_size=1024),
    "192 wide": replace(REFERENCE, width=192),
    "five layers": replace(REFERENCE, layers=5),
    "mat2vec": replace(REFERENCE, elements="mat2vec"),
    "T": replace(REFERENCE, elements=T),
    "permuted T": replace(REFERENCE, elements="permuted T"),
    "masked elements first": replace(REFERENCE, begins="masked"),
    "replaced elements first": replace(REFERENCE, begins="replaced"),
    "four properties": replace(REFERENCE, targets="all four"),
    "twice the epochs": replace(REFERENCE, epochs=2 * SEARCHED_EPOCHS),
}


@lru_cache(maxsize=1)
def published_parts() -> Compounds:
    """OQMD's formation energies, in the order and with the parts of its published split."""
    return read_compounds(load_task_fold(TASK))


def _elements(choice: EncoderChoice, seed: int) -> pd.DataFrame | None:
    if choice.elements == "learned":
        return None
    if choice.elements == "permuted T":
        return permuted_embedding(load_embedding(T), seed)
    return load_embedding(choice.elements)


def encoder_piece(name: str, choice: EncoderChoice, seed: int, folder: Path) -> Rows:
    """Train one encoder; its errors on the three parts, and the losses on the way."""
    compounds = published_parts()
    rows = compounds.rows["train"]
    amounts, y = compounds.amounts[rows], compounds.target[rows, None]
    if choice.targets == "all four":
        labels = joint_labels(OQMD, [HELD_COMPOUNDS], _table)
        amounts, y = labels.amounts, labels.targets
    start = folder / "start.safetensors" if choice.begins != "anew" else None
    if start is not None and not start.is_file():
        _begin(choice, amounts, seed, folder, start)
    encoder = encoder_of(choice, seed, folder / "encoder.checkpoint", start).fit(amounts, y)
    encoder.save(folder / "encoder.safetensors")
    predicted = encoder.predict(compounds.amounts)[:, 0]
    errors = {f"mae_{part}": compounds.error(predicted, part) for part in compounds.rows}
    np.save(folder / "predicted.npy", predicted[compounds.rows["test"]].astype(np.float32))
    return [
        {"choice": name, "seed": seed, "epochs": choice.epochs, "training compounds": len(amounts)}
        | {"parameters": sum(weights.numel() for weights in encoder.network_.parameters())}
        | errors
        | {"loss": encoder.losses_[-1]}
    ]


def encoder_of(
    choice: EncoderChoice, seed: int, checkpoint: Path, start: Path | None = None
) -> CompositionEncoder:
    """An encoder that has not learned yet."""
    return CompositionEncoder(
        **choice.sizes, elements=_elements(choice, seed), start=start, epochs=choice.epochs,
        batch_size=choice.batch_size, learning_rate=choice.learning_rate, average=0.9995,
        weight_decay=choice.weight_decay, precision="auto", random_state=seed,
        checkpoint=checkpoint,
    )  # fmt: skip


def _begin(choice: EncoderChoice, amounts: np.ndarray, seed: int, folder: Path, path: Path) -> None:
    """Learn from the compositions alone, as long as from the energies afterwards."""
    fit = Fit(
        epochs=choice.epochs, batch_size=512, learning_rate=choice.learning_rate, seed=seed,
        weight_decay=1e-2, average=0.9995, precision=fast_precision("cpu"),
    )  # fmt: skip
    pretext: Pretext = "masked" if choice.begins == "masked" else "replaced"
    checkpoint = folder / "start.checkpoint"
    encoder, _ = pretrained_encoder(amounts, pretext, choice.sizes, fit, checkpoint)
    encoder.save(path)


def _table(task: str) -> pd.DataFrame:
    """The compounds of a task, all parts; or those on which the encoder is judged."""
    if task != HELD_COMPOUNDS:
        return load_task_fold(task)
    fold = load_task_fold(TASK)
    return fold[fold["split"] != "train"]


def chosen(table: pd.DataFrame) -> EncoderChoice:
    """What the long trainings use: every choice that lowers the search's validation error.

    It must lower it by `LEAST`; of two values of one setting, the better. A weight decay of 0.1 is
    taken in any case: it guards against over-fitting, which 15 passes do not show. The passes are
    `FINAL_EPOCHS`.

    Parameters
    ----------
    table : of the search: choice, mae_val

    Raises
    ------
    RunError
        A choice has not been tried.
    """
    errors = table.set_index("choice")["mae_val"]
    tried = [name for name, choice in CHOICES.items() if choice.epochs == SEARCHED_EPOCHS]
    if missing := set(tried) - set(errors.index):
        raise RunError(f"not tried yet: {', '.join(sorted(missing))}; run the job {SEARCH}")
    settings: dict[str, Any] = {}
    for name, error in errors[tried].sort_values().items():
        if error > (1 - LEAST) * errors["reference"]:
            break
        ((setting, value),) = _changes(CHOICES[str(name)])
        settings.setdefault(setting, value)
    return replace(REFERENCE, **settings | {"epochs": FINAL_EPOCHS, "weight_decay": 0.1})


def _changes(choice: EncoderChoice) -> list[tuple[str, Any]]:
    """Settings that are not the reference's."""
    pairs = ((name, getattr(choice, name)) for name in vars(REFERENCE))
    return [(name, value) for name, value in pairs if value != getattr(REFERENCE, name)]


def final_choice(epochs: int = FINAL_EPOCHS) -> EncoderChoice:
    """What the search's kept table says of long trainings; `RunError` where there is none."""
    path = LONG / f"{SEARCH}.csv"
    if not path.is_file():
        raise RunError(f"no choices yet: `python -m matgan jobs run {SEARCH}`")
    return replace(chosen(read_table(path)), epochs=epochs)


def final_piece(seed: int, epochs: int, folder: Path) -> Rows:
    """One of the long trainings, with what the search chose, and that by name."""
    choice = final_choice(epochs)
    (row,) = encoder_piece(FINAL, choice, seed, folder)
    return [row | {"settings": ", ".join(f"{name} {value}" for name, value in _changes(choice))}]


def predictions(work: Path, seed: int) -> np.ndarray:
    """What a long training predicted for the test part, in the order of `published_parts`.

    Parameters
    ----------
    work : the folder of all jobs
    seed : of the training

    Raises
    ------
    RunError
        It has not been made; names the command.
    """
    path = work / FINAL / _seed(seed) / "predicted.npy"
    if not path.is_file():
        raise RunError(f"there is no {path}: `python -m matgan jobs run {FINAL}` makes it in hours")
    return np.load(path).astype(float)


def means_of_seeds(folder: Path) -> Rows:
    """Errors of the mean predictions of every three seeds, which the job of the seeds left."""
    compounds, work = published_parts(), folder.parent.parent
    predicted, rows = np.zeros(len(compounds.target)), []
    of_seeds = [predictions(work, seed) for seed in range(SEEDS)]
    for triple in TRIPLES:
        predicted[compounds.rows["test"]] = np.mean([of_seeds[seed] for seed in triple], axis=0)
        error = compounds.error(predicted, "test")
        row = {"choice": "mean of three", "epochs": FINAL_EPOCHS, "mae_test": error}
        rows.append(row | {"seeds": " ".join(map(str, triple))})
    return rows


def _seed(seed: int) -> str:
    return f"seed-{seed}"


def _search() -> dict[str, Piece]:
    return {
        name.replace(" ", "-").replace(",", ""): partial(encoder_piece, name, choice, 0)
        for name, choice in CHOICES.items()
    }


def _final() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        _seed(seed): partial(final_piece, seed, FINAL_EPOCHS) for seed in range(SEEDS)
    }
    # are the passes enough?
    return pieces | {f"{_seed(0)}-twice": partial(final_piece, 0, 2 * FINAL_EPOCHS)}


JOBS = [
    Job(
        SEARCH,
        f"OQMD's published parts, {SEARCHED_EPOCHS} passes: what each choice of the encoder is "
        "worth",
        2.0,
        _search,
    ),
    Job(
        FINAL,
        f"the encoder on OQMD's published parts for {FINAL_EPOCHS} passes, {SEEDS} seeds, one for "
        "twice as many",
        9.5,
        _final,
        leaves_files=True,
        reads=(SEARCH,),
    ),
    Job(
        MEAN,
        f"the means of every three of the {SEEDS}: run it after them",
        0.01,
        lambda: {"mean": means_of_seeds},
    ),
]
