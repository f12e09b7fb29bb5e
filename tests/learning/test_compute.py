"""Devices, learning rates against torch's schedulers, progress, Ctrl-C, full memory."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import joblib
import numba
import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from matgan.learning import compute
from matgan.learning.compute import DeviceError, device, fast_precision, learning_rate, on_all_cores
from matgan.learning.regressor import FullyConnectedRegressor

# --- devices --------------------------------------------------------------------------------------


@pytest.fixture
def cuda(monkeypatch):
    """Sets whether torch finds a CUDA device; `MATGAN_DEVICE` is not set."""
    monkeypatch.delenv("MATGAN_DEVICE", raising=False)
    return lambda found: monkeypatch.setattr(torch.cuda, "is_available", lambda: found)


@pytest.mark.parametrize(
    ("found", "environment", "choice", "expected"),
    [
        (True, "", "auto", "cuda"),
        (False, "", "auto", "cpu"),
        (True, "cpu", "auto", "cpu"),
        (True, "auto", "auto", "cuda"),
        (True, "cuda", "auto", "cuda"),
        (True, "cuda", "cpu", "cpu"),  # what is asked for here comes before the environment
        (True, "cpu", "cuda", "cuda"),
        (False, "cuda", "cpu", "cpu"),
    ],
)
def test_the_device(cuda, monkeypatch, found, environment, choice, expected):
    cuda(found)
    monkeypatch.setenv("MATGAN_DEVICE", environment)
    assert device(choice) == expected


def test_a_device_that_is_not_there_is_named_with_who_asked_for_it(cuda, monkeypatch):
    cuda(False)
    with pytest.raises(DeviceError, match=r"^device is 'cuda', but torch finds no CUDA device"):
        device("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match="is a build for the CPU"):
        device("cuda")
    monkeypatch.setenv("MATGAN_DEVICE", "cuda")
    with pytest.raises(DeviceError, match=r"^MATGAN_DEVICE is 'cuda', but torch finds no"):
        device()


@pytest.mark.parametrize("choice", ["gpu", "cuda:1", "CPU", "", None])
def test_an_unknown_device_is_named(cuda, monkeypatch, choice):
    with pytest.raises(DeviceError, match="device must be 'auto', 'cpu' or 'cuda', not"):
        device(choice)
    if choice:
        monkeypatch.setenv("MATGAN_DEVICE", choice)
        with pytest.raises(DeviceError, match=f"MATGAN_DEVICE must be .*, not '{choice}'"):
            device()


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="Linux names the instructions")
def test_bfloat16_is_taken_where_the_processor_multiplies_it():
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    has = "avx512_bf16" in flags or "amx_tile" in flags
    assert fast_precision("cpu") == ("bfloat16" if has else "float32")


# --- learning rates -------------------------------------------------------------------------------

STEPS = 50  # a fifth of them are whole steps


def of_torch(make, steps=STEPS):
    """Learning rates that a scheduler of torch gives, the highest being 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rise_and_fall(first, low):
    def make(optimizer):
        rise = LinearLR(optimizer, start_factor=first, total_iters=STEPS // 5)
        fall = CosineAnnealingLR(optimizer, STEPS - STEPS // 5, eta_min=low)
        return SequentialLR(optimizer, [rise, fall], [STEPS // 5])

    return make


SCHEDULERS = {
    "constant": lambda optimizer: LinearLR(optimizer, 1, 1),
    "linear": lambda optimizer: LinearLR(optimizer, 1, 0, total_iters=STEPS),
    "one-cycle": rise_and_fall(0.05, 0.0),
    "warm-up": rise_and_fall(1 / (STEPS // 5 + 1), 0.0),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_a_schedule_is_that_of_torchs_schedulers(schedule):
    found = [learning_rate(schedule, step, STEPS) for step in range(STEPS)]
    expected = of_torch(SCHEDULERS[schedule])
    if schedule == "one-cycle":  # never quite 0 on its way down
        expected[STEPS // 5 :] = [rate + 1e-3 for rate in expected[STEPS // 5 :]]
    assert found == pytest.approx(expected, abs=1e-9)


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="one of constant, linear, one-cycle, warm-up, not 'step'"):
        learning_rate("step", 0, 1)


# --- progress, interrupts, memory -----------------------------------------------------------------


def test_subnormal_numbers_are_zero_inside_and_only_there():
    def product() -> float:
        return float(torch.tensor([1e-30]) * torch.tensor([1e-10]))

    with pytest.raises(RuntimeError), compute.subnormals_as_zero():
        assert product() == 0 and float(torch.tensor([1e-30]) * 2) > 0
        raise RuntimeError
    assert product() > 0


def test_ctrl_c_is_remembered_and_a_second_one_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), compute.deferred_interrupt() as pressed:
        assert not pressed()
        os.kill(os.getpid(), signal.SIGINT)
        assert pressed()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_hears_no_ctrl_c():
    heard = []

    def work():
        with compute.deferred_interrupt() as pressed:
            heard.append(pressed())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]


def test_a_bar_shows_what_it_is_told(capsys):
    with compute.progress_bar(10) as show:
        show({"iteration": 10, "critic_loss": 0.125})
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert "critic loss 0.125" in shown


def test_without_tqdm_a_bar_is_lines(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with compute.progress_bar(10) as show:
        show({"iteration": 3, "loss": 2.5})
    assert json.loads(capsys.readouterr().err) == {"iteration": 3, "loss": 2.5}


def test_full_memory_advises_a_smaller_batch():
    with (
        pytest.raises(torch.OutOfMemoryError, match=r"batch_size = 32: choose a smaller .*2 GiB"),
        compute.progress_bar(1, batch_size=32),
    ):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")


# --- jobs side by side ----------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X, Y = RNG.random((200, 5)), RNG.random(200)


def fitted(seed, epochs):
    """Weights of a network, and on how many threads it was trained."""
    network = FullyConnectedRegressor((8,), epochs=epochs, random_state=seed, device="cpu")
    return network.fit(X, Y).coefs_[0], torch.get_num_threads()


@pytest.mark.parametrize(("where", "cores"), [("cpu", 1), ("cpu", 3), ("cuda", 3)])
def test_jobs_side_by_side_give_the_same_in_the_same_order(where, cores, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    arguments = [(seed, 2 + seed % 2) for seed in range(5)]
    found = list(on_all_cores(fitted, arguments, where))
    for a, (weights, _) in zip(arguments, found, strict=True):
        np.testing.assert_array_equal(weights, fitted(*a)[0])


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_job_has_one_thread_wherever_it_runs(backend, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend):
            job = lambda seed: (os.getpid(), torch.get_num_threads(), torch.rand(1))  # noqa: E731
            processes, threads, _ = zip(*on_all_cores(job, [(0,), (1,)], "cpu"), strict=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == (1, 1)
    assert (os.getpid() in processes) == (backend == "threading")


def test_without_a_place_for_compiled_code_it_is_compiled_each_time(monkeypatch):
    """As in a container: the package is read-only, and there is no home folder."""
    njit = numba.njit

    def nowhere(*given, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available")
        return njit(*given, **options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert compute.compiled(lambda x: 2 * x)(21) == 42


def test_a_job_that_fails_on_another_core_is_heard_of(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        list(on_all_cores(divmod, [(4, 2), (1, 0)], "cpu"))
    assert torch.get_num_threads() == threads
