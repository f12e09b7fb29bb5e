"""Sampling of formulas. The networks here are untrained: what is tested is what becomes of them."""

import itertools
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from matgan import files
from matgan.chemistry.composition import amounts_matrix, count_matrix, formulas, reduced
from matgan.chemistry.elements import ELEMENTS
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.wgan.config import LEARNING, PAPER
from matgan.wgan.generator import (
    CompositionGenerator,
    TooFewSamples,
    load_generator,
    main,
)
from matgan.wgan.networks import build_critic, build_generator
from matgan.wgan.samples import Outcomes, decode
from matgan.wgan.wishes import Property


@pytest.fixture(scope="module")
def slots():
    torch.manual_seed(0)
    config = LEARNING.replace(slots=3, hidden=(32,))
    return CompositionGenerator(build_generator(config), config.latent_dim)


class Fixed(nn.Module):
    """A network that puts out the same few compositions over and over."""

    def __init__(self, counts, extra=()):
        super().__init__()
        matrices = [count_matrix(np.asarray(counts, dtype=int)).astype(np.float32), *extra]
        self.matrix = torch.from_numpy(np.concatenate(matrices))

    def forward(self, z, rng=None):
        return self.matrix[torch.arange(len(z)) % len(self.matrix)]


def test_formulas_are_reduced_and_hold_two_elements_or_more(slots):
    sample = slots.sample(2000, seed=3)
    assert len(sample) == 2000
    counts = amounts_matrix(list(sample))  # a plain list: its text is read
    np.testing.assert_array_equal(sample.counts, counts)
    assert ((counts > 0).sum(axis=1) >= 2).all()
    assert formulas(reduced(counts)) == sample
    assert len(set(sample)) > 1000


def test_the_same_seed_gives_the_same_formulas(slots):
    long = slots.sample(3000, seed=1)
    assert slots.sample(500, seed=1) == long[:500]
    assert list(slots.iter_samples(2500, seed=1)) == long[:2500]
    assert formulas(slots.draw(3000, seed=1)[0]) == long
    assert slots.sample(500, seed=2) != long[:500]


def test_global_random_numbers_play_no_part(slots):
    torch.manual_seed(1)
    before = slots.sample(100, seed=1)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert slots.sample(100, seed=1) == before
    assert (torch.get_rng_state() == state).all()


def test_outcomes_count_every_sample():
    twice = np.zeros((1, 85, 8), dtype=np.float32)
    twice[0, 10, :2] = 1.0  # two counts at once
    network = Fixed(
        amounts_matrix(["NaCl", "Na2Cl2", "Fe3O4", "Fe"]), [np.zeros_like(twice), twice]
    )
    generator = CompositionGenerator(network, 4)
    sample = generator.sample(6, seed=0, only=["Na", "Cl"])
    assert sample == ["NaCl"] * 6
    per = 1024 // 6  # a batch goes through the six outputs; the first four come once more
    expected = Outcomes(
        empty=per,
        single=per + 1,
        undecodable=per,
        unwanted=per + 1,
        kept=2 * (per + 1),
        of_kind=2 * (per + 1),
    )
    assert sample.outcomes == expected
    assert expected.drawn == 1024
    assert sample.outcomes.accepted == pytest.approx(2 / 3, abs=2e-3)  # two of three compositions
    assert np.isnan(Outcomes(empty=3, single=1).accepted)
    table = sample.outcomes.table.set_index("outcome")
    assert table["samples"].sum() == 1024
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc["kept", "samples"] == 2 * (per + 1)


def test_outcomes_of_a_sigmoid_generator_depend_on_the_rule():
    torch.manual_seed(0)
    network = build_generator(PAPER)
    strict = CompositionGenerator(network, 128)
    counts, outcomes = strict.draw(10, max_draws=1024)
    # untrained, about half of all entries are set: nothing can be decoded
    assert (len(counts), outcomes.undecodable, outcomes.drawn) == (0, 1024, 1024)
    loose = CompositionGenerator(network, 128, rule="argmax")
    counts, outcomes = loose.draw(10, max_draws=1024)
    assert (len(counts), outcomes.undecodable) == (10, 0)


