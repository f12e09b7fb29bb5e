import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from matgan import files
from matgan.powder.classifier import class_labels
from matgan.powder.measured.material import (
    MEASURED_PARTS,
    MeasuredMaterial,
    read_material,
    write_material,
)
from matgan.powder.measured.preparation import reflection_lists


@pytest.fixture
def material(crystals):
    lists = reflection_lists(crystals.take(np.arange(0, 40_000, 4000)))
    rng = np.random.default_rng(0)
    return MeasuredMaterial(
        lists,
        np.array([0, 1, 2, 0, 0, 0, 0, 0, 0, 2], dtype=np.int8),
        np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], dtype=bool),
        rng.integers(0, 256, (4, 1700)).astype(np.uint8),
        np.array([225, 62, 1, 14], dtype=np.int16),
        np.array([0, 1, 1, 3], dtype=np.int8),
        np.array([0.1, 0.2, np.nan, 0.1], dtype=np.float32),
        np.zeros(4, dtype=np.float32),
        np.zeros(4, dtype=bool),
    )


def test_it_is_read_as_it_was_written(material, tmp_path):
    write_material(tmp_path / "m.npz", material)
    read = read_material(tmp_path / "m.npz")
    assert np.array_equal(read.codes, material.codes)
    assert np.array_equal(read.width, material.width, equal_nan=True)
    assert read.learnable().tolist() == [0, 1, 4, 5, 6, 7, 8]  # no test structure, none barred
    assert read.measured("rest").tolist() == [1, 2] and MEASURED_PARTS[3] == "calculated"
    assert np.array_equal(read.classes, class_labels([225, 62, 1, 14]))
    assert read.patterns.max() <= 1 and read.patterns.dtype == np.float32


def test_a_missing_or_wrong_file_is_named(material, tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(FileNotFoundError, match="prepare-patterns --out"):
        read_material(path)
    write_material(path, replace(material, split=material.split[:3]))
    with pytest.raises(files.ArraysError, match="split has 3 rows"):
        read_material(path)


WITHOUT = """
import sys
class Refused:
    def find_spec(self, name, *_):
        if name.split('.')[0] in {'pymatgen', 'smact', 'lightgbm', 'spglib', 'pybaselines', 'ase'}:
            raise ModuleNotFoundError(f'no {name}', name=name)
sys.meta_path.insert(0, Refused())
from pathlib import Path
from matgan.study.jobs.powder import measured
given = measured.material(Path(sys.argv[1]))
measured.SIMULATED = 2
choice = measured.replace(measured.CHOICES['new'], batch_size=4)
network, curve = measured.learn(choice, 14, 0, given)
from matgan.study.jobs.runner import known_jobs
assert 'measured-final' in known_jobs()
print(len(curve), 'pymatgen' in sys.modules)
"""


def test_a_training_needs_no_package_of_crystals(material, tmp_path):
    """Also none that only other jobs need: the jobs that can run are known."""
    write_material(tmp_path / "m.npz", material)
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "m.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows, imported = done.stdout.split()
    assert int(rows) >= 1 and imported == "False"
    assert "without the jobs of" in done.stderr
