"""Networks and optimisers as named arrays and back: the one form of every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from matgan.files import WeightsError

Part = nn.Module | torch.optim.Optimizer


def to_arrays(parts: Mapping[str, Part]) -> dict[str, np.ndarray]:
    """All numbers of networks and optimisers; they change with these, so write them at once.

    Returns
    -------
    {"NAME.KEY": array} of a network, by the keys of its state_dict;
    {"NAME.INDEX.KEY": array} of an optimiser, by the index of the parameter
    """
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            found |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        else:
            for index, state in part.state_dict()["state"].items():
                found |= {f"{name}.{index}.{key}": value for key, value in state.items()}
    return {name: value.detach().cpu().numpy() for name, value in found.items()}


def from_arrays(
    parts: Mapping[str, Part], arrays: Mapping[str, np.ndarray], path: str | Path
) -> None:
    """Fill networks and optimisers, in place; the inverse of `to_arrays`.

    Parameters
    ----------
    parts : as they were given to `to_arrays`; an optimiser may be as new
    arrays : may hold others beside them
    path : where the arrays come from, for the message

    Raises
    ------
    WeightsError
        As `check_fit`; nothing has been changed then.
    """
    check_fit(parts, arrays, path)
    for name, part in parts.items():
        tensors = {key: torch.from_numpy(array) for key, array in _of(name, arrays).items()}
        if isinstance(part, nn.Module):
            part.load_state_dict(tensors)
            continue
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, field = key.split(".")
            state.setdefault(int(index), {})[field] = tensor
        part.load_state_dict({**part.state_dict(), "state": state})


def check_fit(
    parts: Mapping[str, Part], arrays: Mapping[str, np.ndarray], path: str | Path
) -> None:
    """WeightsError, with the file and the array, where one is missing, unknown or misshapen.

    The networks may stand on torch's "meta" device, where they take no memory: so a small file
    whose configuration asks for a huge network is refused before that is built.
    """
    for name, part in parts.items():
        found = {key: array.shape for key, array in _of(name, arrays).items()}
        if not isinstance(part, nn.Module):
            _check_state(part, found, path, name)
            continue
        wanted = {key: tuple(value.shape) for key, value in part.state_dict().items()}
        for key in sorted(wanted.keys() ^ found.keys()):
            what = "lacks" if key in wanted else "holds the unknown"
            raise WeightsError(f"{path} does not fit its network: it {what} {name}.{key}")
        for key, shape in wanted.items():
            if found[key] != shape:
                raise WeightsError(
                    f"{path} does not fit its network: {name}.{key} has the shape {found[key]}, "
                    f"{shape} is needed"
                )


def check_finite(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """WeightsError, with the file and the array, where a number is NaN or infinite."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{path} holds NaN or infinite numbers in {name}")


def _of(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays NAME.KEY, by KEY."""
    start = f"{name}."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}


def _check_state(
    optimizer: torch.optim.Optimizer, found: dict[str, tuple], path: str | Path, name: str
) -> None:
    """The moments of a parameter have its shape; a number of steps has none."""
    shapes = [tuple(p.shape) for group in optimizer.param_groups for p in group["params"]]
    for key, shape in found.items():
        index, _, field = key.partition(".")
        known = index.isdecimal() and int(index) < len(shapes) and field.isidentifier()
        if not known or shape not in ((), shapes[int(index)]):
            raise WeightsError(
                f"{path} does not fit its optimiser: it holds {name}.{key} of the shape {shape}"
            )
