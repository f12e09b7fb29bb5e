"""Nonsense for every parser: only the documented errors come out, and what is read is sound.

Two kinds: what hypothesis builds from pieces, and sound texts with a few edits, which come much
faster. `MATGAN_FUZZ=1000000 bash run_all.sh test tests/project/test_fuzz.py` tries a million.
"""

import json
import os
import random

import numpy as np
import pytest
from damaged_files import PATTERN_FILES, damaged, npy, npz
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from matgan import ELEMENTS, files
from matgan.chemistry.composition import CompositionError, amounts, amounts_matrix, formula
from matgan.data.training_set import load_training_data
from matgan.powder.reading import PatternError, read_pattern, read_scans
from matgan.wgan.config import LEARNING, PAPER, Config, ConfigError

BATCH = 40  # inputs in one example of hypothesis, which takes longer than most of the parsers
EDITED = int(os.environ.get("MATGAN_FUZZ", 16_000))
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a whole batch takes minutes
)
fuzz = settings.get_profile("fuzz")


def batches(inputs):
    return st.lists(inputs, min_size=BATCH, max_size=BATCH)


def edited(texts, pieces, share):
    """Batches of sound texts, each with up to four places overwritten by a piece or by nothing.

    share : of all edited inputs; files take ten times as long as texts
    """
    rng = random.Random(0)
    for _ in range(round(EDITED * share / BATCH)):
        batch = []
        for _ in range(BATCH):
            text = rng.choice(texts)
            for _ in range(rng.randint(0, 4)):
                start = rng.randint(0, len(text))
                text = text[:start] + rng.choice(pieces) + text[start + rng.randint(0, 3) :]
            batch.append(text)
        yield batch


# --- formulas -------------------------------------------------------------------------------------

PIECES = [*ELEMENTS, "Kr", "Xx", "D", "e", *"0123456789", "0.5", "1e5", "00", ".", "..", "-1"]
PIECES += ["(", ")", "[", "]", "{", "}", " ", "\n", "₂", "²", "٣", "·", "+", ",", "nan", "\x00"]
PIECES += [
    ".5H2O",
    "·2H2O",
    "*",
    "x",
    "½",
    "3+",
    "2-",
    "^{2-}",
    "⁺",
    "(III)",
    "II",
    "(I)",
    "D",
    "@",
]
PIECES += [
    "_2",
    "$",
    r"\mathrm{",
    r"\cdot",
    "<sub>",
    "</sub>",
    "<sup>2+</sup>",
    "&middot;",
    '"',
    "δ",
]
FORMULAS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text(max_size=8)


def check_formulas(texts):
    good = []
    for text in texts:
        try:
            found = amounts(text)
        except CompositionError as error:
            assert error.formula == text and error.reason
        else:
            good.append(found)
            assert found.shape == (85,)
            assert np.isfinite(found).all() and (found >= 0).all() and found.any()
            shown = formula(found) if found.max() < 1e15 else ""
            if shown:
                again = amounts(shown)
                np.testing.assert_array_equal(again, amounts(shown, "allow"))
                np.testing.assert_allclose(again / again.sum(), found / found.sum(), rtol=1e-9)
    matrix, bad = amounts_matrix(texts, on_error="drop", report=True)
    np.testing.assert_array_equal(matrix, np.reshape(good, (len(good), 85)))
    assert len(bad) == len(texts) - len(good)


@fuzz
@given(batches(FORMULAS))
def test_formulas(texts):
    check_formulas(texts)


def test_edited_formulas():
    sound = [
        "TiO2",
        "Ba0.4K0.6Fe2As2",
        "Ca(OH)2",
        "[Fe(CN)6]K4",
        "CuSO4·5H2O",
        "SO4^{2-}",
        "YBa2Cu3O6.95",
        "Fe2(SO4)3",
        "U",
    ]
    for texts in edited(sound, ["", *PIECES], 0.4):
        check_formulas(texts)


# --- configurations -----------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS)
FIELDS = st.sampled_from([*vars(PAPER), "no_such_field"])
KNOWN = st.sampled_from(list(vars(LEARNING).items()))
CONFIGS = (
    st.builds(dict, st.lists(KNOWN | st.tuples(FIELDS, VALUES), max_size=4)).map(json.dumps)
    | VALUES.map(json.dumps)
    | st.builds(lambda text, at: text[:at], st.just(PAPER.to_json()), st.integers(0, 900))
    | st.text(max_size=20)
)


def check_configurations(texts):
    for text in texts:
        try:
            config = Config.from_json(text)
        except ConfigError:
            continue
        assert Config.from_json(config.to_json()) == config


@fuzz
@given(batches(CONFIGS))
def test_configurations(texts):
    check_configurations(texts)


JSON = [*'"09[]{},:', "", "-1", "2.5", "1e999", "NaN", "null", "true", '"x"', "[1, 2]", "1" * 400]
JSON += ["\\", "\\ud800", "é", "\x00"]


def test_edited_configurations():
    for texts in edited([PAPER.to_json(), LEARNING.to_json()], [*JSON, *vars(PAPER)], 0.3):
        check_configurations(texts)


