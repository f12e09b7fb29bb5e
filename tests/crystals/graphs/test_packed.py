import numpy as np
import pytest
import torch

from matgan import files
from matgan.crystals.graphs.neighbours import crystal_graphs
from matgan.crystals.graphs.network import CrystalGraphNetwork
from matgan.crystals.graphs.packed import GraphsOnDevice, pack, read_graphs, write_graphs


@pytest.fixture(scope="module")
def graphs(crystals):
    """Graphs of forty structures of all sizes."""
    return crystal_graphs(crystals.take(np.arange(0, 48_000, 1200)))


def test_batches_are_those_of_the_graphs(graphs):
    source = GraphsOnDevice(pack(graphs), np.arange(len(graphs)))
    rows = np.array([31, 2, 17, 5])
    found, targets = source.batch(rows, [0])
    numbers, edges, distances, images, graph = graphs.batch(rows)
    assert targets.tolist() == rows.tolist()
    for one, other in zip(found, (numbers, edges, None, images, graph), strict=True):
        assert other is None or torch.equal(one, other)
    assert (found[2] - distances).abs().max() <= 0.5e-3 + 1e-6
    torch.manual_seed(0)
    network = CrystalGraphNetwork({"value": 1}).eval()
    packed, whole = (network(*batch)["value"] for batch in (found, graphs.batch(rows)))
    torch.testing.assert_close(packed, whole, atol=0, rtol=3e-4)


def test_some_graphs_are_taken_and_a_file_keeps_them(graphs, tmp_path):
    rows = np.array([7, 3, 30])
    some = pack(graphs).take(rows)
    write_graphs(tmp_path / "g.npz", some)
    kept = read_graphs(tmp_path / "g.npz")
    found, _ = GraphsOnDevice(kept, np.zeros(3)).batch(np.arange(3), [0])
    expected, _ = GraphsOnDevice(pack(graphs), np.zeros(len(graphs))).batch(rows, [0])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_what_cannot_be_packed_or_read_is_refused(graphs, tmp_path):
    with pytest.raises(ValueError, match="merged graphs"):
        pack(graphs.merged())
    arrays = vars(pack(graphs))
    np.savez(tmp_path / "g.npz", **arrays | {"degrees": arrays["degrees"][:-1]})
    with pytest.raises(files.ArraysError, match="do not fit together"):
        read_graphs(tmp_path / "g.npz")
