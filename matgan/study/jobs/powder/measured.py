"""The jobs of a classifier for measured patterns: choices, the final training, the one look.

    python -m matgan prepare-patterns --out runs/measured.npz
    MATGAN_DEVICE=cuda python -m matgan jobs run measured-choices --workers 1

The first command needs the data, the second its file alone. Choices are compared on a fixed tenth
of the measured patterns and on simulated ones of test structures; `FINAL` is then set, and after
`measured-final` the job `measured-look` asks the rest of the measured patterns, once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from matgan import files
from matgan.crystals.symmetry import SYSTEMS
from matgan.learning.compute import device
from matgan.learning.fit import Fit, classification_loss, train
from matgan.powder.measured.answers import (
    REFUSED,
    VIEWS,
    SymmetryEnsemble,
    best_temperature,
    by_kind,
    judged,
    limit_of,
    tempered,
)
from matgan.powder.measured.conditions import Variation
from matgan.powder.measured.convnext import Axis, hierarchical_network
from matgan.powder.measured.hierarchy import LEVELS, HierarchicalLoss
from matgan.powder.measured.material import MeasuredMaterial, read_material
from matgan.powder.measured.simulation import Simulator
from matgan.powder.measured.source import Simulated
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import WORK, Job
from matgan.study.run import PROJECT

MATERIAL = PROJECT / "runs" / "measured.npz"  # of `python -m matgan prepare-patterns`
SIMULATED = 1000  # patterns of test structures that networks are chosen on, too

# ranges as `matgan.powder.augmentation` has them, as far as both know them
EARLIER = Variation(
    strain=0.012, width=(0.08, 0.4), size=0.15, microstrain=0.3, anisotropy=0, eta=(0.1, 1),
    ka2=0.67, other_anode=0, zero=0.05, displacement=0.05, texture=0.3, thermal=2,
    impurity=0.2, most_impurity=0.1, background=0.2, counts=(100, 20_000), electronic=(0, 0),
    cut=0.3, removed=False,
)  # fmt: skip


@dataclass(frozen=True)
class MeasuredChoice:
    """How a classifier is trained; each name of `CHOICES` differs from "new" in what it says."""

    network: str = "FCN, hierarchical"
    axis: Axis = "sin²"
    variation: Variation = field(default_factory=Variation)
    repeats: int = 1  # of structures that are probably known from experiment
    within: float = 0.2  # share of a label that its extinction group gets
    learning_rate: float = 2e-3
    batch_size: int = 128


CHOICES = {
    "today": MeasuredChoice("FCN", variation=EARLIER),
    "today's network": MeasuredChoice("FCN"),
    "today's ranges": MeasuredChoice(variation=EARLIER),
    "new": MeasuredChoice(),
    "background kept": MeasuredChoice(variation=Variation(removed=False)),
    "no label smoothing": MeasuredChoice(within=0.0),
    "experimental three times": MeasuredChoice(repeats=3),
    "no second phase": MeasuredChoice(variation=Variation(impurity=0.0)),
    "narrow lines": MeasuredChoice(variation=Variation(size=0.3, microstrain=0.2)),
    "ConvNeXt": MeasuredChoice("ConvNeXt", learning_rate=1e-3),
    "ConvNeXt, q": MeasuredChoice("ConvNeXt", "q", learning_rate=1e-3),
    "ConvNeXt, no axis": MeasuredChoice("ConvNeXt", "none", learning_rate=1e-3),
}
CHOICE_PATTERNS, CHOICE_SEEDS = 1_000_000, (0, 1)
# set after `measured-choices`: by the tenth and the simulated patterns together
FINAL = replace(
    CHOICES["new"], network="ConvNeXt, wide", repeats=2, learning_rate=1e-3, batch_size=512
)
FINAL_PATTERNS, FINAL_SEEDS = 20_000_000, range(4)


@lru_cache(maxsize=1)
def material(path: Path = MATERIAL) -> MeasuredMaterial:
    """Structures and measured patterns, read once."""
    return read_material(path)


@lru_cache(maxsize=2)
def simulated_test(given: MeasuredMaterial, n: int = SIMULATED) -> tuple[np.ndarray, np.ndarray]:
    """(n, 1700) patterns of test structures, the same for every network, and their classes."""
    tests = np.flatnonzero((given.split == 2) & ~given.barred)
    rows = np.random.default_rng(0).permutation(tests)[:n]
    simulator = Simulator(given.lists.take(rows), Variation())
    parts = np.array_split(np.arange(len(rows)), max(1, len(rows) // 250))
    patterns = [simulator.patterns(part, seed) for seed, part in enumerate(parts)]
    return torch.cat(patterns).numpy(), given.lists.classes[rows].astype(np.int64)


def learn(
    choice: MeasuredChoice,
    n_patterns: int,
    seed: int,
    given: MeasuredMaterial,
    folder: Path | None = None,
    last_step: int = 0,
) -> tuple[nn.Module, Rows]:
    """A trained network, and its learning curve: a row for each tenth of the steps.

    Parameters
    ----------
    choice : network, simulation and loss
    n_patterns : drawn patterns to learn from, rounded to whole passes
    seed : of everything random
    given : structures and measured patterns
    folder : for the checkpoint and the curve, so that a stopped training goes on
    last_step : end there, in the middle of the cycle; 0: all steps
    """
    where = device()
    lists = given.lists.take(given.learnable())
    source = Simulated(lists, choice.variation, where, choice.repeats)
    fit = Fit(
        max(1, round(n_patterns / len(source))),
        choice.batch_size,
        choice.learning_rate,
        average=0.999,
        precision="bfloat16" if where == "cuda" else "float32",
        seed=seed,
    )
    torch.manual_seed(seed)
    network = hierarchical_network(choice.network, lists.members, choice.axis)
    loss: Callable = HierarchicalLoss(lists.members, choice.within)
    if choice.network == "FCN":
        loss = classification_loss(LEVELS, fit.label_smoothing)
    kept = folder / "curve.json" if folder else None
    curve: Rows = json.loads(kept.read_text()) if kept and kept.is_file() else []
    recent: list[float] = []

    def watch(step: int, n_steps: int, value: float) -> None:
        recent.append(value)
        every = max(1, n_steps // 10)
        if step % every or step == n_steps or any(row["step"] == step for row in curve):
            return
        row = {"step": step, "of": n_steps, "loss": float(np.mean(recent))}
        curve.append(row | _accuracies(SymmetryEnsemble([network], lists.members, views=1), given))
        recent.clear()
        network.train()
        if kept:
            with files.atomic_file(kept) as file:
                file.write(json.dumps(curve, default=float).encode())

    checkpoint = folder / "checkpoint.safetensors" if folder else None
    train(network, source, loss, fit, checkpoint, watch, where, last_step, same_shapes=True)
    return network, curve


def _accuracies(ensemble: SymmetryEnsemble, given: MeasuredMaterial) -> dict[str, float]:
    """Shares right on the fixed tenth and on simulated patterns of test structures."""
    rows = given.measured("tenth")
    sets = {"tenth": (given.patterns[rows], given.classes[rows]), "test": simulated_test(given)}
    found = {}
    for name, (patterns, classes) in sets.items():
        row = judged(ensemble.shares(patterns), classes, ensemble.members)
        for level in LEVELS:
            found[f"{name}_{level}"] = row[level]
        found[f"{name}_five"] = row["space_group_five"]
    return found


def choice_piece(name: str, seed: int, folder: Path, n_patterns: int = CHOICE_PATTERNS) -> Rows:
    """One choice trained at a short budget: its learning curve, at the end with and without views.

    Parameters
    ----------
    name : of `CHOICES`
    seed : of the training
    folder : for the checkpoint
    n_patterns : to learn from
    """
    given = material()
    network, curve = learn(CHOICES[name], n_patterns, seed, given, folder)
    facts = {"choice": name, "seed": seed, "patterns": n_patterns}
    rows = [{**facts, "views": 1, **row} for row in curve]
    for views in (1, len(VIEWS)):
        ensemble = SymmetryEnsemble([network], given.lists.members, views=views)
        rows.append({**facts, "views": views, "step": -1, **_accuracies(ensemble, given)})
    return rows


def final_piece(seed: int, folder: Path, n_patterns: int = FINAL_PATTERNS) -> Rows:
    """One network of the final classifier, kept as network.safetensors in the folder.

    Parameters
    ----------
    seed : of the training
    folder : for the checkpoint and the weights
    n_patterns : to learn from
    """
    given = material()
    network, curve = learn(FINAL, n_patterns, seed, given, folder)
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.cpu().state_dict().items()
    }
    facts = {"choice": json.dumps(asdict(FINAL)), "patterns": str(n_patterns), "seed": str(seed)}
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    files.save(folder / "network.safetensors", arrays, facts)
    ensemble = SymmetryEnsemble([network], given.lists.members)
    rows = [{"seed": seed, "views": 1, **row} for row in curve]
    return [*rows, {"seed": seed, "views": 4, "step": -1, **_accuracies(ensemble, given)}]


def kept_network(path: Path, choice: MeasuredChoice, members: np.ndarray) -> nn.Module:
    """A network of `final_piece`.

    Parameters
    ----------
    path : its file
    choice : it was trained by
    members : (230, 3) int array, the classes of every space group
    """
    tensors, _ = files.load(path)
    network = hierarchical_network(choice.network, members, choice.axis)
    network.load_state_dict(
        {k: torch.from_numpy(np.asarray(v)).float() if v.dtype == np.float16
         else torch.from_numpy(v) for k, v in tensors.items()}
    )  # fmt: skip
    return network.eval()


def look_piece(folder: Path) -> Rows:
    """The rest of the measured patterns, asked once; temperature and limit come from the tenth.

    Parameters
    ----------
    folder : is not used

    Raises
    ------
    FileNotFoundError
        `measured-final` is not done.
    """
    given = material()
    members = given.lists.members
    paths = [WORK / "measured-final" / f"seed-{s}" / "network.safetensors" for s in FINAL_SEEDS]
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"there is no {missing[0]}: run the job measured-final first")
    networks = [kept_network(path, FINAL, members) for path in paths]
    rows: Rows = []
    for name, some in {"one network": networks[:1], "all networks": networks}.items():
        rows += look_rows(SymmetryEnsemble(some, members), given, name)
    return rows


def look_rows(ensemble: SymmetryEnsemble, given: MeasuredMaterial, name: str) -> Rows:
    """Rows of `by_kind` for the rest of the measured patterns.

    Parameters
    ----------
    ensemble : its temperature is fitted to the tenth here
    given : structures and measured patterns
    name : for the column "model"
    """
    members = ensemble.members
    tenth, rest = given.measured("tenth"), given.measured("rest")
    logs = ensemble.logs(given.patterns[tenth])
    temperature = best_temperature(logs, given.classes[tenth], members)
    limit = limit_of(tempered(logs, temperature, members), REFUSED)
    shares = tempered(ensemble.logs(given.patterns[rest]), temperature, members)
    told = (shares["crystal_system"].max(1) >= limit) & ~given.doubted[rest]
    facts = (given.width[rest], given.background[rest], told, members, SYSTEMS)
    found = by_kind(shares, given.classes[rest], *facts)
    return [{"model": name, "temperature": temperature, "limit": limit, **row} for row in found]


def _choices() -> dict[str, Piece]:
    return {
        f"{name}-{seed}".replace(" ", "-").replace(",", "").replace("'", ""): partial(
            choice_piece, name, seed
        )
        for seed in CHOICE_SEEDS
        for name in CHOICES
    }


def _final() -> dict[str, Piece]:
    return {f"seed-{seed}": partial(final_piece, seed) for seed in FINAL_SEEDS}


def _look() -> dict[str, Piece]:
    return {"look": look_piece}


JOBS = [
    Job("measured-choices", "networks and simulations for measured patterns", 40, _choices),
    Job(
        "measured-final",
        "the classifier of measured patterns, on CUDA",
        2,
        _final,
        leaves_files=True,
    ),
    Job("measured-look", "the measured patterns that nothing was chosen on", 0.1, _look),
]
