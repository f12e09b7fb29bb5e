"""The 31 tasks: their parts against each other and against the sizes that were published."""

import pandas as pd
import pytest

from matgan.data.sources import SourceUnavailable
from matgan.data.tasks import (
    ENERGIES,
    PEERS,
    PREDICTED_ENERGIES,
    composition_tasks,
    load_task_fold,
    peer_energies,
)


def test_there_are_31_with_errors_of_others_and_their_source():
    listed = composition_tasks()
    assert len(listed) == 31 and set(listed["folds"]) == {1, 5}
    assert (listed[list(PEERS[:3])] > 0).all(axis=None)
    assert list(listed.index[listed["ElemNet"].isna()]) == ["phonons", "steels_yield"]
    assert listed["source"].str.contains("npj Comput. Mater. 7, 77").all()
    # Wang et al. 2021, Table 2: the three that the paper's text names
    assert listed.loc["OQMD_Formation_Enthalpy", "CrabNet"] == pytest.approx(0.031, abs=5e-4)
    assert listed.loc["expt_gap", "CrabNet"] == pytest.approx(0.338, abs=5e-4)
    listed.loc["glass", "folds"] = 7  # a copy
    assert composition_tasks().loc["glass", "folds"] == 5


def test_five_folds_test_a_compound_at_most_once(wheel):
    folds = [load_task_fold("expt_gap", fold) for fold in range(5)]
    tested = pd.concat([fold[fold["split"] == "test"] for fold in folds])
    assert tested["formula"].is_unique and len(tested) == 4599
    for fold in folds:
        assert fold["formula"].is_unique and len(fold) == 4601
        assert set(tested["formula"]) < set(fold["formula"])
        assert list(fold["split"].unique()) == ["train", "val", "test"]


def test_a_task_with_one_split_has_the_sizes_of_its_source(wheel):
    one = load_task_fold("mp_bulk_modulus")
    assert one["split"].value_counts().to_dict() == {"train": 4414, "test": 947, "val": 946}
    listed = composition_tasks()["compounds"]
    assert listed["mp_bulk_modulus"] == len(one)
    for task in ("steels_yield", "castelli", "CritExam__Ed"):
        assert listed[task] == len(load_task_fold(task))
    assert one.loc[one["split"] == "test", "target"].std() == pytest.approx(73.4858, abs=1e-4)


@pytest.mark.parametrize(
    ("task", "fold", "message"),
    [
        ("gap", 0, "the tasks are aflow__.*, not 'gap'"),
        ("glass", 5, "glass has the folds 0 to 4, not 5"),
        ("mp_mu_b", 1, "mp_mu_b has one fold, 0, not 1"),
    ],
)
def test_what_is_not_there_is_named(task, fold, message):
    with pytest.raises(ValueError, match=message):
        load_task_fold(task, fold)


@pytest.mark.parametrize("peer", PREDICTED_ENERGIES)
def test_published_predictions_have_the_published_error(wheel, peer):
    tested = load_task_fold(ENERGIES).query("split == 'test'")
    try:
        predicted = peer_energies(peer, tested["formula"])
    except SourceUnavailable as error:
        pytest.skip(f"the study does not need it: {error}")
    off = (tested["target"] - predicted).abs()
    assert off.isna().sum() == (peer == "ElemNet")
    assert off.mean() == pytest.approx(composition_tasks().loc[ENERGIES, peer], abs=1e-6)
    shuffled = tested["formula"].sample(frac=1, random_state=0)
    assert peer_energies(peer, shuffled)[:5] == pytest.approx(
        predicted[tested.index.get_indexer(shuffled.index[:5])], nan_ok=True
    )


def test_a_peer_without_predictions_is_named():
    with pytest.raises(ValueError, match="peers are Roost, CrabNet, ElemNet, not 'MODNet'"):
        peer_energies("MODNet", pd.Series(["NaCl"]))
