import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from matgan import charge_neutral, electronegativity_balanced, files
from matgan.__main__ import main as door
from matgan.chemistry.composition import among, amounts_matrix
from matgan.chemistry.oxidation import USUAL_STATES
from matgan.properties import candidates, stability
from matgan.properties.candidates import (
    STAGES,
    ScreeningError,
    Search,
    begin,
    best_candidates,
    done_blocks,
    known_numbers,
    screen_block,
    screen_blocks,
)
from matgan.properties.distilled import SHIPPED, DistilledEnergy, SmallNetwork, load_distilled
from matgan.properties.known import KnownCompositions
from matgan.stability import quality
from matgan.stability.hull import Hull

ROOT = Path(__file__).parents[2]
SEARCH = Search(2, 4, 4000, 0.1)  # 17,935 compositions of one or two elements, in four blocks
AROUND = "NaCl LiF MgO TiO VO CrO MnO FeO NiO MnF2 FeF2 NiF2 VCl2 CrCl2 FeCl2".split()
KNOWN = ["NaCl", "Na2Cl2", "LiF", "Fe2O3", "FeO", "MgO", "Fe0.5O0.5", "Li0.25F0.75"]


@pytest.fixture
def few(monkeypatch):
    """A few known compounds, a hull of three and 15 systems in place of OQMD and the others."""
    known, hull = KnownCompositions({"few": KNOWN}), Hull(["NaCl", "LiF", "Na3Cl"], [-2, -3, -1])
    monkeypatch.setattr(candidates, "all_known", lambda: known)
    monkeypatch.setattr(quality, "THIN_ELEMENT", 1)
    monkeypatch.setattr(candidates, "oqmd_systems", lambda: quality.KnownSystems(AROUND))
    for module in (candidates, stability):
        monkeypatch.setattr(module, "oqmd_hull", lambda: hull)
    candidates._begun.cache_clear()
    yield hull
    candidates._begun.cache_clear()


@pytest.fixture
def small(tmp_path):
    """File of a small network that was taught nothing."""
    torch.manual_seed(0)
    DistilledEnergy(SmallNetwork((16, 8))).save(tmp_path / "small.safetensors", {})
    return tmp_path / "small.safetensors"


@pytest.mark.parametrize("own", [False, True])
def test_each_stage_is_that_of_the_package(few, tmp_path, small, own):
    """Funnel, choice and answers of every block again, with the package's own functions."""
    folder = tmp_path / "search"
    enumeration = begin(folder, SEARCH, small if own else None)
    chooser = load_distilled(small if own else SHIPPED)
    assert list(screen_blocks(folder, range(enumeration.n_blocks))) == [0, 1, 2, 3]
    done, found = done_blocks(folder), []
    systems = {frozenset(np.flatnonzero(row)) for row in amounts_matrix(AROUND)}
    assert done["compositions"].sum() == len(enumeration) == 17_935
    for index in range(4):
        counts, row = enumeration.block(index).counts(), done.loc[index]
        assert row["neutral"] == charge_neutral(counts).sum()
        able = electronegativity_balanced(counts)
        assert row["balanced"] == able.sum()
        known = amounts_matrix(["NaCl", "LiF", "Fe2O3", "FeO", "MgO", "LiF3", "Na3Cl"])
        new = able & ~among(counts, known) & ((counts > 0).sum(axis=1) > 1)
        new = counts[new]
        thin = np.array([frozenset(np.flatnonzero(row)) not in systems for row in new])
        shares = {kind: int(np.ceil(0.1 * (thin == kind).sum())) for kind in (False, True)}
        assert row["new"] == len(new)
        assert row["asked"] == sum(shares.values())
        elements = np.argsort(new == 0, axis=1, kind="stable")[:, :2]
        amounts = np.take_along_axis(new, elements, axis=1)
        below = stability.stability(new.astype(float)).below
        order = np.argsort(chooser.energies(elements, amounts) - below, kind="stable")
        for kind, n in shares.items():
            asked = new[order[thin[order] == kind][:n]]
            of = stability.stability(asked.astype(float))
            found.append(np.column_stack([of.probability.round(4), of.distance, [kind] * n]))
    table = best_candidates(folder, 10**6, rare_states=True, thin=True)
    expected = np.concatenate(found)
    expected = expected[np.lexsort([expected[:, 1], -expected[:, 0]])]
    np.testing.assert_allclose(
        table[["stable_probability", "hull_distance", "thin"]].astype(float),
        expected,
        rtol=1e-3,
        atol=1e-4,
    )
    np.testing.assert_array_equal(enumeration.numbers(table["formula"]), table["number"])
    assert not set(table["formula"]) & {"NaCl", "LiF", "LiF3", "Na3Cl", "FeO"}
    assert table["competing_phases"].str.len().min() > 0
    pd.testing.assert_frame_equal(
        best_candidates(folder, 7, rare_states=True, thin=True), table[:7]
    )
    common = electronegativity_balanced(table["formula"], oxidation_states="icsd24")
    usual = best_candidates(folder, 10**6)
    assert usual["formula"].tolist() == table["formula"][common & ~table["thin"]].tolist()
    assert len(usual) > 5 and (common & table["thin"]).sum() > 5
    rare = ~electronegativity_balanced(table["formula"], oxidation_states=USUAL_STATES)
    assert (table["only_rare_states"] == rare).all() and 0 < rare.sum() < len(rare)