@pytest.mark.parametrize(
    "wanted",
    [
        {"only": ["Li", "Na", "K", "O", "F", "Cl", "Fe", "Ti", "S", "N"]},
        {"contain": "O"},
        {"contain": ["Si"], "n_elements": 2},
        {"n_elements": (2, 3)},
        {"exclude": ["O", "Fe", "Si"]},
        {"counts": {"Fe": (1, 3), "O": (0, 4)}},
        {"neutral": True},
        {"balanced": True, "oxidation_states": "icsd24"},
        {"contain": ["O"], "n_elements": 3, "balanced": True},
    ],
)
def test_wanted_compositions_are_the_ones_of_the_whole_stream(slots, wanted):
    stream = slots.sample(20_000, seed=5)
    states = wanted.get("oxidation_states", "smact14")
    good = fits(stream, wanted)
    if wanted.get("neutral"):
        good &= charge_neutral(stream, states)
    if wanted.get("balanced"):
        good &= electronegativity_balanced(stream, states)
    expected = [f for f, g in zip(stream, good, strict=True) if g]
    assert len(expected) >= 3
    assert slots.sample(len(expected), seed=5, by="rejection", **wanted) == expected
    # on request, after a beginning that is the same
    built = slots.sample(max(len(expected), 1500), seed=5, **wanted)
    assert fits(built, wanted).all() and built[:3] == expected[:3]


def fits(sample, wanted):
    """Which formulas hold the elements and numbers that are wanted, element by element."""
    good = np.ones(len(sample), dtype=bool)
    for i, row in enumerate(amounts_matrix(list(sample))):
        held = {ELEMENTS[e] for e in np.flatnonzero(row)}
        sizes = wanted.get("n_elements", (2, 85))
        low, high = sizes if isinstance(sizes, tuple) else (sizes, sizes)
        counts = wanted.get("counts", {})
        good[i] = (
            held <= set(wanted.get("only", ELEMENTS))
            and held >= set(wanted.get("contain", ()))
            and not held & set(wanted.get("exclude", ()))
            and low <= len(held) <= high
            and all(a <= row[ELEMENTS.index(s)] <= b for s, (a, b) in counts.items())
        )
    return good


def test_what_cannot_be_had_is_an_error_with_numbers_and_with_what_was_found():
    generator = CompositionGenerator(Fixed(amounts_matrix(["NaCl", "KCl"])), 4)
    with pytest.raises(TooFewSamples, match=r"0 of 5 formulas in 2,048 samples: 2,048 unwanted"):
        generator.sample(5, contain=["O"], max_draws=2000)
    with pytest.raises(TooFewSamples, match="0 of 5"):
        list(generator.iter_samples(5, contain=["O"], max_draws=1))
    counts, outcomes = generator.draw(5, contain=["O"], max_draws=1)
    assert (counts.shape, outcomes.unwanted) == ((0, 85), 1024)
    with pytest.raises(TooFewSamples, match=r"2 of 5 .* 1,022 repeated") as few:
        generator.sample(5, seed=7, unique=True, max_draws=1)
    assert few.value.found == ["NaCl", "KCl"] and few.value.found.seed == 7
    np.testing.assert_array_equal(few.value.found.counts, amounts_matrix(["NaCl", "KCl"]))
    assert few.value.outcomes.repeated == 1022


@pytest.mark.parametrize("n", [1e2, 2.5, "3", None, True, -1])
def test_a_number_that_is_none(slots, n):
    with pytest.raises(ValueError, match=r"n must (be a whole number|not be negative)"):
        slots.sample(n)


def test_seeds_of_any_kind(slots):
    expected = slots.sample(20, seed=3)
    assert (
        slots.sample(20, seed=np.int64(3))
        == slots.sample(np.int8(20), seed=np.uint8(3))
        == expected
    )
    system = slots.sample(20, seed=None)
    assert slots.sample(20, seed=system.seed) == system != expected
    rng = np.random.default_rng(0)
    first, second = slots.sample(20, seed=rng), slots.sample(20, seed=rng)
    assert first != second and first == slots.sample(20, seed=np.random.default_rng(0))
    assert first == slots.sample(20, seed=first.seed)
    for odd in (1.5, 2**32, -1, "3", True):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 to 4,294,967,295"):
            slots.sample(20, seed=odd)
    assert slots.sample(20, seed=2**32 - 1) != slots.sample(20, seed=0)


