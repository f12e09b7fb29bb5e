"""The notebooks in a real JupyterLab and a real browser: they run, show what they make, and stop.

    python -m pip install playwright; sudo apt install chromium    # else the tests are skipped
    python -m pytest -m slow tests/project/test_jupyterlab.py

Screenshots of the notebooks and of each figure go to pytest's temporary folder (`--basetemp`).
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pytest
import yaml

from matgan.files import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
CURATION, TRAINING = "01_data_curation", "02_wgan_training"
SETTINGS = {  # all cells in the page at once, and no question about news
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
PATIENCE = 900  # seconds for a notebook: the machine may be busy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the notebooks, the values of the smoke profile in a cell after the parameters."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    folder.mkdir()
    smoke = yaml.safe_load((ROOT / "notebooks" / "profiles.yaml").read_text())["smoke"]
    for name in (CURATION, TRAINING):
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        values = {"run_dir": "../runs/smoke", "profile": "smoke"} | smoke["all"] | smoke[name]
        cell = nbformat.v4.new_code_cell("\n".join(f"{k} = {v!r}" for k, v in values.items()))
        tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
        notebook.cells.insert(tags.index(["parameters"]) + 1, cell)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def address(browser, folder):
    """Where a JupyterLab of this environment serves the folder, as `jupyter lab notebooks` does."""
    home = folder.parent
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = os.environ | {f"JUPYTER_{k}": str(home / v) for k, v in folders.items()}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "MATGAN_DEVICE": "cpu"}
    environment |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment.pop("MPLBACKEND", None)  # figures must come from the notebook's own choice
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--ServerApp.port={port}", "--IdentityProvider.token=matgan", "--allow-root"]
    options += ["--no-browser", "--LabApp.expose_app_in_browser=True"]
    with open(home / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", str(folder), *options],
            env=environment,
            stdout=log,
            stderr=log,
        )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{base}/api/status?token=matgan"), 120, "JupyterLab's answer")
        yield base
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@pytest.fixture
def lab(browser, address):
    """Opens a notebook by name; gives its page when the kernel is ready."""
    pages = []

    def opened(name):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        pages.append(page)
        page.set_default_timeout(60_000)
        # reset: without the tabs of an earlier visit
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset&token=matgan")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        shown = f"{WIDGET}?.context?.path === '{name}.ipynb'"
        page.wait_for_function(f"{shown} && {KERNEL}?.status === 'idle'", timeout=120_000)
        return page

    yield opened
    for page in pages:
        page.close()


WIDGET = "window.jupyterapp.shell.currentWidget"
KERNEL = f"{WIDGET}?.sessionContext?.session?.kernel"
CELLS = f"""[...{WIDGET}.content.model.cells].filter(cell => cell.type === 'code').map(
    cell => ({{count: cell.executionCount, outputs: cell.outputs.toJSON()}}))"""


def answers(url):
    try:
        return urllib.request.urlopen(url).status == 200
    except OSError:
        return False


def wait_for(true, seconds, what):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.5)


def run_all(page):
    page.click("text=Run >> nth=0")
    page.click("li[role=menuitem]:has-text('Run All Cells') >> nth=0")


def wait_until_done(page):
    """Until every code cell has run or one has failed; the cells with their outputs."""
    done = f"{KERNEL}.status === 'idle' && !document.querySelector('.jp-Cell.jp-mod-pending')"
    wait_for(
        lambda: page.evaluate(f"{done} && {CELLS}.every(c => c.count)") or errors(page),
        PATIENCE,
        "end of the notebook",
    )
    return page.evaluate(CELLS)


def errors(page):
    every = [output for cell in page.evaluate(CELLS) for output in cell["outputs"]]
    return [output["ename"] for output in every if output["output_type"] == "error"]


def outputs_with(cells, kind):
    return [o for cell in cells for o in cell["outputs"] if kind in o.get("data", {})]


def colours(element):
    """Number of different colours in a picture taken of a part of the page."""
    picture = matplotlib.image.imread(io.BytesIO(element.screenshot()))
    return len(np.unique((picture[..., :3] * 255).astype(int).reshape(-1, 3), axis=0))


def test_a_notebook_runs_and_shows_its_figures_and_tables(lab, folder):
    page = lab(CURATION)
    assert page.evaluate(f"{KERNEL}.name") == "python3"
    run_all(page)
    cells = wait_until_done(page)
    assert errors(page) == []
    figures = page.query_selector_all(".jp-OutputArea-output img")
    assert len(figures) == len(outputs_with(cells, "image/png")) >= 3
    for number, figure in enumerate(figures):
        figure.scroll_into_view_if_needed()
        figure.screenshot(path=folder / f"figure-{number}.png")
        size = figure.evaluate("image => [image.naturalWidth, image.clientWidth]")
        assert min(size) > 200
        assert colours(figure) > 50, "the figure is blank"
    tables = page.query_selector_all(".jp-OutputArea-output table")
    assert len(tables) == len(outputs_with(cells, "text/html")) >= 5
    assert all(table.query_selector_all("td") for table in tables)
    assert tables[-1].is_visible() and "291,884" in tables[-1].inner_text()
    page.screenshot(path=folder / "notebook.png")
    manifest = json.loads((folder.parent / "runs" / "smoke" / "manifest.json").read_text())
    assert manifest["by_hand"][CURATION]["device"] == "cpu"


def test_an_interrupt_leaves_nothing_half_written_and_running_again_goes_on(lab, folder):
    run_dir = folder.parent / "runs" / "smoke"
    page = lab(TRAINING)
    run_all(page)
    wait_for(lambda: page.evaluate(f"{KERNEL}.status") == "busy", 60, "busy kernel")
    # a bar for each setting in turn: the second is training once there are two
    bars = ".jp-OutputArea-output .widget-hprogress"
    wait_for(lambda: len(page.query_selector_all(bars)) >= 2, PATIENCE, "second progress bar")
    bar = page.query_selector_all(bars)[0]
    bar.scroll_into_view_if_needed()
    page.screenshot(path=folder / "training.png")
    assert bar.is_visible() and colours(bar) > 1
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    page.keyboard.press("i")
    wait_for(lambda: errors(page), 120, "end of the interrupted cell")
    wait_for(lambda: page.evaluate(f"{KERNEL}.status") == "idle", 60, "idle kernel")
    assert errors(page) == ["KeyboardInterrupt"]
    assert list(run_dir.rglob("*.tmp")) == []
    states = list((run_dir / "checkpoints").rglob("*.safetensors"))
    assert states and all(load(path) for path in states)
    finished = run_dir / "checkpoints" / "oqmd-as-printed"
    written = {path: path.stat().st_mtime_ns for path in finished.iterdir()}

    run_all(page)
    cells = wait_until_done(page)
    assert errors(page) == []
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == written
    assert (run_dir / "tables" / "claims_02.csv").is_file()
    figures = page.query_selector_all(".jp-OutputArea-output img")
    assert len(figures) == len(outputs_with(cells, "image/png")) >= 3
    assert min(colours(figure) for figure in figures) > 50
    assert page.query_selector_all(bars), "the bars are gone"
    assert "Error displaying widget" not in page.inner_text(".jp-Notebook")
