"""What a release says of itself: hashes of weights, bill of materials, where it runs."""

import json
import re
import subprocess
import sys

from matgan.data.sources import SOURCES
from matgan.files import PRETRAINED, sha256
from matgan.study.run import PROJECT as ROOT


def sums():
    lines = (PRETRAINED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digits for digits, name in (line.split() for line in lines)}


def test_pretrained_weights_are_the_listed_ones():
    """After a training: cd matgan/pretrained && sha256sum *.safetensors >SHA256SUMS"""
    assert sums() == {path.name: sha256(path) for path in PRETRAINED.glob("*.safetensors")}


def test_the_bill_of_materials_names_all_that_is_used():
    command = [sys.executable, ROOT / ".ci" / "sbom"]
    first, second = (subprocess.run(command, capture_output=True, check=True) for _ in range(2))
    assert first.stdout == second.stdout
    bill = json.loads(first.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    found = {kind: {} for kind in ("library", "machine-learning-model", "data")}
    for part in bill["components"]:
        found[part["type"]][part["name"]] = part
    locks = [(ROOT / lock).read_text("utf-8") for lock in ("requirements.lock", "torch.lock")]
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", "\n".join(locks), re.MULTILINE))
    assert {name: part["version"] for name, part in found["library"].items()} == pins
    assert found["library"]["torch"]["purl"] == f"pkg:pypi/torch@{pins['torch']}"
    hashes = {
        kind: {name: part["hashes"][0]["content"] for name, part in found[kind].items()}
        for kind in ("machine-learning-model", "data")
    }
    assert hashes["machine-learning-model"] == sums()
    assert hashes["data"] == {source.file: source.sha256 for source in SOURCES.values()}
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(set(references)) == len(references)


def test_it_is_said_that_the_study_needs_posix():
    assert "Operating System :: POSIX" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.search(r"Linux or macOS.*Windows.*WSL", guide)
