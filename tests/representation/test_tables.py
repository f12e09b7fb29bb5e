import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from matgan import ELEMENTS
from matgan.data import sources
from matgan.representation import tables
from matgan.representation.features import PooledEmbedding
from matgan.representation.tables import (
    list_embeddings,
    load_embedding,
    permuted_embedding,
    random_embedding,
    trained_table,
)


def load(name: str) -> pd.DataFrame:
    try:
        return load_embedding(name)
    except sources.SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


@pytest.mark.parametrize("name", list(tables.PUBLISHED))
def test_published_tables_are_what_the_list_says(name):
    table = load(name)  # raises SourceCorrupt where the file and the list differ
    listed = list_embeddings().set_index("name").loc[name]
    assert table.shape[1] == listed["dims"]
    assert table.index.name == "element" and table.index.is_unique
    assert table.dropna().index.isin(ELEMENTS).sum() == listed["elements"]
    assert table.attrs == {"name": name, "citation": listed["citation"]}
    assert len(listed["citation"]) > 10
    assert PooledEmbedding(name).fit([]).transform(["NaO"]).shape == (1, listed["dims"])


def test_the_wheel_holds_no_other_element_table():
    try:
        wheel = sources.fetch("crabnet")
    except sources.SourceUnavailable as error:
        pytest.skip(f"not run: {error}")
    with zipfile.ZipFile(wheel) as members:
        names = [Path(name) for name in members.namelist() if name.endswith(".csv")]
    folder = Path(sources.WHEEL_DATA, "element_properties")
    found = {name.stem for name in names if name.parent == folder}
    assert found - {"ptable"} == {t.file for t in tables.PUBLISHED.values()}


@pytest.mark.parametrize("name", ["mat2vec", "skipatom"])
def test_same_numbers_as_in_elementembeddings(name):
    spec = find_spec("elementembeddings")  # its files are read; importing it takes half a minute
    if spec is None:
        pytest.skip("ElementEmbeddings is not installed")
    folder = Path(spec.origin).parent / "data" / "element_representations"
    theirs = pd.read_csv(folder / f"{tables.PUBLISHED[name].file}.csv", index_col=0)
    np.testing.assert_allclose(load(name).loc[list(ELEMENTS)], theirs.loc[list(ELEMENTS)])


def test_published_tables_know_chemistry():
    # the halogens are nearer to chlorine than a metal is, in tables that learned from data
    for name in ("mat2vec", "skipatom"):
        table = load(name)
        unit = table.div(np.linalg.norm(table, axis=1), axis=0)
        near = unit @ unit.loc["Cl"]
        assert near["Br"] > near["Fe"]


def test_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"'wgan-nowhere'; there are mat2vec, skipatom"):
        load_embedding("wgan-nowhere")
    with pytest.raises(ValueError, match="unknown embedding"):
        load_embedding("../pretrained/x")


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "PRETRAINED", tmp_path)
    return tmp_path


def test_trained_tables_are_found_by_file_name(pretrained):
    T = np.random.default_rng(0).normal(size=(85, 5)).astype(np.float32)
    weights = {"T": T, "w": np.zeros(3)}
    save_file(weights, pretrained / "wgan-oqmd.safetensors", {"citation": "mine"})
    save_file({"w": np.zeros(3)}, pretrained / "other.safetensors")
    listed = list_embeddings()
    assert listed.iloc[-1].tolist() == ["wgan-oqmd", 5, 85, "mine"]
    table = load_embedding("wgan-oqmd")
    assert table.index.tolist() == list(ELEMENTS) and table.attrs["citation"] == "mine"
    np.testing.assert_array_equal(table.to_numpy(np.float32), T)
    names = PooledEmbedding("wgan-oqmd").fit([]).get_feature_names_out()
    assert names.tolist() == [f"wgan-oqmd sum {i}" for i in range(5)]
    with pytest.raises(sources.SourceCorrupt, match="no tensor 'T'"):
        load_embedding("other")
    save_file({"T": T[:, :0]}, pretrained / "none.safetensors")
    assert "none" not in set(list_embeddings()["name"])
    with pytest.raises(ValueError, match=r"none\.safetensors: its critic has no element table T"):
        load_embedding("none")
    save_file({"T": T[:84]}, pretrained / "short.safetensors")
    with pytest.raises(sources.SourceCorrupt, match=r"\(85, d\), not \(84, 5\)"):
        load_embedding("short")


@pytest.mark.slow  # importing ElementEmbeddings takes half a minute
def test_csv_of_a_table_loads_into_elementembeddings(tmp_path):
    core = pytest.importorskip("elementembeddings.core")
    table = trained_table(np.random.default_rng(0).normal(size=(85, 4)))
    table.to_csv(tmp_path / "mine.csv")
    theirs = core.Embedding.from_csv(str(tmp_path / "mine.csv"))
    for element in ("H", "Na", "Pu"):
        np.testing.assert_allclose(theirs.embeddings[element], table.loc[element])


def test_random_table_has_shape_scale_and_seed():
    like = trained_table(3 + 2 * np.random.default_rng(0).normal(size=(85, 200)))
    one, same, other = (random_embedding(like, seed) for seed in (1, 1, 2))
    assert one.index.equals(like.index) and one.columns.equals(like.columns)
    pd.testing.assert_frame_equal(one, same)
    assert abs(np.corrcoef(one.to_numpy().ravel(), other.to_numpy().ravel())[0, 1]) < 0.05
    # root mean square sqrt(3² + 2²), within five standard errors of 17,000 draws
    rms = np.sqrt(np.square(one.to_numpy()).mean())
    assert rms == pytest.approx(13**0.5, rel=5 / np.sqrt(2 * 17_000))
    assert abs(one.to_numpy().mean()) < 5 * 13**0.5 / np.sqrt(17_000)


def test_a_permuted_table_has_the_same_rows_on_other_elements():
    table = load_embedding("wgan-oqmd")
    permuted = permuted_embedding(table, 0)
    assert permuted.index.equals(table.index) and permuted.attrs["name"].startswith("wgan-oqmd")
    moved = (permuted.to_numpy() != table.to_numpy()).any(axis=1)
    assert moved.mean() > 0.9
    one, other = (np.linalg.svd(t.to_numpy(), compute_uv=False) for t in (table, permuted))
    np.testing.assert_allclose(one, other)
    assert not permuted.equals(permuted_embedding(table, 1))
