import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from matgan import files
from matgan.__main__ import main as door
from matgan.chemistry.elements import ELEMENTS
from matgan.data.training_set import TrainingData, save_training_data
from matgan.learning.compute import Diverged
from matgan.wgan.checkpoint import Mismatch, State, load_run
from matgan.wgan.config import LEARNING, PAPER, PEER, PUBLISHED_CODE, ConfigError
from matgan.wgan.networks import build_critic, build_generator
from matgan.wgan.training import Loop, train_wgan, untrained_loss

TINY = {"iterations": 6, "batch_size": 8, "critic_steps": 2, "test_every": 3}
SETTINGS = {
    "paper": PAPER.replace(**TINY),
    "published code": PUBLISHED_CODE.replace(**TINY),
    "ours": LEARNING.replace(**TINY, hidden=(16,), head=(16,)),
    "straight-through": LEARNING.replace(
        **TINY, hidden=(16,), generator_gradient="straight-through", final_temperature=0.5
    ),
    "spectral norm": LEARNING.replace(**TINY, hidden=(16,), lipschitz="spectral-norm"),
    "peer": PEER.replace(**TINY),
}


@pytest.fixture(scope="module")
def data(oqmd):
    from matgan.chemistry.composition import amounts_matrix, whole_counts

    counts = whole_counts(amounts_matrix(oqmd["formula"][:500]))
    return TrainingData(counts[:400], counts[400:])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_stopped_run_goes_on_to_the_same_result_bit_for_bit(data, tmp_path, setting):
    config = SETTINGS[setting]
    train_wgan(config, data, tmp_path / "whole", "cpu")

    def stop_at_four(now):
        if now["iteration"] == 5:
            raise KeyboardInterrupt

    # stopped by the hardest means that leaves a checkpoint: the exception flies through the loop
    with pytest.raises(KeyboardInterrupt):
        train_wgan(config, data, tmp_path / "stopped", "cpu", stop_at_four)
    assert files.load(tmp_path / "stopped/checkpoint.safetensors")[1]["iteration"] == "3"
    train_wgan(config, data, tmp_path / "stopped", "cpu")
    assert contents(tmp_path / "whole") == contents(tmp_path / "stopped")
    unseen = files.load(tmp_path / "whole/weights.safetensors")[1]["unseen"].split()
    assert set(unseen) == {
        s for s, seen in zip(ELEMENTS, data.train.any(axis=0), strict=True) if not seen
    }
    assert set(contents(tmp_path / "whole")) == {
        "weights.safetensors", "history.csv", "snapshots.safetensors",
    }  # fmt: skip


def test_another_seed_gives_another_result(data, tmp_path):
    config = SETTINGS["ours"]
    first = train_wgan(config, data, tmp_path / "0", "cpu")
    second = train_wgan(config.replace(seed=1), data, tmp_path / "1", "cpu")
    assert first.history[-1]["test_critic_loss"] != second.history[-1]["test_critic_loss"]


def test_a_finished_run_is_read_not_trained_again(data, tmp_path):
    config = SETTINGS["paper"]
    first = train_wgan(config, data, tmp_path, "cpu")
    before = contents(tmp_path)
    again = train_wgan(config, data, tmp_path, "cpu", lambda now: pytest.fail("trained again"))
    assert contents(tmp_path) == before
    assert str(again.history) == str(first.history)  # nan is not equal to itself
    assert torch.equal(again.critic.T, first.critic.T)
    T = again.snapshots["T"]
    assert T.shape == (len(again.history), 85, 128)
    assert not np.array_equal(T[0], T[-1])


def test_a_run_of_another_configuration_or_other_data_is_refused(data, tmp_path):
    config = SETTINGS["paper"]
    train_wgan(config, data, tmp_path, "cpu")
    with pytest.raises(Mismatch, match=r"clip = 0\.01 there, 0\.1 here"):
        train_wgan(config.replace(clip=0.1), data, tmp_path, "cpu")
    with pytest.raises(Mismatch, match="other data"):
        train_wgan(config, TrainingData(data.train[1:], data.test), tmp_path, "cpu")


def test_clipping_bounds_every_weight_of_the_critic(data, tmp_path):
    run = train_wgan(SETTINGS["paper"].replace(clip=0.003, keep="last"), data, tmp_path, "cpu")
    largest = max(value.abs().max().item() for value in run.critic.parameters())
    assert largest == pytest.approx(0.003)


def test_a_linear_schedule_ends_at_rate_zero(data, tmp_path):
    config = SETTINGS["ours"].replace(generator_lr=0.3, critic_lr=0.2)
    loop = a_loop(config, data, tmp_path)
    for iteration, left in ((0, 1.0), (3, 0.5), (6, 0.0)):
        loop.state.iteration = iteration
        loop.set_rates()
        rates = [o.param_groups[0]["lr"] for o in loop.state.optimizers.values()]
        assert rates == pytest.approx([0.3 * left, 0.2 * left])


