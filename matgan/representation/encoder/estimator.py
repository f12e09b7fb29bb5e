"""The composition encoder for scikit-learn: it learns properties, and gives the vectors behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from matgan import files
from matgan.chemistry.elements import ELEMENTS, N_ELEMENTS
from matgan.chemistry.inputs import Compositions
from matgan.learning import compute
from matgan.learning.checkpoint import check_finite, check_fit, from_arrays, to_arrays
from matgan.learning.compute import Precision
from matgan.learning.fit import Fit, outputs, train
from matgan.representation.encoder.network import CompositionNetwork, Tokens, known_targets_loss
from matgan.representation.tables import load_embedding


class CompositionEncoder(TransformerMixin, RegressorMixin, BaseEstimator):
    """A transformer over the elements of a composition that learns one property or several.

    `predict` gives the properties, `transform` the vector that they are read from.

    Parameters
    ----------
    width, layers, heads, dropout : of the network, see `CompositionNetwork`
    elements : {None, name, (85, f) DataFrame}
        None: each element has a learned vector. Else an element table, or its name (see
        `matgan.list_embeddings`): the network starts from a learned linear map of its rows.
    start : path or None
        A file that `save` wrote: the training starts from its layers, only the last one is new.
        Width, layers and heads must be its own; its elements come with it.
    epochs, batch_size, learning_rate, weight_decay, average : see `matgan.learning.fit.Fit`
    precision : {"float32", "bfloat16", "auto"}
        See there. "auto": the faster one: bfloat16 on a processor that knows it, else float32; on
        CUDA, too, where matrices as small as these gain nothing from it.
    on_error : {"raise", "nan", "drop"}
        What to do with a row that is no composition: stop with an error, give NaN, or leave it out.
        With the last two such rows are not learned from.
    suspicious : {"raise", "warn", "allow"}
        As in `matgan.amounts_matrix`.
    checkpoint : path or None
        A training that was stopped goes on from this file.
    progress : callable or None
        Called with step, number of steps and the latest loss.
    device : {"auto", "cpu", "cuda"}
    random_state : int, of the first weights, the batches and the dropout

    Attributes
    ----------
    network_ : the trained `CompositionNetwork`
    middle_, spread_ : (m,) mean and standard deviation of each target in training
    losses_ : mean loss of each epoch
    n_targets_ : m, or 0 where y had one dimension
    """

    def __init__(
        self,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
        elements: str | pd.DataFrame | None = None,
        start: str | Path | None = None,
        epochs: int = 100,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        average: float = 0.999,
        precision: Precision | Literal["auto"] = "float32",
        on_error: str = "raise",
        suspicious: str = "raise",
        checkpoint: str | Path | None = None,
        progress: Callable[[int, int, float], None] | None = None,
        device: str = "auto",
        random_state: int = 0,
    ):
        self.width = width
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self.elements = elements
        self.start = start
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.average = average
        self.precision = precision
        self.on_error = on_error
        self.suspicious = suspicious
        self.checkpoint = checkpoint
        self.progress = progress
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):
        """Learn the targets of compositions.

        Parameters
        ----------
        X : n compositions, in any form that `matgan.amounts_matrix` takes
        y : (n,) or (n, m) numbers; NaN where a target is not known

        Raises
        ------
        ValueError
            No compositions, another number of targets than of compositions, another shape than
            these, an infinite target, a target that is never known, a width that the heads do not
            divide, or other sizes than `start` has.
        FileNotFoundError, matgan.files.WeightsError
            `start` is missing, damaged, or holds something else.
        CompositionError
            With on_error="raise": the first row that is no composition of the 85 elements.
        """
        given = Compositions(X, self.on_error, self.suspicious)
        y = np.asarray(y, dtype=float)
        if y.ndim not in (1, 2) or y.shape[1:] == (0,):
            raise ValueError(f"y must be (n,) or (n, m) with m targets, not {y.shape}")
        targets = y[:, None] if y.ndim == 1 else y
        if len(targets) != len(given):
            raise ValueError(f"{len(given)} compositions but {len(targets)} targets")
        rows, amounts = given.read()
        if not len(rows):
            raise ValueError("there are no compositions to learn from")
        targets = targets[rows]
        if (infinite := np.isinf(targets).any(axis=1)).any():
            raise ValueError(f"y is infinite in row {rows[infinite.argmax()]}")
        if never := np.flatnonzero(np.isnan(targets).all(axis=0)).tolist():
            raise ValueError(f"column {never[0]} of y is NaN throughout")
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        device, precision = compute.device(self.device), self.precision
        if precision == "auto":
            precision = compute.fast_precision(device) if device == "cpu" else "float32"
        fit = Fit(
            epochs=self.epochs,
            batch_size=min(self.batch_size, len(amounts)),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            average=self.average,
            precision=precision,
            seed=self.random_state,
        )
        self.n_targets_ = y.shape[1] if y.ndim > 1 else 0
        self.middle_, spread = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
        self.spread_ = np.where(spread > 0, spread, 1.0)
        torch.manual_seed(self.random_state)
        self.network_ = self._network(targets.shape[1], self._vectors())
        if self.start is not None:
            self._begin_from(load_encoder(self.start))
        on_graph = device == "cuda"  # worth the padding there: a launch for each step
        self.losses_ = train(
            self.network_,
            Tokens(amounts, (targets - self.middle_) / self.spread_, padded=on_graph),
            known_targets_loss,
            fit,
            self.checkpoint,
            self.progress,
            device,
            same_shapes=on_graph,
        )
        return self

    def predict(self, X, return_scale: bool = False):
        """Medians of the targets: (n,) or (n, m) as y had it, in its unit.

        With `return_scale` also the scales of the Laplace distributions: nine in ten values would
        lie within 2.3 scales if these were right; they are not calibrated.
        """
        given, rows, found = self._outputs(X)
        value = found["value"].astype(float) * self.spread_ + self.middle_
        scale = np.exp(found["log_scale"].astype(float)) * self.spread_
        if not self.n_targets_:
            value, scale = value[:, 0], scale[:, 0]
        if not return_scale:
            return _at(given, rows, value)
        return _at(given, rows, value), _at(given, rows, scale)

    def transform(self, X) -> np.ndarray:
        """(n, width) float32 vectors, from which the targets are read by one linear layer."""
        given, rows, found = self._outputs(X)
        return _at(given, rows, found["vector"])

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the columns of `transform`."""
        return np.array([f"encoder{i}" for i in range(self.width)], dtype=object)

    def save(self, path: str | Path) -> None:
        """Write the trained encoder to a safetensors file, which `load_encoder` reads."""
        check_is_fitted(self)
        facts = {name: getattr(self, name) for name in _SIZES}
        of_table = isinstance(self.network_.embed, nn.Sequential)
        facts["table"] = self.network_.embed[0].embedding_dim if of_table else 0
        facts["n_targets"] = self.n_targets_
        tensors = to_arrays({"network": self.network_})
        tensors |= {"middle": self.middle_, "spread": self.spread_}
        files.save(path, tensors, {"encoder": json.dumps(facts)})

    def _network(self, targets: int, table: np.ndarray | None) -> CompositionNetwork:
        return CompositionNetwork(targets, self.width, self.layers, self.heads, self.dropout, table)

    def _begin_from(self, other: CompositionEncoder) -> None:
        """Take over the layers of another encoder, the head aside."""
        for name in _SIZES:
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"{name} = {getattr(self, name)}, but {self.start} has {getattr(other, name)}"
                )
        if self.elements is not None:
            raise ValueError("elements and start exclude each other")
        head, scale = self.network_.head, self.network_.scale
        self.network_ = other.network_
        self.network_.head, self.network_.scale = head, scale
        for module in self.network_.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.dropout

    def _outputs(self, X) -> tuple[Compositions, np.ndarray, dict[str, np.ndarray]]:
        check_is_fitted(self)
        given = Compositions(X, self.on_error, self.suspicious)
        rows, amounts = given.read()
        nothing = np.zeros((len(rows), len(self.middle_)), dtype=np.float32)
        if not len(rows):
            vector = np.zeros((0, self.width), dtype=np.float32)
            return given, rows, {"value": nothing, "log_scale": nothing, "vector": vector}
        return given, rows, outputs(self.network_, Tokens(amounts, nothing), batch_size=1024)

    def _vectors(self) -> np.ndarray | None:
        """(85, f) vectors of the elements, each column at mean 0 and deviation 1."""
        if self.elements is None:
            return None
        table = load_embedding(self.elements) if isinstance(self.elements, str) else self.elements
        T = of_elements(table)
        spread = T.std(axis=0)
        return (T - T.mean(axis=0)) / np.where(spread > 0, spread, 1)


