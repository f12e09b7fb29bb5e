"""The paper's fully connected regressor for scikit-learn; repeats of it train side by side."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data
from torch import Tensor

from matgan.learning.compute import device, subnormals_as_zero
from matgan.learning.cuda_graph import by_graph, set_rate
from matgan.learning.layers import (
    NETWORK_RECIPES,
    Normalisation,
    forward,
    initial,
    losses,
    shuffled,
)
from matgan.learning.scaling import input_scale
from matgan.learning.statistics import scores

_CHUNK = 2**24  # numbers in the widest layer's output while predicting


class FullyConnectedRegressor(RegressorMixin, BaseEstimator):
    """The regressor of the paper: 256-128-64-32-1, ReLU (Hu et al. 2020).

    Trained by Adam on minibatches, the learning rate rising at first and falling to 0 along half a
    cosine. A part of the training data is held out; the weights of the epoch that predicts it best
    are kept.

    Parameters
    ----------
    hidden : widths of the hidden layers
    dropout : float, or one for each hidden layer
        Share of a layer's outputs set to 0 while training.
    input_scaling : {None, "standard", "max-abs", "robust", "common"}
        See `input_scale`.
    target_scaling : {None, "standard"}
        "standard": the network learns the target at mean 0 and standard deviation 1.
    loss : {"mae", "mse"}
    learning_rate : float, the largest of all steps
    epochs : int, at most
    batch_size : int
    patience : int
        Training ends after so many epochs without a lower validation loss.
    clip : bool
        Predictions are kept within the range of the targets trained on. Far from its training
        data a network can be wrong by any amount: with 300 superconductors one such compound can
        decide a test's R².
    validation_fraction : float
        Share of the rows that `fit` holds out; 0 trains on all rows for all epochs.
    recipe : {"ours", "published code"}
        "published code": hidden layers batch-normalised, the first without ReLU, weights from
        N(0, 1), Adam's betas 0.5 and 0.9, the learning rate a tenth at 10%, 37% and 67% of the
        epochs; `matgan.learning.layers.NETWORK_RECIPES`. `coefs_` have the normalisation in them.
    precision : {"float32", "bfloat16"}
        Of the matrix products of a training; weights, losses and predictions stay float32.
        "bfloat16" halves the time where the processor knows it (AVX512-BF16, CUDA) and a batch has
        1,000 rows or the layers 1,000 units; small batches become no faster.
    device : {"auto", "cpu", "cuda"}
        See `matgan.learning.compute.device`.
    random_state : int, RandomState or None
        Of the held-out rows, the initial weights, the batches and the dropout.

    Attributes
    ----------
    coefs_, intercepts_ : lists of float32 arrays (inputs, outputs) and (outputs,), by layer
    shift_, scale_ : (d,) arrays of the input scaling
    middle_, spread_ : floats of the target scaling
    range_ : smallest and largest target trained on
    n_iter_ : the epoch whose weights these are; 0: none was better than the untrained network
    history_ : DataFrame: epoch, train_loss, validation_loss (in units of the scaled target)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (256, 128, 64, 32),
        dropout: float | Sequence[float] = 0.0,
        input_scaling: str | None = "standard",
        target_scaling: str | None = "standard",
        loss: str = "mae",
        learning_rate: float = 1e-3,
        epochs: int = 100,
        batch_size: int = 256,
        patience: int = 20,
        clip: bool = True,
        validation_fraction: float = 0.1,
        recipe: str = "ours",
        precision: str = "float32",
        device: str = "auto",
        random_state=0,
    ):
        self.hidden = hidden
        self.dropout = dropout
        self.input_scaling = input_scaling
        self.target_scaling = target_scaling
        self.loss = loss
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.clip = clip
        self.validation_fraction = validation_fraction
        self.recipe = recipe
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):
        """Train on X (n, d) and y (n,)."""
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), y_numeric=True, ensure_min_samples=2
        )
        random = check_random_state(self.random_state)
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction must be in [0, 1), not {self.validation_fraction}"
            )
        rows, validation = np.arange(len(X)), None
        if self.validation_fraction:
            n = min(max(1, round(len(X) * self.validation_fraction)), len(X) - 1)
            rows = random.permutation(len(X))
            rows, validation = rows[n:], [rows[:n]]
        _fit([self], X, y, [rows], validation, [random.randint(2**31)])
        return self

    def _check(self) -> tuple[float, ...]:
        """Refuse settings that make no sense; gives the dropout of each hidden layer."""
        layers = len(self.hidden)
        dropout = np.asarray(self.dropout, dtype=float)
        dropout = np.full(layers, dropout) if dropout.ndim == 0 else dropout
        if len(dropout) != layers or not ((dropout >= 0) & (dropout < 1)).all():
            raise ValueError(
                "dropout must be a number in [0, 1) or one for each of the "
                f"{layers} hidden layers, not {self.dropout!r}"
            )
        if self.loss not in ("mae", "mse"):
            raise ValueError(f"loss must be 'mae' or 'mse', not {self.loss!r}")
        if self.target_scaling not in (None, "standard"):
            raise ValueError(f"target_scaling must be None or 'standard': {self.target_scaling!r}")
        if self.recipe not in NETWORK_RECIPES:
            raise ValueError(
                f"recipe must be one of {', '.join(NETWORK_RECIPES)}, not {self.recipe!r}"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', not {self.precision!r}")
        for name in ("epochs", "batch_size", "patience"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        return tuple(dropout.tolist())

    def _set_scaling(self, X: np.ndarray, y: np.ndarray) -> None:
        self.shift_, self.scale_ = input_scale(X, self.input_scaling)
        self.middle_, self.spread_ = 0.0, 1.0
        if self.target_scaling == "standard":
            self.middle_, self.spread_ = y.mean(), y.std() or 1.0
        self.range_ = y.min(), y.max()

    @torch.no_grad()
    def activations(self, X, layer: int) -> np.ndarray:
        """Outputs of a layer after its ReLU: (n, width) float64 array.

        Parameters
        ----------
        X : (n, d) array
        layer : index into `hidden`, 0 for the first; -1 for the output, in the scaled unit

        Notes
        -----
        In float64, so that a row's result does not depend on the rows beside it.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        where = device(self.device)
        weights, biases = (
            [torch.as_tensor(p, dtype=torch.float64, device=where)[None] for p in parameters]
            for parameters in (self.coefs_, self.intercepts_)
        )
        step = max(1, _CHUNK // max(X.shape[1], *(w.shape[2] for w in weights)))
        parts = []
        for start in range(0, len(X), step):
            x = (X[start : start + step] - self.shift_) * self.scale_
            x = torch.as_tensor(x, dtype=torch.float64, device=where)
            out = forward(weights, biases, x[None], linear=NETWORK_RECIPES[self.recipe].linear)
            parts.append(out[layer][0].cpu().numpy())
        return np.concatenate(parts)

    def predict(self, X) -> np.ndarray:
        """Predictions for X (n, d): (n,) float64 array in the unit of the target."""
        return self._in_target_unit(self.activations(X, -1)[:, 0])

    def _in_target_unit(self, out: np.ndarray) -> np.ndarray:
        predicted = out.astype(float) * self.spread_ + self.middle_
        return np.clip(predicted, *self.range_) if self.clip else predicted


def fit_repeats(
    settings: FullyConnectedRegressor,
    X: np.ndarray,
    y: np.ndarray,
    rows: Sequence[np.ndarray],
    validation: Sequence[np.ndarray],
    watch: Sequence[np.ndarray] | None = None,
) -> list[FullyConnectedRegressor]:
    """Fit one regressor for each of R splits of the same data, all side by side.

    Parameters
    ----------
    settings : unfitted regressor with an integer random_state s; repeat r takes s + r
    X : (n, d) array; or (R, n, d), where each repeat describes the rows in its own way
    y : (n,) array
    rows, validation : R arrays of row numbers to train on and to choose the epoch by
    watch : R arrays of row numbers, or None
        Scores on them go into the `history_` as watched_mae, watched_rmse and watched_r2 (in units
        of the target); nothing else depends on them.

    Returns
    -------
    list of R fitted regressors

    Raises
    ------
    ValueError
        Not as many descriptions as repeats.
    """
    check = partial(check_X_y, dtype=(np.float64, np.float32), y_numeric=True)
    if np.ndim(X) == 3:
        if len(X) != len(rows):
            raise ValueError(f"X has {len(X)} descriptions for {len(rows)} repeats")
        X, y = np.stack([check(of, y)[0] for of in X]), check(X[0], y)[1]
    else:
        X, y = check(X, y)
    seeds = [settings.random_state + r for r in range(len(rows))]
    models = [clone(settings).set_params(random_state=seed) for seed in seeds]
    _fit(models, X, y, rows, validation, seeds, watch)
    return models


# --- training -----------------------------------------------------------------------------------


class _Data:
    """Features and targets on the device, scaled for each of R fitted models."""

    def __init__(self, X: np.ndarray, y: np.ndarray, models, where: str):
        self.linear = NETWORK_RECIPES[models[0].recipe].linear
        # (n, d), or (R, n, d); a copy
        self.features = torch.tensor(X, dtype=torch.float32, device=where)
        self.repeat = torch.arange(len(models), device=where)[:, None]  # (R, 1)
        self.shift, self.scale = (
            torch.as_tensor(np.array(each), dtype=torch.float32, device=where)[:, None]
            for each in ([m.shift_ for m in models], [m.scale_ for m in models])
        )  # (R, 1, d)
        # scaled in float64, so that a large offset costs no digits
        target = np.array([(y - m.middle_) / m.spread_ for m in models])
        self.target = torch.as_tensor(target, dtype=torch.float32, device=where)  # (R, n)

    def inputs(self, index: Tensor) -> Tensor:
        """(R, batch, d) from the row numbers (R, batch)."""
        own = self.features.ndim == 3
        rows = self.features[self.repeat, index] if own else self.features[index]
        return rows.sub_(self.shift).mul_(self.scale)

    @torch.no_grad()
    def outputs(self, weights, biases, r: int, rows: Tensor) -> Tensor:
        """(n_r,) scaled predictions of network r."""
        weights, biases = ([p[r : r + 1] for p in ps] for ps in (weights, biases))
        step = max(1, _CHUNK // max(w.shape[2] for w in weights))
        parts = []
        features = self.features[r] if self.features.ndim == 3 else self.features
        for chunk in rows.split(step):
            x = (features[chunk] - self.shift[r]) * self.scale[r]
            parts.append(forward(weights, biases, x[None], linear=self.linear)[-1][0, :, 0])
        return torch.cat(parts)


@subnormals_as_zero()
def _fit(
    models: Sequence[FullyConnectedRegressor],
    X: np.ndarray,
    y: np.ndarray,
    rows: Sequence[np.ndarray],
    validation: Sequence[np.ndarray] | None,
    seeds: Sequence[int],
    watch: Sequence[np.ndarray] | None = None,
) -> None:
    """Train R models of the same settings side by side, each on its own rows of the same data.

    Of each, the weights of the epoch with the lowest validation loss are kept; of the last epoch,
    where `validation` is None. Model r depends on seeds[r] and its own rows only, up to rounding
    (but with dropout, and where the numbers of rows differ, on the others too).
    """
    how, dropout, where, R = models[0], models[0]._check(), device(models[0].device), len(models)
    recipe = NETWORK_RECIPES[how.recipe]
    y = np.asarray(y, dtype=float)
    for r, (model, own) in enumerate(zip(models, rows, strict=True)):
        model._set_scaling(X[r, own] if X.ndim == 3 else X[own], y[own])
    longest = max(len(r) for r in rows)
    batch = min(how.batch_size, longest)
    steps = math.ceil(longest / batch)
    data = _Data(X, y, models, where)
    rows = [torch.as_tensor(r) for r in rows]
    held = None if validation is None else [torch.as_tensor(v, device=where) for v in validation]

    weights, biases = (
        [p.to(where).requires_grad_() for p in ps]
        for ps in initial([X.shape[-1], *how.hidden, 1], seeds, recipe.deviation)
    )
    normalise = Normalisation(how.hidden, R, where) if recipe.normalised else None
    parameters = [*weights, *biases, *(normalise.parameters if normalise else [])]
    on_cuda = where == "cuda"  # a step is a graph there, which reads the rate from a tensor
    rate = torch.tensor(how.learning_rate, device=where) if on_cuda else how.learning_rate
    optimizer = torch.optim.Adam(
        parameters, rate, betas=recipe.betas, fused=True, capturable=on_cuda
    )
    shuffle = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = torch.Generator(where).manual_seed(seeds[0])  # of the dropout

    def update(index: Tensor) -> Tensor:
        """A step on the rows (R, batch); the loss of each network before it."""
        with torch.autocast(where, torch.bfloat16, enabled=how.precision == "bfloat16"):
            given = (data.inputs(index), dropout, noise, normalise, recipe.linear)
            out = forward(weights, biases, *given)[-1][..., 0]
        loss = losses(out.float(), data.target.gather(1, index), how.loss)
        optimizer.zero_grad()
        loss.sum().backward()  # no network's gradient depends on another's loss
        optimizer.step()
        return loss.detach()

    learn = by_graph(update, noise) if on_cuda else update

    def plain() -> tuple[list[Tensor], list[Tensor]]:
        """Weights and biases of networks without normalisation that predict the same."""
        return normalise.folded(weights, biases) if normalise else (weights, biases)

    def validation_losses(now: tuple[list[Tensor], list[Tensor]]) -> list[float]:
        if held is None:
            return [math.nan] * R
        pairs = [(data.outputs(*now, r, v), data.target[r, v]) for r, v in enumerate(held)]
        return torch.stack([losses(*pair, how.loss) for pair in pairs]).tolist()

    now = plain()
    best = [[p.detach().clone() for p in ps] for ps in now]
    best_loss, best_epoch = validation_losses(now), [0] * R
    history: list[list[dict]] = [[] for _ in models]
    active, step = list(range(R)), 0
    for epoch in range(1, how.epochs + 1):
        order = [shuffled(r, batch * steps, g) for r, g in zip(rows, shuffle, strict=True)]
        total = torch.zeros(R, device=where)
        for index in torch.stack(order).to(where).split(batch, dim=1):  # (R, batch)
            share = recipe.rate(step, how.epochs * steps)
            set_rate(optimizer, how.learning_rate * share)
            total += learn(index)
            step += 1
        now = plain()
        train_loss, validation_loss = (total / steps).tolist(), validation_losses(now)
        for r in active:
            row = {"epoch": epoch, "train_loss": train_loss[r]}
            row["validation_loss"] = validation_loss[r]
            if watch is not None:
                out = data.outputs(*now, r, torch.as_tensor(watch[r], device=where))
                found = scores(y[watch[r]], models[r]._in_target_unit(out.cpu().numpy()))
                row |= {f"watched_{name}": value for name, value in found.items()}
            history[r].append(row)
            if held is None or validation_loss[r] < best_loss[r]:
                best_loss[r], best_epoch[r] = validation_loss[r], epoch
                for kept, ps in zip(best, now, strict=True):
                    for own, p in zip(kept, ps, strict=True):
                        own[r] = p[r].detach()
        if held is not None:
            active = [r for r in active if epoch - best_epoch[r] < how.patience]
        if not active:
            break
    coefs, intercepts = ([p.cpu().numpy() for p in ps] for ps in best)
    for r, model in enumerate(models):
        model.n_features_in_ = X.shape[-1]
        model.coefs_ = [w[r] for w in coefs]
        model.intercepts_ = [b[r, 0] for b in intercepts]
        model.n_iter_, model.history_ = best_epoch[r], pd.DataFrame(history[r])
        if not np.isfinite(history[r][-1]["train_loss"]):
            warnings.warn(
                f"training diverged (learning_rate={how.learning_rate}, "
                f"input_scaling={how.input_scaling!r}): kept epoch {model.n_iter_}",
                ConvergenceWarning,
                stacklevel=3,
            )