def test_the_losses_are_equations_3_and_4_and_the_total_is_a_sum_over_batches(data, tmp_path):
    config = SETTINGS["paper"].replace(iterations=1)
    run = train_wgan(config, data, tmp_path, "cpu")
    torch.manual_seed(config.seed)  # the networks as they were before the first step
    generator, critic = build_generator(config), build_critic(config)
    rng = torch.Generator().manual_seed(config.seed + 1)
    losses = []
    with torch.no_grad():
        for start in range(0, 96, 8):  # the 100 test compositions hold 12 whole batches
            z = torch.randn(8, 128, generator=rng)
            torch.rand(8, 1, generator=rng)
            real = torch.from_numpy(data.test[start : start + 8]).float()
            fake = generator(z) @ torch.arange(1.0, 9.0)
            losses.append((critic(fake).mean() - critic(real).mean()).item())  # Equation 4
    first = run.history[0]
    assert first["iteration"] == 0
    assert first["test_total_loss"] == pytest.approx(np.abs(losses).sum(), rel=1e-5)
    assert first["test_critic_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert untrained_loss(run.config, data, "cpu") == first["test_total_loss"]


def a_loop(config, data, folder):
    device = torch.device("cpu")
    return Loop(config, data, "", folder, device, State(config, device), None)


def test_the_average_follows_the_generator_slowly(data, tmp_path):
    loop = a_loop(SETTINGS["ours"].replace(average=0.9), data, tmp_path)
    expected = {k: v.double() for k, v in loop.state.generator.state_dict().items()}
    for _ in range(4):
        loop.step()
        new = loop.state.generator.state_dict()
        expected = {name: 0.9 * old + 0.1 * new[name] for name, old in expected.items()}
    for name, value in loop.state.average.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(
        expected["to_count.weight"], new["to_count.weight"].double(), atol=1e-4
    )


def test_the_likelihood_teaches_what_is_written(data, tmp_path):
    """Compositions of the test set become more probable, and by more than from the critic alone."""
    seen = {}
    for weight in (0.0, 1.0):
        config = SETTINGS["ours"].replace(likelihood=weight, iterations=30, slots=3, average=0.0)
        loop = a_loop(config, data, tmp_path)
        fits = loop.test[(loop.test > 0).sum(1) <= 3]
        z = torch.randn(len(fits), config.latent_dim, generator=torch.Generator().manual_seed(0))
        assert ((loop.fitting > 0).sum(1) <= 3).all() and len(loop.fitting) < len(loop.train)
        before = loop.state.generator.log_probability(z, fits).mean().item()
        for _ in range(config.iterations):
            loop.step()
        seen[weight] = loop.state.generator.log_probability(z, fits).mean().item() - before
    assert seen[1.0] > 1 and seen[1.0] > seen[0.0] + 0.2, seen  # nats


def test_a_share_of_the_fakes_are_real_compositions_with_a_swapped_element(
    data, tmp_path, monkeypatch
):
    from matgan.wgan import training

    true_loss, fakes, share = training.critic_loss, [], 0.25

    def watched(critic, config, real, fake, mix):
        fakes.append(fake.clone())
        return true_loss(critic, config, real, fake, mix)

    monkeypatch.setattr(training, "critic_loss", watched)
    config = SETTINGS["ours"].replace(negatives=share, critic_steps=3)
    a_loop(config, data, tmp_path).update_critic()
    assert [len(fake) for fake in fakes] == [config.batch_size] * 3
    train = torch.from_numpy(data.train).float()
    for fake in fakes:  # two amounts differ, and nothing else
        distance = (fake[:, None] != train[None]).sum(2).min(dim=1).values
        swapped = round(share * config.batch_size)
        assert (distance[-swapped:] <= 2).all()
        assert (distance[:-swapped] > 2).any()  # the untrained generator's


def test_the_total_is_of_absolute_values_and_the_mean_is_not(data, tmp_path, monkeypatch):
    """The authors' code adds the absolute values of the batches' losses."""
    from matgan.wgan import training

    losses = iter([1.0, -2.0, 3.0, -4.0])
    monkeypatch.setattr(training, "critic_loss", lambda *_: torch.tensor(next(losses)))
    loop = a_loop(SETTINGS["paper"].replace(test_batches=4), data, tmp_path)
    total, mean, _ = loop.test_loss()
    assert total == pytest.approx(10 * 12 / 4)  # scaled to the 12 batches of the test set
    assert mean == pytest.approx(-0.5)


def test_the_reference_schedule_takes_100_critic_steps_25_times_and_every_500th(data, tmp_path):
    config = SETTINGS["ours"].replace(critic_schedule="reference", critic_steps=5)
    loop = a_loop(config, data, tmp_path)
    for iteration, rounds in ((0, 20), (24, 20), (25, 1), (499, 1), (500, 20), (501, 1)):
        loop.state.iteration = iteration
        assert loop.rounds() * config.critic_steps == rounds * 5
    loop.state.iteration = 500
    loop.step()
    assert loop.images == 100 * config.batch_size


def test_a_diverged_run_names_the_iteration_and_keeps_the_last_good_state(
    data, tmp_path, monkeypatch
):
    from matgan.wgan import training

    true_loss, calls = training.critic_loss, []

    def fails_late(critic, config, real, fake, mix):
        loss = true_loss(critic, config, real, fake, mix)
        if torch.is_grad_enabled() and loss.requires_grad:
            calls.append(1)
        training_steps = len(calls) - 12 * 4  # looks at iterations 0, 1, 2 and 3
        return loss * float("nan") if training_steps > 8 else loss

    monkeypatch.setattr(training, "critic_loss", fails_late)
    with pytest.raises(Diverged, match=r"iteration 5;.*checkpoint\.safetensors"):
        train_wgan(SETTINGS["paper"], data, tmp_path, "cpu")
    assert files.load(tmp_path / "checkpoint.safetensors")[1]["iteration"] == "3"


def test_ctrl_c_finishes_the_iteration_saves_and_stops(data, tmp_path):
    config = SETTINGS["ours"].replace(iterations=100_000, test_every=50_000)

    def press():
        while not (tmp_path / "checkpoint.safetensors").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    with pytest.raises(KeyboardInterrupt, match=r"stopped at iteration \d+; run again"):
        train_wgan(config, data, tmp_path, "cpu")
    assert int(files.load(tmp_path / "checkpoint.safetensors")[1]["iteration"]) > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_damaged_checkpoint_is_named(data, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x80\x04 no tensors")
    with pytest.raises(files.WeightsError, match=r"checkpoint\.safetensors"):
        train_wgan(SETTINGS["paper"], data, tmp_path, "cpu")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load_run(tmp_path / "elsewhere")


def test_too_little_data_for_a_batch_is_named(data, tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 256, but there are 400 training and 100"):
        train_wgan(PAPER, data, tmp_path, "cpu")


BARE = """
import sys
absent = "pandas tqdm sklearn pymatgen smact pooch scipy matplotlib"
sys.modules.update(dict.fromkeys(absent.split()))  # None: an import of it fails
from matgan.__main__ import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


def command(*words):
    words = [str(word) for word in words]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def test_the_command_trains_where_there_are_only_torch_numpy_and_safetensors(data, tmp_path):
    save_training_data(tmp_path / "d.npz", data)
    options = ["--iterations", 4, "--batch-size", 8, "--head", "16,8", "--device", "cpu"]
    done = command("-c", BARE, tmp_path / "d.npz", "--out", tmp_path / "r", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iteration"] == 4
    # what it leaves is accepted as a finished run of the same configuration here
    config = LEARNING.replace(iterations=4, batch_size=8, head=(16, 8))
    run = train_wgan(config, data, tmp_path / "r", "cpu", lambda now: pytest.fail("trained again"))
    with open(tmp_path / "r/history.csv") as file:
        assert len(list(csv.DictReader(file))) == len(run.history)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lipschitz", "hope"], "ConfigError: lipschitz must be one of clip, gradient-penalty, "),
        ([], "there is no file d.npz; notebook 1 writes"),
    ],
)
def test_the_command_names_a_bad_option_and_missing_data(options, message, tmp_path, capsys):
    assert door(["train", "d.npz", "--out", str(tmp_path / "r"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.cuda
@pytest.mark.parametrize("setting", SETTINGS)
def test_cuda_gives_the_cpus_first_losses(data, tmp_path, setting):
    config = SETTINGS[setting].replace(
        iterations=1,
        output="sigmoid",
        architecture="deconvolution",
        generator_gradient="straight-through",
    )
    torch.backends.cuda.matmul.allow_tf32 = False
    on_cuda = train_wgan(config, data, tmp_path / "cuda", "cuda").history[0]
    assert np.isfinite(on_cuda["test_critic_loss"])
    assert on_cuda["effective_rank"] == pytest.approx(
        train_wgan(config, data, tmp_path / "cpu", "cpu").history[0]["effective_rank"], rel=1e-4
    )


@pytest.mark.cuda
def test_a_run_stopped_on_cuda_goes_on(data, tmp_path):
    config = SETTINGS["ours"].replace(iterations=12)

    def stop(now):
        if now["iteration"] == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_wgan(config, data, tmp_path, "cuda", stop)
    assert train_wgan(config, data, tmp_path, "cuda").history[-1]["iteration"] == 12
