"""Run directories: tables, figures, the manifest, seeds, device."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgan.data import sources
from matgan.data.sources import SOURCES, fetch
from matgan.files import sha256
from matgan.study import run as runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Of a notebook that `run_all.sh` runs."""
    monkeypatch.setenv(runs.RUNNING, str(tmp_path / "a run"))
    return runs.open_run(tmp_path / "a run", "02_wgan_training", seed=3)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    return runs.open_run(tmp_path_factory.mktemp("run"), "01_data_curation")


def test_a_table_comes_back_as_it_was(run):
    table = pd.DataFrame(
        {
            "formula": ["NaN", "Na", "InF", "NbO2"],  # two of them look like missing numbers
            "energy": [0.1, 1 / 3, np.inf, -1e-308],
            "count": [1, 2, 3, 2**60],
            "neutral": [True, False, True, True],
        }
    )
    assert run.table(table, "compounds") is table
    pd.testing.assert_frame_equal(
        run.read_table("compounds", made_by="01"), table, check_exact=True
    )


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_every_float_survives_a_table(one_run, values):
    one_run.table(pd.DataFrame({"x": values}), "floats")
    np.testing.assert_array_equal(
        one_run.read_table("floats", made_by="01")["x"].to_numpy(dtype=float), values
    )


def test_a_named_index_is_written_and_another_is_not(run):
    named = pd.DataFrame({"x": [1.5]}, index=pd.Index(["Fe"], name="element"))
    run.table(named, "named")
    run.table(named.reset_index(drop=True), "unnamed")
    assert run.path("tables", "named.csv").read_text() == "element,x\nFe,1.5\n"
    assert run.path("tables", "unnamed.csv").read_text() == "x\n1.5\n"


def test_a_missing_table_names_the_notebook_to_run(run):
    with pytest.raises(runs.NotYetMade, match=r"run 01_data_curation first.*--only 01"):
        run.read_table("splits", made_by="01_data_curation")


def test_a_kept_table_comes_with_what_made_it(run, monkeypatch):
    monkeypatch.setattr(runs, "PROJECT", run.folder)
    monkeypatch.setattr(runs, "LONG", run.folder)
    with pytest.raises(runs.NotYetMade, match=r"python -m matgan jobs run one-fit"):
        run.kept("one-fit")
    table = pd.DataFrame({"formula": ["NaN", "InF"], "error": [0.1, 1 / 3]})
    table.to_csv(run.folder / "one-fit.csv", index=False)
    with pytest.raises(runs.NotYetMade, match=r"one-fit\.json"):
        run.kept("one-fit")
    (run.folder / "one-fit.json").write_text('{"seeds": [0, 1]}')
    kept = run.kept("one-fit")
    pd.testing.assert_frame_equal(kept, table, check_exact=True)
    assert kept.attrs["provenance"] == {"seeds": [0, 1]}
    known = runs.read_manifest(run.folder)["notebooks"]["02_wgan_training"]["kept"]
    sha256 = hashlib.sha256((run.folder / "one-fit.csv").read_bytes()).hexdigest()
    assert known == {"one-fit": sha256}
    with pytest.raises(ValueError, match="no name for a file"):
        run.kept("../one-fit")


def test_every_kept_table_of_the_project_has_its_provenance(run):
    names = {path.stem for path in runs.LONG.iterdir()}
    assert names
    for name in names:
        provenance = run.kept(name).attrs["provenance"]
        assert {"command", "commit", "device", "seeds"} <= set(provenance), name


def test_the_origin_of_a_kept_table_in_a_line(run, monkeypatch):
    line = runs.origin(run.kept("wgan-search-mp"))
    assert "grid of learning rates" in line and "commit 141fc87, cpu" in line
    assert "`python -m matgan jobs run wgan-search-mp`" in line
    monkeypatch.setattr(runs, "LONG", run.folder)
    (run.folder / "half.csv").write_text("a\n1\n")
    facts = {"what": "a fit", "commit": ["0123456789", "abcdefghij"], "device": ["cpu"]}
    facts |= {"complete": False, "pieces": {"one": {}}, "pieces_in_all": 3}
    (run.folder / "half.json").write_text(json.dumps(facts))
    line = runs.origin(run.kept("half"))
    assert "a fit (commit 0123456, abcdefg, cpu, 1 of 3 pieces)" in line


@pytest.mark.parametrize("name", ["../escape", "", "a/b", ".hidden", "a b", "x\n"])
def test_a_name_that_is_no_file_name_is_refused(run, name):
    with pytest.raises(ValueError, match="no name for a file"):
        run.table(pd.DataFrame({"x": [1]}), name)


@pytest.mark.parametrize("name", ["../../../escape.safetensors", "/tmp/escape.safetensors"])
def test_no_path_leads_out_of_the_run_directory(run, name):
    with pytest.raises(ValueError, match="leads out of the run directory"):
        run.checkpoint(name)


def test_a_figure_is_the_same_file_in_every_run(tmp_path):
    def written(folder):
        run = runs.open_run(folder, "01_data_curation")
        figure, axes = plt.subplots()
        axes.fill_between([0, 1, 2], [1, 2, 4], hatch="/")  # hatches and clips get ids in an SVG
        axes.set_xlabel("iteration")
        run.figure(figure, "losses")
        plt.close(figure)
        return [(folder / "figures" / f"losses.{kind}").read_bytes() for kind in ("png", "svg")]

    png, svg = written(tmp_path / "one")
    assert [png, svg] == written(tmp_path / "two")
    assert png.startswith(b"\x89PNG")
    assert b"<dc:date>" not in svg


