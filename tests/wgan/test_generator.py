"""Sampling of formulas. The networks here are untrained: what is tested is what becomes of them."""

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
    Wanted,
    load_generator,
    main,
)
from matgan.wgan.networks import build_critic, build_generator
from matgan.wgan.samples import Outcomes


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
        empty=per, single=per + 1, undecodable=per, unwanted=per + 1, kept=2 * (per + 1)
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
        {"contain": ["Fe"], "n_elements": 2},
        {"n_elements": (2, 3)},
        {"neutral": True},
        {"balanced": True, "oxidation_states": "icsd24"},
        {"contain": ["O"], "n_elements": 3, "balanced": True},
    ],
)
def test_wanted_compositions_are_the_ones_of_the_whole_stream(slots, wanted):
    stream = slots.sample(20_000, seed=5)
    counts = amounts_matrix(list(stream))
    states = wanted.get("oxidation_states", "smact14")
    good = np.ones(len(stream), dtype=bool)
    for i, row in enumerate(counts):
        held = {ELEMENTS[e] for e in np.flatnonzero(row)}
        sizes = wanted.get("n_elements", held and len(held))
        good[i] = (
            held <= set(wanted.get("only", ELEMENTS))
            and held >= set(wanted.get("contain", ()))
            and len(held) in (sizes if isinstance(sizes, tuple) else (sizes,))
        )
    if wanted.get("neutral"):
        good &= charge_neutral(counts, states)
    if wanted.get("balanced"):
        good &= electronegativity_balanced(counts, states)
    expected = [f for f, g in zip(stream, good, strict=True) if g]
    assert len(expected) >= 5
    assert slots.sample(len(expected), seed=5, **wanted) == expected


def test_what_cannot_be_had_is_an_error_with_numbers():
    generator = CompositionGenerator(Fixed(amounts_matrix(["NaCl"])), 4)
    with pytest.raises(TooFewSamples, match=r"0 of 5 formulas in 2,048 samples.*2,048 unwanted"):
        generator.sample(5, contain=["O"], max_draws=2000)
    with pytest.raises(TooFewSamples, match="0 of 5"):
        list(generator.iter_samples(5, contain=["O"], max_draws=1))
    counts, outcomes = generator.draw(5, contain=["O"], max_draws=1)
    assert (counts.shape, outcomes.unwanted) == ((0, 85), 1024)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"only": ["Na", "Xy"]}, "only: 'Xy' is no element"),
        ({"contain": ["Po"]}, "contain: 'Po' is not one of the 85"),
        ({"n_elements": 1}, "2 or more, not 1"),
        ({"only": ["Na", "Cl"], "contain": ["O"]}, "contain asks for O"),
        ({"only": ["Na"]}, "two elements or more"),
    ],
)
def test_impossible_wishes(wanted, message):
    with pytest.raises(ValueError, match=message):
        Wanted(**wanted)


def test_samples_in_a_file(slots, tmp_path, capsys):
    path = tmp_path / "new" / "samples.csv"
    outcomes = slots.write_samples(path, 3000, seed=1)
    table = pd.read_csv(path, keep_default_na=False)
    assert table["formula"].tolist() == slots.sample(3000, seed=1)
    assert outcomes.kept == outcomes.drawn == 3072
    assert "formulas" in capsys.readouterr().err
    with pytest.raises(TooFewSamples):
        slots.write_samples(path, 10, progress=False, max_draws=1, contain=["Xe", "Pu", "Pm"])
    assert pd.read_csv(path, keep_default_na=False).equals(table)  # not half a file
    assert capsys.readouterr().err == ""


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


@pytest.mark.parametrize("name", ["wgan-oqmd-paper", "wgan-mp-paper"])
def test_the_printed_setting_is_kept_as_it_collapsed(name):
    _, outcomes = load_generator(name).draw(1000, seed=0, max_draws=1024)
    assert outcomes.kept / outcomes.drawn < 0.5
    assert outcomes.empty + outcomes.single > outcomes.kept


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
