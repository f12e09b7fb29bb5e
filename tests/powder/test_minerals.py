"""Measured patterns: as described, on their grid, clear words where they cannot be had."""

import numpy as np
import pytest

from matgan.crystals.symmetry import crystal_system
from matgan.data.sources import SOURCES, SourceCorrupt, SourceUnavailable
from matgan.powder import minerals as measured


@pytest.fixture(scope="module")
def minerals():
    try:
        return measured.load_measured()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_they_are_as_described(minerals):
    assert minerals.intensity.shape == (454, 8500)
    assert minerals.two_theta[[0, -1]] == pytest.approx([5, 89.99], abs=1e-6)
    systems = np.bincount(crystal_system(minerals.space_group), minlength=7)
    assert systems[4] == 0  # none is trigonal
    assert systems.sum() == 454


def test_where_they_cannot_be_had_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"rruff_measured\.npz.*MATGAN_DATA"):
        measured.load_measured()
    file = tmp_path / SOURCES["rruff_measured"].file
    file.write_bytes(b"no archive")
    with pytest.raises(SourceCorrupt, match="SHA-256"):
        measured.load_measured()
    with pytest.raises(SourceCorrupt, match="no measured patterns"):
        measured.read_measured(file)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    np.savez(
        tmp_path / "m.npz", intensity=np.ones((3, 10)), space_group=np.ones(2),
        two_theta_start=5.0, two_theta_step=0.01,
    )  # fmt: skip
    with pytest.raises(SourceCorrupt, match=r"\(3, 10\) intensities, \(2,\)"):
        measured.read_measured(tmp_path / "m.npz")
