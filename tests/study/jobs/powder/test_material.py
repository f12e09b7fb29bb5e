import os
import subprocess
import sys

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.crystals.symmetry import prototypes
from matgan.files import ArraysError
from matgan.powder.classifier import class_labels
from matgan.study.jobs.powder import material as job
from matgan.study.jobs.powder.material import LONG, Setting


def prepared(tmp_path):
    """The arrays that the job leaves."""
    folder = tmp_path / "jobs" / job.NAME
    for part in job.WRITERS:
        (folder / part).mkdir(parents=True)
        (row,) = job.material_piece(part, folder / part)
        assert row["part"] == part and row["megabytes"] > 0
    for cache in (job.all_structures, job.material, job.graphs):
        cache.cache_clear()
    return folder


def test_arrays_give_what_the_data_give(few, tmp_path, monkeypatch):
    setting = Setting(train_rows=100, test_rows=30)
    made, graphs, codes = job.material(setting), job.graphs(setting), job.material(setting).codes
    prepared(tmp_path)
    monkeypatch.setattr(job, "load_structures", None)
    monkeypatch.setattr(job.patterns, "patterns", None)
    monkeypatch.setattr(job, "crystal_graphs", None)
    read = job.material(setting)
    np.testing.assert_array_equal(read.codes, codes)
    np.testing.assert_array_equal(read.classes, made.classes)
    np.testing.assert_array_equal(read.classes, class_labels(few.table["space_group"])[read.rows])
    assert read.counts == made.counts == {
        "crystal_system": 7, "extinction_group": 101, "space_group": 230
    }  # fmt: skip
    for split in job.HOW_SPLIT:
        np.testing.assert_array_equal(read.test[split], made.test[split])
    for name, array in vars(job.graphs(setting)).items():
        np.testing.assert_array_equal(array, getattr(graphs, name))


def test_amounts_are_those_of_the_formulas(few):
    one = job.material(LONG)
    amounts, inside = one.amounts()
    expected, bad = amounts_matrix(one.crystals.formulas(), "nan", report=True)
    np.testing.assert_array_equal(amounts[inside], expected[inside])
    assert np.flatnonzero(~inside).tolist() == sorted(bad["row"])


def test_validation_structures_are_none_that_are_tested_on(few):
    tested, chosen = job.material(LONG), job.material(Setting(train_rows=0, asked="val"))
    asked = chosen.test["MEGNet"]
    assert (chosen.crystals.table["split"][asked] == "val").all() and asked.sum() == 50
    assert not set(chosen.rows[asked]) & set(tested.rows)
    keys, test = prototypes(tested.crystals), tested.test["prototypes apart"]
    assert not set(keys[test]) & set(keys[~test])


def test_patterns_of_other_structures_are_refused(few, tmp_path):
    folder = prepared(tmp_path)
    path = folder / "patterns" / "arrays.npz"
    codes = np.load(path)["codes"]
    np.savez(path, codes=codes[:-1])
    with pytest.raises(ArraysError, match="not those of the structures"):
        _ = job.material(LONG).codes


WITHOUT = """
import sys
from pathlib import Path
class Refused:
    def find_spec(self, name, *_):
        if name.split('.')[0] in {'pymatgen', 'smact', 'lightgbm', 'spglib', 'pybaselines', 'ase'}:
            raise ModuleNotFoundError(f'no {name}', name=name)
sys.meta_path.insert(0, Refused())
from matgan.study.jobs.runner import known_jobs
assert {'pattern-symmetry', 'pattern-properties', 'pattern-latent'} <= set(known_jobs())
from matgan.study.jobs.powder import latent, material, patterns, properties
material.WORK = Path(sys.argv[1])
small = material.Setting(train_rows=60, test_rows=20, batch_size=16)
for name in ('FCN', 'CGCNN', 'nearest pattern'):
    assert len(patterns.symmetry_piece(name, 'prototypes apart', small, 1, 0)) == 3
for way in (properties.BOTH, properties.GRAPH, 'composition, WGAN T'):
    assert len(properties.property_rows(way, small, 1, 0)) == 2
assert len(latent.latent_space('VAE', 2, small, 1, 0)) == 80

for cache in (material.material, material.graphs):
    cache.cache_clear()
(material.WORK / material.NAME / 'patterns' / 'arrays.npz').unlink()  # graphs need none
assert len(patterns.symmetry_piece('CGCNN', 'MEGNet', small, 1, 0)) == 3
assert len(properties.property_rows(properties.GRAPH, small, 1, 0)) == 2
print('pymatgen' in sys.modules, 'spglib' in sys.modules)
"""


def test_what_trains_on_arrays_needs_no_package_of_crystals_and_no_data(few, tmp_path):
    prepared(tmp_path)
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "jobs")]
    nothing = {"MATGAN_DATA": str(tmp_path), "MATGAN_CACHE": str(tmp_path), "MATGAN_DEVICE": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | nothing)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False"]
