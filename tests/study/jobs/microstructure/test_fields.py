import numpy as np

from matgan.microstructure.statistics import lineal_path
from matgan.study.jobs.microstructure import fields as job


def test_fields_are_numbered_and_keep_their_length():
    same = job.field(3, 32)
    np.testing.assert_array_equal(job.fields([3, 4], 32)[0], same)
    assert same.mean() == 0.5 and not np.array_equal(job.field(4, 32), same)
    short, long = (
        lineal_path(job.fields(range(8), 64, x), 0, 32, dimensions=2).mean(0) for x in (2, 8)
    )
    assert (long[1:] > short[1:]).all()