def test_unique_and_new(slots):
    stream = slots.sample(5000, seed=2, only=["Li", "O", "Fe"])
    distinct = list(dict.fromkeys(stream))
    n = len(distinct)
    assert 100 < n < 2500  # of 3 elements with 8 counts each
    assert slots.sample(n, seed=2, only=["Li", "O", "Fe"], unique=True) == distinct
    known = pd.DataFrame({"formula": distinct[::2], "target": 0.0})
    left = [f for f in distinct if f not in set(distinct[::2])]
    for new in (known, distinct[::2], amounts_matrix(distinct[::2]) * 0.5, lambda: known):
        sample = slots.sample(len(left), seed=2, only=["Li", "O", "Fe"], unique=True, new=new)
        assert sample == left
    assert sample.outcomes.known > 0 and sample.outcomes.repeated > 0
    assert slots.sample(500, seed=2, only=["Li", "O", "Fe"], new=[]) == stream[:500]


def test_a_property_in_a_range(slots):
    def mass(counts):
        value = counts.sum(axis=1).astype(float)
        return value, value - 2, value + 2

    stream = slots.sample(2000, seed=2)
    atoms = amounts_matrix(stream).sum(axis=1)
    by_value = [f for f, a in zip(stream, atoms, strict=True) if 5 <= a <= 10]
    by_interval = [f for f, a in zip(stream, atoms, strict=True) if 7 <= a <= 8]
    for rule, expected in (("value", by_value), ("interval", by_interval)):
        sample = slots.sample(len(expected), seed=2, having=Property(mass, 5, 10, rule))
        assert sample == expected and len(expected) > 20
        assert sample.outcomes.outside > 0


def test_a_wish_that_this_generator_cannot_meet_is_refused_at_once(slots):
    for wish, message in (
        ({"n_elements": 9}, "writes 3 elements at most, not n_elements from 9"),
        ({"contain": ["Li", "Fe", "P", "O"]}, "writes 3 elements at most, not Li, O, P, Fe"),
        ({"counts": {"O": 9}}, "writes 8 atoms of an element at most, not 9 of O"),
        ({"counts": {"O": 2, "Fe": 4}, "n_elements": 2}, "no composition of O, Fe is as asked for"),
        ({"counts": {"O": 3, "Na": 1}, "n_elements": 2, "neutral": True}, "all 1 with up to 8"),
    ):
        with pytest.raises(ValueError, match=message):
            slots.sample(5, **wish)
    with pytest.raises(ValueError, match="by must be 'construction' or 'rejection'"):
        slots.sample(5, by="magic")
    loose = CompositionGenerator(Fixed(amounts_matrix(["NaCl"])), 4, rule="sum")
    with pytest.raises(ValueError, match="writes 36 atoms"):
        loose.sample(1, counts={"O": 37})


def test_where_few_compositions_are_possible_all_of_them_are_found_and_no_more_is_drawn(slots):
    wish = {"only": ["O", "Fe"], "contain": ["O", "Fe"], "counts": {"O": (1, 2), "Fe": (1, 2)}}
    with pytest.raises(TooFewSamples, match="3 of 5") as few:
        slots.sample(5, unique=True, **wish)
    assert sorted(few.value.found) == ["Fe2O", "FeO", "FeO2"]
    assert few.value.outcomes.drawn < 500_000


def test_a_long_search_shows_that_it_is_alive(slots, capsys, monkeypatch):
    monkeypatch.setattr("matgan.wgan.generator._SECONDS", 0)
    slots.sample(3000, seed=1)
    assert "formulas" in capsys.readouterr().err
    slots.sample(3000, seed=1, progress=False)
    assert capsys.readouterr().err == ""


