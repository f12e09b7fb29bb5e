"""Small sound files of many kinds, and damaged copies of files, for the tests of readers."""

import io
import re
import zipfile

import numpy as np

ROWS = b"".join(b"%d 5 1\n" % i for i in range(10, 22))
PATTERN_FILES = [  # 12 points each; small whole files of the formats that are text
    b"title\n# wavelength 0.4\nBANK 1 12 2 CONST 1000 5 0 0 STD\n" + b"     123" * 12,
    b"title\nBANK 1 12 12 CONST 1000 5 0 0 FXYE\n" + ROWS,
    b"_FILEVERSION=2\n_STEPTIME=1\n_STEPSIZE=0.5\n_START=10\n_COUNTS\n" + b"5 " * 12,
    b'*RAS_HEADER_START\n*MEAS_DATA_COUNT "12.0"\n*RAS_INT_START\n' + ROWS + b"*RAS_INT_END\n",
    b"*TYPE = Raw\n*BEGIN\n*START = 10\n*STEP = 0.5\n*COUNT = 12\n" + b"5, " * 12 + b"\n*END\n",
    b"data_a\n_pd_meas_2theta_range_min 10\n_pd_meas_2theta_range_inc 0.5\n"
    b"loop_\n_pd_meas_counts_total\n" + b"5(1)\n" * 12,
    b"# q_nm^-1 I e\n# wavelength: 1.54\n" + ROWS,
    ROWS.replace(b" 5 ", b",5;"),
]
ODD = [b"inf", b"nan", b"-1", b"1e400", b"9" * 5000, "²".encode(), b"1_0", b"", b"0", b"1e18"]
ODD += [b"x", b",", b";"]


def damaged(contents, n, seed):
    """n damaged copies of files: cut, overwritten, repeated, shortened, a number made odd."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        data = bytearray(contents[rng.integers(len(contents))])
        data = data[: 40_000 + rng.integers(2) * len(data)]
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(max(1, min(len(data), 3000 if rng.random() < 0.5 else 10**9))))
            size = int(rng.integers(1, 9))
            kind = rng.integers(5)
            if kind == 0:
                data = data[:at]
            elif kind == 1:
                data[at : at + size] = rng.bytes(size)
            elif kind == 2:
                del data[at : at + size]
            elif kind == 3:
                data[at : at + size] = data[at : at + size] * 3
            elif found := re.search(rb"[0-9.]+", data[at:]):
                first, last = found.span()
                data[at + first : at + last] = ODD[rng.integers(len(ODD))]
        yield bytes(data)


def npz(members, compressed=False):
    """Bytes of an archive of {name: bytes of a .npy file}; its checksums are right."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array):
    """Bytes of one array, as `numpy.save` writes it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
