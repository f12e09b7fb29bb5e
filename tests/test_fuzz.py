"""Nonsense for every parser: only the documented errors come out, and what is read is sound.

`MATGAN_FUZZ=1000000 bash run_all.sh test tests/test_fuzz.py` tries a million inputs in all.
"""

import json
import math
import os
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from matgan import ELEMENTS, sources, weights
from matgan.composition import CompositionError, amounts, amounts_matrix, formula
from matgan.config import LEARNING, PAPER, Config, ConfigError
from matgan.sources import SourceCorrupt, read_csv

BATCH = 40  # inputs in one example of hypothesis, which takes longer than most of the parsers
PARSERS = 4
INPUTS = int(os.environ.get("MATGAN_FUZZ", 16_000))
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=math.ceil(INPUTS / PARSERS / BATCH),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a whole batch takes minutes
)
fuzz = settings.get_profile("fuzz")


def batches(inputs):
    return st.lists(inputs, min_size=BATCH, max_size=BATCH)


# --- formulas -----------------------------------------------------------------------------------

PIECES = [*ELEMENTS, "Kr", "Xx", "D", "e", *"0123456789", "0.5", "1e5", "00", ".", "..", "-1"]
PIECES += ["(", ")", "[", "]", "{", "}", " ", "\n", "₂", "²", "٣", "·", "+", ",", "nan", "\x00"]
FORMULAS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join) | st.text(max_size=8)


@fuzz
@given(batches(FORMULAS))
def test_formulas(texts):
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
                np.testing.assert_allclose(again / again.sum(), found / found.sum(), rtol=1e-9)
    matrix, bad = amounts_matrix(texts, on_error="report")
    np.testing.assert_array_equal(matrix, np.reshape(good, (len(good), 85)))
    assert len(bad) == len(texts) - len(good)


# --- tables -------------------------------------------------------------------------------------

CELLS = ["TiO2", "NaN", "", "1.5", "-1e3", "1e999", "nan", "inf", "0x1", "1,5", '"', '"a\nb"', "é"]
CELLS += ["\x00", "\ufeff", "#", "'", "1_000", "½", " 2 ", "\r", ",", ",,"]
ROWS = st.lists(st.sampled_from(CELLS), max_size=4).map(",".join)
HEADS = st.sampled_from(
    [
        "formula,target",
        "target,formula",
        "formula,target,x",
        "formula",
        "",
        "formula,formula,target",
    ]
)
TABLES = st.builds(
    lambda head, rows, end: end.join([head, *rows, ""]).encode(),
    HEADS,
    st.lists(ROWS, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
) | st.binary(max_size=30)


@fuzz
@given(batches(TABLES))
def test_tables(tmp_path_factory, contents):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    with mock.patch.object(sources, "fetch", lambda name: path):
        for content in contents:
            path.write_bytes(content)
            try:
                table = read_csv("fuzz", None, {"formula": "str", "target": "float"})
            except SourceCorrupt as error:
                assert str(error).startswith("table.csv")
            else:
                assert list(table.columns) == ["formula", "target"]
                assert (table["formula"] != "").all()
                assert np.isfinite(table["target"]).all()


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


@fuzz
@given(batches(CONFIGS))
def test_configurations(texts):
    for text in texts:
        try:
            config = Config.from_json(text)
        except ConfigError:
            continue
        assert Config.from_json(config.to_json()) == config


# --- weights ------------------------------------------------------------------------------------

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
    text = json.dumps(header).encode()
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


@fuzz
@given(batches(FILES))
def test_weights(tmp_path_factory, contents):
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    for content in contents:
        path.write_bytes(content)
        try:
            tensors, metadata = weights.load(path)
        except weights.WeightsError as error:
            assert "fuzz.safetensors" in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in tensors.values())
            assert isinstance(metadata, dict)
            assert sum(array.nbytes for array in tensors.values()) <= 3 * len(content)