def test_samples_in_a_file(slots, tmp_path, capsys):
    path = tmp_path / "new" / "samples.csv"
    outcomes = slots.write_samples(path, 3000, seed=1)
    table = pd.read_csv(path, keep_default_na=False)
    assert table["formula"].tolist() == slots.sample(3000, seed=1)
    assert outcomes.kept == outcomes.drawn == 3072  # six batches
    with pytest.raises(TooFewSamples):
        slots.write_samples(path, 10, max_draws=1, contain=["Xe", "Pu", "Pm"])
    assert pd.read_csv(path, keep_default_na=False).equals(table)  # nothing found, nothing changed
    few = {"contain": ["Fe"], "max_draws": 2000}
    with pytest.raises(TooFewSamples):
        slots.write_samples(path, 10_000, seed=1, **few)
    counts, _ = slots.draw(10_000, seed=1, **few)  # what was found is there
    assert pd.read_csv(path)["formula"].tolist() == formulas(counts) and len(counts) > 3
    assert capsys.readouterr().err == ""


def test_an_interrupt_keeps_what_was_found(slots, tmp_path, monkeypatch):
    path, whole = tmp_path / "samples.csv", CompositionGenerator._until

    def interrupted(*arguments):
        for number, batch in enumerate(whole(*arguments)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    expected = slots.sample(3 * 512, seed=1)
    monkeypatch.setattr(CompositionGenerator, "_until", interrupted)
    with pytest.raises(KeyboardInterrupt, match="1,536 of 9,000 formulas are in"):
        slots.write_samples(path, 9000, seed=1)
    assert pd.read_csv(path, keep_default_na=False)["formula"].tolist() == expected


def test_samples_in_a_compressed_file(slots, tmp_path):
    path, again = tmp_path / "samples.csv.gz", tmp_path / "again.csv.gz"
    for file in (path, again):
        slots.write_samples(file, 3000, seed=1, progress=False)
    table = pd.read_csv(path, keep_default_na=False)
    assert table["formula"].tolist() == slots.sample(3000, seed=1)
    assert path.read_bytes() == again.read_bytes()
    slots.write_samples(tmp_path / "samples.csv", 3000, seed=1, progress=False)
    assert path.stat().st_size < 0.6 * (tmp_path / "samples.csv").stat().st_size
    with pytest.raises(ValueError, match=r"\.csv or \.csv\.gz, not as 'samples\.parquet'"):
        slots.write_samples(tmp_path / "samples.parquet", 10)
    assert not (tmp_path / "samples.parquet").exists()


def save(path, config):
    torch.manual_seed(1)
    generator, critic = build_generator(config), build_critic(config)
    tensors = {f"generator.{k}": v.numpy() for k, v in generator.state_dict().items()}
    tensors |= {f"critic.{k}": v.numpy() for k, v in critic.state_dict().items()}
    files.save(path, tensors, {"config": config.to_json(), "elements": " ".join(ELEMENTS)})
    return CompositionGenerator(generator, config.latent_dim)


def test_a_generator_from_a_file_or_a_folder(tmp_path):
    config = LEARNING.replace(latent_dim=16, hidden=(8,))
    expected = save(tmp_path / "weights.safetensors", config).sample(50)
    for path in (tmp_path, tmp_path / "weights.safetensors", str(tmp_path)):
        assert load_generator(path).sample(50) == expected


def test_no_such_generator(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no generator 'oqmd': .* wgan-mp, "):
        load_generator("oqmd")
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04 no weights")
    with pytest.raises(files.WeightsError, match="no safetensors file"):
        load_generator(tmp_path)
    with pytest.raises(ValueError, match="rule must be one of"):
        CompositionGenerator(nn.Identity(), 4, rule="median")


@pytest.mark.parametrize("name", ["wgan-oqmd", "wgan-mp"])
def test_our_pretrained_generators_draw_compositions(name):
    sample = load_generator(name).sample(1000, seed=0)
    assert sample.outcomes.kept == sample.outcomes.drawn
    assert len(set(sample)) > 900


def test_the_printed_setting_is_kept_as_it_collapsed():
    """It sets all elements at once: 1,024 outputs, all with the same 85."""
    matrices = next(load_generator("wgan-oqmd-printed").matrices(seed=0))
    counts, _ = decode(matrices, "sum")
    assert ((counts > 0).sum(1) == len(ELEMENTS)).all()


@pytest.mark.parametrize(
    ("name", "kept"), [("wgan-oqmd-code", 0.10), ("wgan-oqmd-code-seed1", 0.18)]
)
def test_of_the_published_code_few_outputs_are_compositions(name, kept):
    """Shares of `results/long/wgan-objects-paper.csv`, read by "threshold"; the rest is nothing."""
    counts, outcomes = load_generator(name).draw(1000, seed=0, max_draws=1024)
    assert outcomes.kept / outcomes.drawn == pytest.approx(kept, abs=0.03)
    assert (counts > 0).sum(1).max() < 10


def test_what_the_training_never_saw_is_not_asked_for(mp_training):
    never = tuple(np.array(ELEMENTS)[~mp_training.train.any(axis=0)].tolist())
    generator = load_generator("wgan-mp")
    assert generator.unseen == never == ("Xe",)
    with pytest.raises(ValueError, match="Xe must be there, but this generator learned without it"):
        generator.sample(5, contain=["Pm", "Xe"])
    assert generator.sample(5, only=["Xe", "O", "Fe"], exclude="Ti")
    assert load_generator("wgan-oqmd").unseen == ()


@pytest.mark.cuda
def test_sampling_on_cuda(tmp_path):
    config = LEARNING.replace(latent_dim=16, hidden=(8,))
    save(tmp_path / "weights.safetensors", config)
    there = load_generator(tmp_path, device="cuda")
    assert there.sample(100, seed=1) == there.sample(100, seed=1)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_samples_what_is_asked_for(tmp_path, capsys):
    config = LEARNING.replace(latent_dim=16, hidden=(8,))
    generator = save(tmp_path / "weights.safetensors", config)
    words = ["40", "--generator", str(tmp_path), "--seed", "3", "--contain", "O"]
    main(words)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["formula", *generator.sample(40, seed=3, contain="O")]
    main([*words, "--out", str(tmp_path / "new.csv")])
    assert (tmp_path / "new.csv").read_text().splitlines() == printed
    assert "unwanted" in capsys.readouterr().err


def test_every_wish_has_an_option(tmp_path, capsys):
    config = LEARNING.replace(latent_dim=16, hidden=(8,))
    generator = save(tmp_path / "weights.safetensors", config)
    wish = {"exclude": ["F", "Cl"], "n_elements": (3, 4), "counts": {"O": (1, 3), "Fe": (2, 2)}}
    first = generator.sample(3, seed=1, unique=True, **wish)
    lines, table = tmp_path / "known.txt", tmp_path / "known.csv"
    lines.write_text("\n".join(first[:2]))
    table.write_text("name,formula\n" + "".join(f"a,{f}\n" for f in first[:2]))
    words = "3 --seed 1 --exclude F Cl --n-elements 3-4 --counts O=1-3 Fe=2 --unique".split()
    for known in (lines, table):
        main([*words, "--generator", str(tmp_path), "--new-to", str(known)])
        printed = capsys.readouterr().out.splitlines()[1:]
        assert printed[0] == first[2]
        assert printed == generator.sample(3, seed=1, unique=True, new=first[:2], **wish)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n-elements", "2.5"], "n-elements: '2.5' is neither a number nor a range"),
        (["--counts", "Li"], "counts: 'Li' is not as Li=1-3"),
        (["--new-to", "no.csv"], "new-to: no such file: no.csv"),
        (["--seed", "1.5"], "argument --seed"),
    ],
)
def test_options_that_are_none(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["3", *words])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_each_batch_has_noise_of_its_own():
    """The second batch of a seed is what the network makes of the second noise."""
    torch.manual_seed(0)
    generator = CompositionGenerator(build_generator(PAPER), PAPER.latent_dim)
    first, second = itertools.islice(generator.matrices(5), 2)
    rng = torch.Generator().manual_seed(5)
    noise = [torch.randn(len(first), PAPER.latent_dim, generator=rng) for _ in range(2)]
    with torch.inference_mode():
        assert np.array_equal(second, generator.network(noise[1]).numpy())
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["wgan-mp", "wgan-oqmd-code"])
def test_the_number_of_threads_changes_no_free_draw(name):
    found, before = [], torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found.append(load_generator(name, rule="sum").draw(1000, 3, max_draws=1024)[0])
        finally:
            torch.set_num_threads(before)
    assert np.array_equal(*found) and len(found[0]) > 50