def test_no_candidate_rests_on_a_state_that_oxygen_never_has(few, tmp_path):
    """OF2, O at +2, is balanced by SMACT's list of 2014 only."""
    begin(tmp_path, SEARCH)
    list(screen_blocks(tmp_path, range(4)))
    rows = [best_candidates(tmp_path, 10**6, rare_states=rare, thin=True) for rare in (True, False)]
    every, usual = (set(table["formula"]) for table in rows)
    oxygen_above = {text for text in every if set(text) <= set("OF23") and "F" in text}
    assert usual < every and not usual & oxygen_above
    assert not rows[1]["oxidation_states"].str.contains("O⁺|O²⁺").any()


def test_what_is_known_is_known_as_a_ratio(few):
    enumeration = SEARCH.enumeration()
    known = enumeration.numbers(["NaCl", "LiF", "LiF3", "Fe2O3", "FeO", "MgO", "Na3Cl"])
    inside = np.unique(known[known >= 0])
    assert known_numbers(enumeration).tolist() == inside.tolist()
    assert known[3] == -1  # five atoms


def test_a_search_that_was_stopped_anywhere_goes_on(few, tmp_path, monkeypatch):
    """Before a block's rows are written, half-way in them, and between them and the mark."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        begin(folder, SEARCH)
    list(screen_blocks(whole, range(4)))
    places = [(candidates, "_answers"), (pd.DataFrame, "to_csv"), (candidates.json, "dumps")]
    for n, (module, place) in enumerate(places):
        with monkeypatch.context() as patch:
            patch.setattr(module, place, _stop)
            with pytest.raises(KeyboardInterrupt):
                list(screen_blocks(stopped, range(4)))
        assert len(done_blocks(stopped)) == n
        assert screen_block(stopped, n) == n
    list(screen_blocks(stopped, range(4)))
    assert not files.half_written(stopped)
    counted = [done_blocks(folder)[list(STAGES)] for folder in (whole, stopped)]
    pd.testing.assert_frame_equal(*counted)
    for path in (whole / "blocks").glob("*.csv.gz"):
        assert path.read_bytes() == (stopped / "blocks" / path.name).read_bytes()


def _stop(*arguments, **options):
    raise KeyboardInterrupt


def test_a_folder_belongs_to_one_search(few, tmp_path, small):
    begin(tmp_path / "one", SEARCH)
    begin(tmp_path / "one", SEARCH)
    with pytest.raises(ScreeningError, match="another most_atoms, share: choose another folder"):
        begin(tmp_path / "one", Search(2, 5, 4000, 0.2))
    with pytest.raises(ScreeningError, match="another small network"):
        begin(tmp_path / "one", SEARCH, small)
    with pytest.raises(ScreeningError, match=r"between 0 and 1, not 0\.0"):
        begin(tmp_path / "other", Search(share=0.0))
    assert not (tmp_path / "other").exists()


LIMITS = ["--most-elements", "2", "--most-atoms", "4", "--per-block", "4000"]


def test_the_command_searches_and_goes_on(few, tmp_path, capsys):
    command = ["screen", "--out", str(tmp_path), *LIMITS, "--share", "0.1", "--keep", "20"]
    assert door([*command, "--first", "4000"]) == 0
    assert "1 of 4 blocks (1 now)" in capsys.readouterr().out
    assert door([*command, "--blocks", "2-3"]) == 0
    assert "3 of 4 blocks (2 now)" in capsys.readouterr().out
    assert door([*command, "--thin"]) == 0
    told = capsys.readouterr().out
    assert "4 of 4 blocks (1 now): 17,935 compositions" in told and "stable_probability" in told
    table = pd.read_csv(tmp_path / "candidates.csv.gz")
    assert len(table) == 20 and table["stable_probability"].is_monotonic_decreasing
    assert door(command) == 0
    usual = pd.read_csv(tmp_path / "candidates.csv.gz")
    assert table["thin"].any() and 0 < len(usual) < 20 and not usual["thin"].any()
    facts = json.loads((tmp_path / "search.json").read_text())
    assert facts["share"] == 0.1 and len(facts["model"]) == 64


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--blocks", "3-9"], "--blocks must be such as 0-9, up to 3, not '3-9'"),
        (["--blocks", "x"], "not 'x'"),
        (["--blocks", "0", "--first", "9"], "not both"),
        (["--share", "2"], "the share must lie between 0 and 1"),
        (["--most-elements", "7"], "most_elements must be from 1 to 4"),
    ],
)
def test_what_cannot_be_searched_is_named(few, tmp_path, capsys, options, why):
    assert door(["screen", "--out", str(tmp_path), *LIMITS, *options]) == 1
    assert why in capsys.readouterr().err


# --- processes, real data -------------------------------------------------------------------------


def _same(one: Path, other: Path) -> None:
    counted = [done_blocks(folder)[list(STAGES)] for folder in (one, other)]
    pd.testing.assert_frame_equal(*counted)
    for path in (one / "blocks").glob("*.csv.gz"):
        assert path.read_bytes() == (other / "blocks" / path.name).read_bytes()


@pytest.mark.slow
def test_a_killed_process_loses_nothing(oqmd_raw, tmp_path):
    command = [sys.executable, "-m", "matgan", "screen", *LIMITS, "--per-block", "1000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--out", tmp_path / "whole"], env=environment, check=True)
    killed = subprocess.Popen([*command, "--out", tmp_path / "killed"], env=environment)
    while len(list((tmp_path / "killed" / "blocks").glob("*.json"))) < 3:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 3 <= len(done_blocks(tmp_path / "killed")) < 18
    subprocess.run([*command, "--out", tmp_path / "killed"], env=environment, check=True)
    _same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_loses_no_block(oqmd_raw, tmp_path):
    cluster = pytest.importorskip("dask.distributed").LocalCluster
    search = Search(2, 4, 500, 0.1)
    for name in ("whole", "cluster"):
        blocks = range(begin(tmp_path / name, search).n_blocks)
    list(screen_blocks(tmp_path / "whole", blocks))
    with cluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        done = screen_blocks(tmp_path / "cluster", blocks, scheduler=local.scheduler_address)
        first = [next(done) for _ in range(3)]
        os.kill(next(iter(local.workers.values())).pid, signal.SIGKILL)
        rest = list(done)
    assert sorted([*first, *rest]) == list(blocks)
    _same(tmp_path / "whole", tmp_path / "cluster")
