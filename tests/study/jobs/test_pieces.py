"""A piece of a job: computed once, by one process; its code is kept with its rows."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from matgan.files import ArraysError, locked
from matgan.study.jobs import pieces


def one_row(folder):
    return [{"number": 1}]


def test_a_piece_is_done_once_and_says_of_which_code_it_is(tmp_path):
    assert pieces.do_piece(tmp_path, "one", one_row, float("inf"), "abc") == "one"
    path = tmp_path / "one" / "done.json"
    facts = json.loads(path.read_text())
    assert (facts["fingerprint"], facts["rows"]) == ("abc", [{"number": 1}])
    assert pieces.do_piece(tmp_path, "one", None, float("inf"), "other") == "one"
    assert json.loads(path.read_text()) == facts
    assert pieces.do_piece(tmp_path, "two", one_row, -1.0) == "" and not (tmp_path / "two").exists()


def test_names_of_pieces_are_the_words_of_what_tells_them_apart():
    assert pieces.piece_key("T (mp), mean", 3, "a/b") == "T-mp-mean-3-a-b"


def test_a_part_of_a_piece_is_computed_once_and_a_failure_leaves_nothing(tmp_path):
    path, calls = tmp_path / "piece" / "part.npz", []

    def compute():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return np.arange(3.0)

    with pytest.raises(KeyboardInterrupt):
        pieces.computed_once(path, compute)
    assert not path.exists()
    found, minutes = pieces.computed_once(path, compute)
    again, same = pieces.computed_once(path, compute)
    assert len(calls) == 2 and same == minutes >= 0
    np.testing.assert_array_equal(found, again)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ArraysError, match=r"part\.npz is no sound"):
        pieces.computed_once(path, compute)


def test_a_piece_that_other_code_began_says_so(tmp_path):
    def stopped(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pieces.do_piece(tmp_path, "one", stopped, float("inf"), "old")
    pieces.do_piece(tmp_path, "one", one_row, float("inf"), "new")
    assert json.loads((tmp_path / "one" / "done.json").read_text())["fingerprint"] == "several"


def test_two_that_want_the_same_part_compute_it_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        time.sleep(0.3)
        return np.arange(3.0)

    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda _: pieces.computed_once(tmp_path / "a.npz", compute), "ab"))
    assert len(calls) == 1
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_a_piece_may_lock_its_folder_where_folders_have_no_locks(tmp_path, monkeypatch):
    """As on a network disk, where files have some."""
    opened = os.open

    def no_folders(path, flags, *mode):
        if os.path.isdir(path):
            raise OSError("no")
        return opened(path, flags, *mode)

    def training(folder):
        monkeypatch.setattr(os, "open", no_folders)
        with locked(folder):
            return [{"number": 1}]

    assert pieces.do_piece(tmp_path, "one", training, float("inf")) == "one"
