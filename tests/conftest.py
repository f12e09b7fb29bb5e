"""Fixtures of all tests: the real data sets, loaded once, skipped where they cannot be had."""

import os
import shutil

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib
# on two shared cores torch with two threads can be several times slower than with one
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
from pathlib import Path

import pytest
from hypothesis import settings

from matgan.crystals import structures
from matgan.crystals.graphs import castelli
from matgan.data import compounds, sources

# a job in the background of a shell ignores Ctrl-C, and so would what the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# times depend on the machine: a slow one is no failure
settings.register_profile("matgan", deadline=None)
settings.load_profile("matgan")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With MATGAN_REQUIRE_DATA, as in CI and before a release, missing data are a failure."""
    report = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if reason.startswith("Skipped: not run: ") and os.environ.get("MATGAN_REQUIRE_DATA"):
        report.outcome, report.longrepr = "failed", f"MATGAN_REQUIRE_DATA is set. {reason}"
    return report


def _or_skip(load, *args, **options):
    try:
        return load(*args, **options)
    except sources.SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


@pytest.fixture(scope="session")
def oqmd_raw():
    """OQMD as published: formula, target, part."""
    return _or_skip(compounds.read_oqmd)


@pytest.fixture(scope="session")
def wheel():
    """The crabnet wheel, in which most of the tables are."""
    return _or_skip(sources.fetch, "crabnet")


@pytest.fixture(scope="session")
def oqmd():
    """Curated OQMD compounds, random split of seed 0."""
    return _or_skip(compounds.load_oqmd)


@pytest.fixture(scope="session")
def mp_compositions():
    """Distinct Materials Project compositions."""
    return _or_skip(compounds.load_mp_compositions)


@pytest.fixture(scope="session")
def mp_training(mp_compositions):
    """The same, as the generators learn from them: whole counts, in two parts."""
    return compounds.training_data("mp")


@pytest.fixture(scope="session")
def mp_gap():
    """Materials Project band gaps of non-metals."""
    return _or_skip(compounds.load_mp_gap)


@pytest.fixture(scope="session")
def mp_stability():
    """Materials Project compounds with published predictions of their energies."""
    return _or_skip(compounds.load_mp_stability)


@pytest.fixture(scope="session")
def supercon():
    """SuperCon, the default subset."""
    return _or_skip(compounds.load_supercon)


@pytest.fixture(scope="session")
def crystals():
    """Crystal structures of the Materials Project, with labels."""
    return _or_skip(structures.load_structures)


@pytest.fixture(scope="session")
def perovskites():
    """Castelli's perovskites, as far as they are at hand."""
    return _or_skip(castelli.load_castelli)


@pytest.fixture(scope="session")
def measured_files():
    """Folder of measured pattern files of other people, as MATGAN_DATA may hold them."""
    folder = Path(os.environ.get("MATGAN_DATA", ""), "patterns")
    if not (folder / "bruker.brml").is_file():
        pytest.skip("not run: no measured pattern files in MATGAN_DATA/patterns")
    return folder


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, driven by playwright: pip install playwright; apt install chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()
