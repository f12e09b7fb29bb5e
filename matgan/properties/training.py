"""Training, calibration and test of the models of `predict`, with chemical systems held out."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

from matgan import files
from matgan.chemistry.composition import amounts_matrix, formulas
from matgan.data.compounds import load_mp_compositions, load_oqmd, load_supercon
from matgan.data.sources import wheel_table
from matgan.data.splits import chemical_systems, compositions, grouped_parts
from matgan.learning.checkpoint import from_arrays, to_arrays
from matgan.learning.fit import ArrayExamples, Fit, content_hash, train
from matgan.learning.statistics import calibration_error, scores
from matgan.properties import models
from matgan.properties.known import KnownCompositions
from matgan.properties.models import (
    COVERAGE,
    PROPERTIES,
    Calibration,
    Network,
    PropertyModel,
    PropertyNetwork,
)
from matgan.properties.stability import with_stable
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.network import CompositionNetwork

SPLIT_SEED = 0
_FEWEST = 50  # compositions of one kind that a factor is taken from


@dataclass(frozen=True)
class Labelled:
    """Compositions of one property, whole chemical systems in one of three parts.

    Attributes
    ----------
    amounts : (n, 85)
    target : (n,), in the unit of the property
    there : (n,) bool, whether there is such a value (no metal; Tc above 0)
    part : (n,) "train", "val" (on which intervals are calibrated) or "test"
    """

    amounts: np.ndarray
    target: np.ndarray
    there: np.ndarray
    part: np.ndarray


def labelled(name: str) -> Labelled:
    """What the model of a property learns from, is calibrated on and is tested on.

    "formation_energy": OQMD, curated as in the paper. "band_gap": Materials Project (PBE), the
    median of the entries of a formula, metals where it is 0. "critical_temperature": SuperCon, and
    the compounds of the Materials Project that are not in it; 0 where no Tc is reported. 80% of
    the rows are for training, 10% for calibration and 10% for the test; a chemical system is on
    one side as a whole.
    """
    if name == "formation_energy":
        table = load_oqmd()
    elif name == "band_gap":
        table = wheel_table("matbench/mp_gap")
        table = table.assign(formula=formulas(table["formula"], on_error="nan")).dropna()
        table = table.groupby("formula", sort=False)["target"].median().reset_index()
    elif name == "critical_temperature":
        table, others = load_supercon("all"), load_mp_compositions()["formula"]
        number = compositions([*table["formula"], *others])
        others = others[~np.isin(number[len(table) :], number[: len(table)])]
        table = pd.concat([table, pd.DataFrame({"formula": others, "target": 0.0})])
    else:
        raise ValueError(f"the properties are {', '.join(PROPERTIES)}, not {name!r}")
    amounts, values = amounts_matrix(table["formula"]), table["target"].to_numpy(dtype=float)
    there = values > 0 if PROPERTIES[name].gate else np.ones(len(values), dtype=bool)
    part = grouped_parts(chemical_systems(amounts), seed=SPLIT_SEED, largest=0.01)
    return Labelled(amounts, values, there, part)


@dataclass(frozen=True)
class Recipe:
    """How the fully connected networks of a property are trained."""

    epochs: int
    hidden: tuple[int, ...]
    dropout: float = 0.0
    batch_size: int = 256
    learning_rate: float = 2e-3
    networks: int = 3


@dataclass(frozen=True)
class EncoderRecipe:
    """How the transformers over the elements are trained, as the search on OQMD chose it.

    The fields are those of `matgan.representation.encoder.estimator.CompositionEncoder`.
    """

    epochs: int = 60
    width: int = 192
    layers: int = 5
    heads: int = 6
    batch_size: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    average: float = 0.9995
    networks: int = 3


RECIPES: dict[str, Recipe | EncoderRecipe] = {
    "formation_energy": EncoderRecipe(),
    "band_gap": Recipe(30, (512, 256, 128), dropout=0.1),
    "critical_temperature": Recipe(100, (512, 256, 128), learning_rate=1e-3),
}


def trained(
    name: str,
    folder: Path,
    recipe: Recipe | EncoderRecipe,
    seed: int = 0,
    progress=None,
    data: Labelled | None = None,
) -> PropertyModel:
    """A model of a property, its networks trained, its interval and probability calibrated.

    Parameters
    ----------
    name : of the property
    folder : for the checkpoints, from which a stopped run goes on
    recipe : see there
    seed : of the first network; the others have the seeds after it
    progress : called with what is trained, step, number of steps and the latest loss
    data : what it learns from and is calibrated on; None: all that `labelled` gives

    Raises
    ------
    ValueError
        Encoders of a property that has a gate: they learn none.
    """
    of, data = PROPERTIES[name], data or labelled(name)
    if of.gate and isinstance(recipe, EncoderRecipe):
        raise ValueError(f"{name} has a gate, which encoders do not learn")
    train_rows = data.part == "train"
    learned = np.log1p(data.target) if of.log else data.target
    values = learned[train_rows & data.there]
    calibration = Calibration(float(values.mean()), float(values.std()))
    if isinstance(recipe, EncoderRecipe):
        learn = partial(_encoder, data.amounts[train_rows], values, recipe)
    else:
        y = (learned[train_rows] - calibration.mean) / calibration.deviation
        targets = np.column_stack([y, data.there[train_rows]]).astype(np.float32)
        rows = ArrayExamples(models.inputs(data.amounts[train_rows]), targets)
        learn = partial(_connected, rows, recipe, bool(of.gate))
    networks = []
    for member in range(recipe.networks):
        path = folder / f"{name}-{seed + member}.safetensors"
        show = progress and partial(progress, f"{name}, network {member + 1}")
        networks.append(learn(seed + member, path, show))
    facts = {
        "data": content_hash([data.amounts, data.target]),
        "recipe": json.dumps(dataclasses.asdict(recipe)),
        "seed": str(seed),
        "training compositions": str(int(train_rows.sum())),
    }
    pairs = models.pair_counts(data.amounts[train_rows & data.there])
    return with_calibration(PropertyModel(of, networks, calibration, pairs, facts), data)


def _encoder(
    amounts: np.ndarray, values: np.ndarray, recipe: EncoderRecipe, seed: int, path: Path, show
) -> Network:
    """A trained transformer over the elements."""
    choices = dataclasses.asdict(recipe)
    choices.pop("networks")
    encoder = CompositionEncoder(
        **choices, dropout=0.0, precision="auto", random_state=seed, progress=show,
        checkpoint=path.with_suffix(".checkpoint"),
    )  # fmt: skip
    blank = CompositionNetwork(1, recipe.width, recipe.layers, recipe.heads, dropout=0.0)
    made_of = [amounts, values, recipe, seed]
    return _kept(path, blank, made_of, lambda: encoder.fit(amounts, values).network_)


def _connected(
    rows: ArrayExamples, recipe: Recipe, gate: bool, seed: int, path: Path, show
) -> Network:
    """A trained fully connected network."""
    fit = Fit(recipe.epochs, recipe.batch_size, recipe.learning_rate, 1e-2, 0.0, seed=seed)
    torch.manual_seed(fit.seed)
    network = PropertyNetwork(recipe.hidden, gate, recipe.dropout)
    network.mean.copy_(torch.from_numpy(rows.x.mean(0)))
    network.deviation.copy_(torch.from_numpy(rows.x.std(0).clip(1e-4)))

    def learn() -> Network:
        train(network, rows, models.laplace_loss, fit, path.with_suffix(".checkpoint"), show)
        return network

    return _kept(path, network, [*rows.content(), fit, to_arrays({"network": network})], learn)


def _kept(path: Path, blank: Network, made_of: list, learn: Callable[[], Network]) -> Network:
    """The network that `learn` gives; one that an earlier call finished is read into `blank`."""
    belongs = {"made of": content_hash(made_of)}
    if path.is_file():
        arrays, facts = files.load(path)
        if facts == belongs:
            from_arrays({"network": blank}, arrays, path)
            return blank
    network = models.rounded(learn())
    files.save(path, to_arrays({"network": network}), belongs)
    return network


def with_calibration(model: PropertyModel, data: Labelled) -> PropertyModel:
    """The same model with the factors of its intervals and the scale of its probabilities.

    A factor is the (1 - α)(1 + 1/n) quantile of |value - median| / scale over the compositions of
    its number of elements in the calibration part (over all, if these are few: Mondrian conformal
    prediction, Vovk et al. 2005), since binaries are harder than they look to the networks; slope
    and shift of the logit have the smallest cross-entropy there.
    """
    held = data.part == "val"
    median, scale, logit = model.raw(data.amounts[held])
    there, values = data.there[held], data.target[held]
    learned = np.log1p(values) if model.of.log else values
    ratio = (np.abs(learned - median) / scale)[there]
    kind = models.kinds(data.amounts[held])[there]
    groups = [ratio[kind == k] if (kind == k).sum() >= _FEWEST else ratio for k in range(3)]
    factors = [
        float(np.quantile(group, min(1.0, COVERAGE * (1 + 1 / len(group))), method="higher"))
        for group in groups
    ]
    chosen = (factors[0], factors[1], factors[2])
    changed = dataclasses.replace(model.calibration, factors=chosen)
    if model.of.gate:
        platt = LogisticRegression(C=np.inf).fit(logit[:, None], there)
        slope, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
        changed = dataclasses.replace(changed, slope=slope, shift=shift)
    calibrated = PropertyModel(model.of, model.networks, changed, model.pairs, model.facts)
    if model.of.name == "formation_energy":
        return with_stable(calibrated, data.amounts[held], data.target[held])
    return calibrated


def evaluate_model(model: PropertyModel, data: Labelled | None = None) -> pd.DataFrame:
    """What a model reaches on the chemical systems that neither training nor calibration saw.

    Returns
    -------
    DataFrame with a row for all test compositions, for those inside of what was learned and for
    those outside: `compositions`, of them `with_value`; of these `mae`, `rmse` (in the unit of
    the property), `r2`, `coverage` (share inside the 90% interval), `width` (median of the
    intervals); as controls `mae_median` (the median of the training values) and `mae_nearest` (the
    value of the nearest training composition); of a gate `auc` and `calibration_error` (expected,
    ten bins).
    """
    data = data or labelled(model.of.name)
    test, learned = data.part == "test", (data.part == "train") & data.there
    amounts, values, there = data.amounts[test], data.target[test], data.there[test]
    found = model.predict(amounts)
    known = KnownCompositions({"training": data.amounts[learned]})
    which, _ = known.nearest(amounts, 1)
    near = data.target[learned][known.row[which[:, 0]]]  # -1, without a common element: the last
    median = float(np.median(data.target[learned]))
    rows = []
    for name, chosen in {
        "all": np.ones(len(values), dtype=bool), "inside": ~found.outside, "outside": found.outside
    }.items():  # fmt: skip
        with_value = chosen & there
        row: dict[str, object] = {"property": model.of.name, "test rows": name}
        row |= {"compositions": int(chosen.sum()), "with_value": int(with_value.sum())}
        if with_value.any():
            y, predicted = values[with_value], found.value[with_value]
            low, high = found.low[with_value], found.high[with_value]
            row |= scores(y, predicted)
            row["coverage"] = float(((low <= y) & (y <= high)).mean())
            row["width"] = float(np.median(high - low))
            row["mae_median"] = float(np.abs(median - y).mean())
            row["mae_nearest"] = float(np.abs(near[with_value] - y).mean())
        if model.of.gate and len(set(there[chosen])) == 2:
            row["auc"] = float(roc_auc_score(there[chosen], found.probability[chosen]))
            row["calibration_error"] = calibration_error(found.probability[chosen], there[chosen])
        rows.append(row)
    return pd.DataFrame(rows)


def main(words: Sequence[str] | None = None) -> None:
    """The command `train-properties`: the models of `predict`, and what they reach."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan train-properties",
        description="Train the models of `predict`: NAME.safetensors and evaluation.csv.",
    )
    add = parser.add_argument
    add("names", nargs="*", default=[*PROPERTIES], metavar="PROPERTY", help="default: all")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a stopped run goes on from it")
    add("--seed", type=int, default=0, help="of the first network")
    add("--epochs", type=int, help="default: those of each property")
    options = parser.parse_args(words)
    if unknown := [name for name in options.names if name not in PROPERTIES]:
        parser.error(f"the properties are {', '.join(PROPERTIES)}, not {unknown[0]}")
    if options.epochs is not None and options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    torch.set_num_threads(1)
    with files.locked(options.out):
        tables = []
        for name in options.names:
            recipe = RECIPES[name]
            if options.epochs is not None:
                recipe = dataclasses.replace(recipe, epochs=options.epochs)
            with tqdm(unit="step", disable=None) as bar:
                model = trained(
                    name, options.out / "networks", recipe, options.seed, partial(_show, bar)
                )
            model.save(options.out / PROPERTIES[name].file.name)
            tables.append(evaluate_model(model))
            print(tables[-1].to_string(index=False))
        with files.atomic_file(options.out / "evaluation.csv") as file:
            pd.concat(tables).to_csv(file, index=False)


def _show(bar: tqdm, what: str, step: int, steps: int, loss: float) -> None:
    bar.total, bar.n = steps, step
    bar.set_description(what, refresh=False)
    bar.set_postfix_str(f"loss {loss:.3f}")