# --- weights --------------------------------------------------------------------------------------

ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "U8", "F8", 3, None]),
        "shape": st.lists(st.integers(-2, 9) | st.floats() | st.just(2**70), max_size=3) | SCALARS,
        "data_offsets": st.lists(st.integers(-9, 40) | st.just(2**70), max_size=3) | SCALARS,
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(["T", "generator.0", "__metadata__", ""]), ENTRIES | VALUES, max_size=3
)
SOUND = st.sampled_from(
    [{"T": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"a": "b"}}]
)


def file_of(header, length, data, cut):
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    size = len(text) if length is None else length % 2**64
    whole = size.to_bytes(8, "little") + text + data
    return whole[: len(whole) - cut]


FILES = st.builds(
    file_of,
    HEADERS | SOUND | VALUES,
    st.none() | st.integers(0, 80) | st.just(2**63),
    st.binary(max_size=24),
    st.sampled_from([0, 0, 0, 1, 5, 30]),
) | st.binary(max_size=40)


def check_weights(folder, contents):
    path = folder / "fuzz.safetensors"
    for content in contents:
        path.write_bytes(content)
        try:
            tensors, metadata = files.load(path)
        except files.WeightsError as error:
            assert "fuzz.safetensors" in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in tensors.values())
            assert isinstance(metadata, dict)
            assert sum(array.nbytes for array in tensors.values()) <= 3 * len(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(batches(FILES))
def test_weights(folder, contents):
    check_weights(folder, contents)


def test_edited_weights(folder):
    """The header is edited; its length, written before it, is right."""
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    sound = [json.dumps({"T": entry, "__metadata__": {"config": "x"}}), json.dumps({"T": entry})]
    for texts in edited(sound, [*JSON, "F64", "U8", "BF16", "I8", "16", "32", "__metadata__"], 0.1):
        check_weights(folder, [file_of(text, None, bytes(16), 0) for text in texts])


# --- pattern files --------------------------------------------------------------------------------

EACH = max(1, EDITED // 10)  # of the two kinds of files below


def check_pattern(data):
    try:
        scans = read_scans(data)
    except PatternError:
        return
    for scan in scans:
        assert len(scan.axis) == len(scan.intensity) <= len(data)  # a point takes a byte at least


def test_damaged_pattern_files(folder):
    """What is in memory; and of each tenth as a file, with all that `read_pattern` adds."""
    for i, data in enumerate(damaged(PATTERN_FILES, EACH, seed=3)):
        check_pattern(data)
        if i % 10:
            continue
        path = folder / "fuzz.xy"
        path.write_bytes(data)
        try:
            found = read_pattern(path)
        except PatternError as error:
            assert "fuzz.xy" in str(error)
        else:
            assert np.isfinite(found.two_theta).all() and np.isfinite(found.intensity).all()


# --- archives of arrays ---------------------------------------------------------------------------

COUNTS = np.eye(85, dtype=np.uint8)
MEMBERS = {
    "train.npy": npy(COUNTS[:3]),
    "test.npy": npy(COUNTS[3:5]),
    "elements.npy": npy([*ELEMENTS]),
}
HEADER = [b"(3, 85)", b"(9, 85)", b"(2,)", b"()", b"(-1,)", b"(9999999999999,)", b"|O", b"|u1"]
HEADER += [b"<f8", b"<U2", b"|V1", b"True", b"{", b"'", b",", b"", b"\x00", b"\xff", b"\x02\x00"]


def archives(n):
    """Damaged archives; of every other one the members are damaged, and the checksums right."""
    rng = np.random.default_rng(4)
    sound = [npz(MEMBERS), npz(MEMBERS, compressed=True)]
    for data in damaged(sound, n // 2, seed=5):
        yield data
        members = dict(MEMBERS)
        for _ in range(rng.integers(1, 4)):
            name = rng.choice([*members])
            text, piece = members[name], HEADER[rng.integers(len(HEADER))]
            at = int(rng.integers(0, 130 if rng.random() < 0.8 else len(text)))
            members[name] = text[:at] + piece + text[at + len(piece) * int(rng.integers(2)) :]
        yield npz(members, compressed=bool(rng.integers(2)))


@pytest.mark.filterwarnings("ignore")  # of test compositions that are training compositions
def test_damaged_archives(folder):
    """The loader of arrays, and what is built on it: the training set of `matgan train`."""
    path = folder / "fuzz.npz"
    for data in archives(EACH):
        path.write_bytes(data)
        try:
            arrays = files.load_arrays(path, ["train", "test", "elements"])
        except files.ArraysError as error:
            assert "fuzz.npz" in str(error)
        else:
            assert not any(array.dtype.hasobject for array in arrays.values())
            # deflate makes a thousandth at best
            assert sum(array.nbytes for array in arrays.values()) <= 1100 * len(data)
        try:
            loaded = load_training_data(path)
        except files.ArraysError as error:
            assert "fuzz.npz" in str(error)
        else:
            assert loaded.train.shape[1] == 85 and loaded.train.any(axis=1).all()