def test_the_manifest_says_what_made_the_run(run):
    run.table(pd.DataFrame({"x": [1]}), "a")
    run.record(loss=np.float32(0.5), shape=np.array([85, 8]), best=run.folder / "best")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    entry = manifest["notebooks"]["02_wgan_training"]
    assert entry["seed"] == 3
    assert entry["device"] == runs.device()
    assert entry["files"] == ["tables/a.csv"]
    assert (entry["loss"], entry["shape"]) == (0.5, [85, 8])
    assert entry["peak_memory_mb"] > 20
    made = manifest["environments"][entry["environment"]]
    assert made["packages"]["numpy"] == np.__version__


def test_the_manifest_names_the_data_that_were_read_and_no_others(run, monkeypatch, tmp_path):
    (tmp_path / "supercon.csv").write_text("name,Tc\nNb,9.2\n")
    source = dataclasses.replace(
        SOURCES["supercon"], sha256=hashlib.sha256(b"name,Tc\nNb,9.2\n").hexdigest()
    )
    monkeypatch.setitem(SOURCES, "supercon", source)
    monkeypatch.setattr(sources, "READ", {})
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    run.record()
    fetch("supercon")
    entry = runs.read_manifest(run.folder)["notebooks"][run.notebook]
    assert entry["data"] == {}
    run.record(loss=1)
    entry = runs.read_manifest(run.folder)["notebooks"][run.notebook]
    assert entry["data"] == {"supercon.csv": source.sha256}


def test_each_notebook_keeps_the_versions_that_it_ran_with(run, monkeypatch):
    """An upgrade in the middle of a run says nothing of the notebooks before it."""
    first = runs.read_manifest(run.folder)["notebooks"][run.notebook]["environment"]
    monkeypatch.setattr(runs, "_environment", lambda: ("new", {"packages": {"numpy": "99"}}))
    runs.open_run(run.folder, "03_other")
    manifest = runs.read_manifest(run.folder)
    assert manifest["notebooks"]["03_other"]["environment"] == "new"
    assert manifest["environments"][first]["packages"]["numpy"] == np.__version__
    runs.open_run(run.folder, run.notebook)  # what no notebook ran with goes
    assert set(runs.read_manifest(run.folder)["environments"]) == {"new"}


def test_outputs_are_files_and_whole_folders_with_their_hashes(run):
    run.table(pd.DataFrame({"x": [1]}), "a")
    folder = run.checkpoint("fit")
    folder.mkdir()
    place = f"checkpoints/{run.notebook}/fit"  # of its own: a training has its folder for itself
    (folder / "weights").write_text("w")
    (folder / ".hidden.tmp").write_text("x")
    run.checkpoint("removed at the end")
    entry = runs.read_manifest(run.folder)["notebooks"][run.notebook]
    entry["outputs"] = runs.written(run.folder, entry)
    assert entry["outputs"] == {
        f"{place}/weights": hashlib.sha256(b"w").hexdigest(),
        "tables/a.csv": hashlib.sha256(b"x\n1\n").hexdigest(),
    }
    assert runs.damaged(run.folder, entry) == {}
    (folder / "weights").write_text("v")
    run.path("tables", "a.csv").unlink()
    assert runs.damaged(run.folder, entry) == {
        f"{place}/weights": "changed",
        "tables/a.csv": "missing",
    }


def test_opening_a_run_again_starts_its_entry_anew(run):
    run.record(status="ok", loss=0.5)
    runs.update_manifest(run.folder, "03_other", {"loss": 1})
    runs.open_run(run.folder, run.notebook)
    notebooks = runs.read_manifest(run.folder)["notebooks"]
    assert "status" not in notebooks[run.notebook]
    assert notebooks["03_other"] == {"loss": 1}


DAMAGED = ["", "[]", "{}", '{"notebooks": 3}', '{"notebooks": {', '{"notebooks": null}']
DAMAGED += ['{"notebooks": {"01": []}}', '{"notebooks": {"01": {"files": 5}}}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_manifest_is_named(run, text):
    (run.folder / "manifest.json").write_text(text)
    with pytest.raises(
        runs.RunError, match=r"manifest\.json is no manifest of a run, or is damaged"
    ):
        run.record(loss=1)


def test_two_processes_record_at_once_without_loss(tmp_path):
    code = (
        "import sys; from matgan.study.run import update_manifest\n"
        "for i in range(50): update_manifest(sys.argv[1], sys.argv[2], {f'fact{i}': i})"
    )
    names = ["01_data_curation", "02_wgan_training"]
    both = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name]) for name in names]
    assert [process.wait() for process in both] == [0, 0]
    notebooks = runs.read_manifest(tmp_path)["notebooks"]
    expected = {f"fact{i}": i for i in range(50)}
    assert notebooks == dict.fromkeys(names, expected)


def test_a_seed_decides_every_random_number():
    import random

    import torch

    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    runs.set_seed(5)
    first = drawn()
    assert drawn() != first
    runs.set_seed(5)
    assert drawn() == first


def test_git_state_names_the_commit_and_changes(tmp_path, monkeypatch):
    def git(*words):
        done = subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@y", *words],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    monkeypatch.setattr(runs, "PROJECT", tmp_path)
    assert runs.git_state() == {}
    git("init")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "first")
    assert runs.git_state() == {"commit": git("rev-parse", "HEAD"), "changed": False}
    (tmp_path / "file").write_text("b")
    assert runs.git_state()["changed"]


def test_what_is_published_is_what_its_manifest_lists():
    """Figures, maps and tables of figures/ and results/tables, by their SHA-256."""
    published = runs.read_manifest(runs.PROJECT / "results").get("published")
    if published is None:
        pytest.skip("published before the manifest listed its files")
    found = {name: sha256(runs.PROJECT / name) for name in published["files"]}
    assert found == published["files"]