_SIZES = ("width", "layers", "heads")  # of the network, which a file states


def load_encoder(path: str | Path) -> CompositionEncoder:
    """An encoder that `CompositionEncoder.save` wrote.

    Raises
    ------
    FileNotFoundError
    matgan.files.WeightsError
        The file is damaged or holds something else.
    """
    tensors, facts = files.load(path)
    try:
        stated = {name: int(n) for name, n in json.loads(facts["encoder"]).items()}
        width, layers, heads, table = (stated[name] for name in (*_SIZES, "table"))
        middle, spread = tensors.pop("middle"), tensors.pop("spread")
        (targets,) = middle.shape
        if not 1 <= layers <= len(tensors) or heads < 1 or width % heads:
            raise ValueError(f"{layers} layers, {heads} heads, {width} wide")
        if spread.shape != middle.shape:
            raise ValueError(f"spread {spread.shape}, middle {middle.shape}")
        encoder = CompositionEncoder(width, layers, heads)
        start = np.zeros((N_ELEMENTS, table)) if table else None
        with torch.device("meta"):  # a small file that asks for a huge network is refused
            check_fit({"network": encoder._network(targets, start)}, tensors, path)
        encoder.n_targets_ = stated["n_targets"]
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise files.WeightsError(f"{path} holds no encoder: {error!r}") from None
    check_finite(tensors | {"middle": middle, "spread": spread}, path)
    encoder.middle_, encoder.spread_ = middle, spread
    encoder.network_ = encoder._network(targets, start)
    from_arrays({"network": encoder.network_}, tensors, path)
    encoder.network_.eval()
    return encoder


def _at(given: Compositions, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One row out for each row in."""
    out = np.empty((len(given), *values.shape[1:]), dtype=values.dtype)
    out[rows] = values
    return given.finish(out)


def of_elements(table: pd.DataFrame) -> np.ndarray:
    """(85, f) rows of an element table, by symbol; KeyError, with its name, for one it lacks."""
    if missing := [symbol for symbol in ELEMENTS if symbol not in table.index]:
        raise KeyError(f"the element table lacks {', '.join(missing)}")
    return table.loc[list(ELEMENTS)].to_numpy(float)
