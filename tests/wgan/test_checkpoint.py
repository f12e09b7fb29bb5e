"""Weights and checkpoints of the WGAN: what is read back, and what is refused."""

import json

import numpy as np
import pytest
import torch

from matgan import files
from matgan.chemistry.elements import ELEMENTS
from matgan.files import PRETRAINED, WeightsError
from matgan.wgan.checkpoint import State, batch_statistics, load_networks, make_optimizer
from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE
from matgan.wgan.networks import build_critic, build_generator

CPU = torch.device("cpu")
SMALL = LEARNING.replace(hidden=(8,), head=(8,), embedding_dim=4)


def step(state, seed):
    """One update of both networks, on a loss that only needs to move every weight."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(4, 128, generator=rng)
    matrix = state.generator(z, state.rng, 1.0)
    loss = state.critic(state.critic.of_matrix(matrix)).square().mean()
    for optimizer in state.optimizers.values():
        optimizer.zero_grad()
    loss.backward()
    for optimizer in state.optimizers.values():
        optimizer.step()


def metadata(config, **more):
    elements = " ".join(ELEMENTS)
    return {"config": config.to_json(), "data": "abc", "elements": elements, **more}


def saved(folder, state, config):
    more = {"iteration": "7", "best": "inf", "history": json.dumps([{"iteration": 7}])}
    files.save(folder / "checkpoint.safetensors", state.tensors(), metadata(config, **more))
    return folder / "checkpoint.safetensors"


@pytest.mark.parametrize("config", [PAPER, PUBLISHED_CODE, SMALL, PEER], ids=range(4))
def test_a_state_comes_back_bit_for_bit_and_goes_on_alike(tmp_path, config):
    first = State(config, CPU)
    step(first, 0)
    for name in first.snapshots:
        first.snapshots[name].append(np.arange(3))
    again = State(config.replace(seed=5), CPU)
    path = saved(tmp_path, first, config)
    again.restore(path, *files.load(path))
    assert (again.iteration, again.best, again.history) == (7, float("inf"), [{"iteration": 7}])
    for state in (first, again):
        step(state, 1)
    expected, found = first.tensors(), again.tensors()
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_names_in_a_checkpoint_are_those_of_earlier_versions(tmp_path):
    """A training that was started with an earlier version goes on with this one."""
    state = State(SMALL, CPU)
    step(state, 0)
    networks = {"generator", "critic", "average", "generator-optimizer", "critic-optimizer"}
    assert {name.split(".")[0] for name in state.tensors()} == networks | {"rng", "losses"}
    assert state.tensors()["critic-optimizer.0.exp_avg"].shape == (4, 85)
    assert "generator.to_count.weight" in state.tensors()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("critic.head.0.weight", r"it lacks critic\.head\.0\.weight"),
        ("rng", "is no whole checkpoint: KeyError.'rng'"),
        ("snapshots.T", r"is no whole checkpoint: KeyError.'snapshots\.T'"),
    ],
)
def test_a_checkpoint_without_a_part_is_named(tmp_path, name, message):
    state = State(SMALL, CPU)
    for key in state.snapshots:
        state.snapshots[key].append(np.arange(3))
    tensors, facts = files.load(saved(tmp_path, state, SMALL))
    del tensors[name]
    with pytest.raises(WeightsError, match=rf"here .*{message}"):
        State(SMALL, CPU).restore("here", tensors, facts)


def test_a_run_may_go_on_on_another_kind_of_device(tmp_path):
    """The state of CUDA's generator has 16 bytes; the CPU's cannot take it and is seeded anew."""
    state = State(SMALL, CPU)
    step(state, 0)
    for key in state.snapshots:
        state.snapshots[key].append(np.arange(3))
    tensors, facts = files.load(saved(tmp_path, state, SMALL))
    tensors["rng"] = np.arange(16, dtype=np.uint8)
    ways = []
    for _ in range(2):
        again = State(SMALL, CPU)
        again.restore("here", tensors, facts)
        ways.append(torch.rand(3, generator=again.rng))
    assert torch.equal(*ways)
    assert again.iteration == int(facts["iteration"])
    expected = torch.Generator().manual_seed(SMALL.seed + again.iteration)
    assert torch.equal(ways[0], torch.rand(3, generator=expected))
    tensors["rng"] = np.arange(17, dtype=np.uint8)  # of no kind
    with pytest.raises(WeightsError, match="no whole checkpoint"):
        State(SMALL, CPU).restore("here", tensors, facts)


# --- weights --------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    """File of small weights; a function that writes it with changes."""
    path = tmp_path / "weights.safetensors"
    networks = {"generator": build_generator(SMALL), "critic": build_critic(SMALL)}
    tensors = {
        f"{name}.{key}": value.numpy()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }

    def write(change=None, **facts):
        files.save(path, tensors | (change or {}), metadata(SMALL) | facts)
        return path

    return write


def test_weights_come_back_without_touching_torchs_random_numbers(weights):
    path = weights()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    config, generator, critic = load_networks(path)
    assert torch.equal(torch.rand(1), expected)
    assert config == SMALL
    assert not generator.training and not critic.training
    tensors, _ = files.load(path)
    for name, value in critic.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), tensors[f"critic.{name}"])


@pytest.mark.parametrize(
    "path", sorted(PRETRAINED.glob("wgan-*.safetensors")), ids=lambda p: p.stem
)
def test_the_weights_that_come_along_are_whole(path):
    config, generator, critic = load_networks(path)
    with torch.no_grad():
        matrix = generator(torch.randn(2, config.latent_dim), torch.Generator(), 1.0)
        assert critic(critic.of_matrix(matrix)).isfinite().all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"hidden": "x"}', r"holds no sound configuration: hidden must list"),
        ("[1]", "holds no sound configuration"),
        (SMALL.replace(hidden=(16,)).to_json(), "has the shape"),
        (SMALL.replace(hidden=(8, 8)).to_json(), "it lacks generator.body"),
        (PAPER.to_json(), "does not fit its network"),
        (SMALL.replace(hidden=(20_000, 20_000)).to_json(), "does not fit its network"),
        (SMALL.replace(hidden=(2**40,)).to_json(), "does not fit|networks that cannot be"),
        (SMALL.replace(hidden=(2**62,)).to_json(), "does not fit|networks that cannot be"),
        (SMALL.replace(hidden=(2**70,)).to_json(), "does not fit|networks that cannot be"),
    ],
)
def test_weights_that_ask_for_more_than_they_hold_are_refused(weights, config, message):
    import resource

    path = weights(config=config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=rf"weights\.safetensors .*({message})"):
        load_networks(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB; 20,000 x 20,000 weights take 1.6 million


def test_other_weights_are_refused(weights):
    with pytest.raises(WeightsError, match="other elements than"):
        load_networks(weights(elements="H He"))
    with pytest.raises(WeightsError, match=r"NaN or infinite numbers in critic\.head\.2\.bias"):
        load_networks(weights({"critic.head.2.bias": np.array([np.nan], np.float32)}))
    with pytest.raises(WeightsError, match=r"holds the unknown generator\.x"):
        load_networks(weights({"generator.x": np.zeros(1)}))
    with pytest.raises(FileNotFoundError):
        load_networks("nowhere.safetensors")


# --- parts ----------------------------------------------------------------------------------------


def test_looking_at_the_test_set_leaves_the_generator_as_it_was():
    torch.manual_seed(0)
    generator = build_generator(PAPER)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with batch_statistics(generator), torch.no_grad():
        generator(torch.randn(4, 128))
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name
    generator(torch.randn(4, 128))
    assert not torch.equal(generator.norms[0].running_mean, before["norms.0.running_mean"])


def test_the_optimisers_are_those_of_the_paper_and_of_its_code():
    parameter = torch.nn.Parameter(torch.zeros(1))
    rmsprop = make_optimizer("rmsprop", [parameter], 0.01, CPU)
    assert isinstance(rmsprop, torch.optim.RMSprop)
    adam = make_optimizer("adam", [parameter], 1e-4, CPU)
    assert isinstance(adam, torch.optim.Adam)
    assert adam.param_groups[0]["betas"] == (0.5, 0.9)
    assert rmsprop.param_groups[0]["lr"] == 0.01
