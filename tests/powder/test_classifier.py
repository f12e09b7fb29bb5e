"""Classifying a measured pattern: the grid, the wavelength, what is refused, weights on disk."""

import json

import numpy as np
import pytest
import torch
from known_structures import NACL, RUTILE

from matgan.crystals.symmetry import SYSTEMS, extinction_groups
from matgan.files import WeightsError, save
from matgan.powder import classifier
from matgan.powder.patterns import Instrument, PatternError, simulate_pattern

FINE = Instrument(step=0.01, fwhm=0.2)
pretrained = pytest.mark.skipif(
    not classifier.CLASSIFIER.is_file(), reason="no pretrained classifier comes along"
)


def pattern_of(structure, instrument):
    return simulate_pattern(structure, instrument)[1]


@pytest.fixture
def untrained(tmp_path):
    torch.manual_seed(0)
    classifier.save_classifier(
        tmp_path / "w.safetensors", classifier.new_classifier(), {"structures": 0}
    )
    return tmp_path / "w.safetensors"


def test_labels():
    labels = classifier.class_labels(np.array([1, 14, 227]))
    assert labels[:, 0].tolist() == [0, 1, 6]
    assert [14 in extinction_groups()[i] for i in labels[:, 1]] == [False, True, False]
    assert labels[:, 2].tolist() == [0, 13, 226]
    assert classifier.class_counts() == {
        "crystal_system": 7,
        "extinction_group": 101,
        "space_group": 230,
    }


@pytest.mark.parametrize("step", [0.01, 0.013, 0.05])
def test_any_grid_gives_the_pattern_on_ours(step):
    instrument = Instrument(4, 95, step, fwhm=0.4)
    ours = classifier.prepare(instrument.two_theta, 37.5 * pattern_of(RUTILE, instrument))
    expected = pattern_of(RUTILE, Instrument(5, 90, 0.05, fwhm=0.4))
    assert ours == pytest.approx(expected, abs=0.02)
    assert ours.dtype == np.float32


def test_another_wavelength_gives_the_same_pattern():
    """Molybdenum's line halves the angles; peaks stay where Bragg's law puts them."""
    molybdenum = Instrument(2, 45, 0.01, wavelength=0.7093, fwhm=0.1)
    ours = classifier.prepare(molybdenum.two_theta, pattern_of(NACL, molybdenum), wavelength=0.7093)
    copper = pattern_of(NACL, Instrument(step=0.05, fwhm=0.2))
    grid = classifier.INSTRUMENT.two_theta
    for low, high in ((26, 29), (30, 33), (44, 47), (55, 58)):
        window = (grid > low) & (grid < high)
        assert grid[window][ours[window].argmax()] == pytest.approx(
            grid[window][copper[window].argmax()], abs=0.06
        )


def test_what_was_not_measured_is_zero():
    short = Instrument(20, 70, 0.02)
    ours = classifier.prepare(short.two_theta, 1 + pattern_of(RUTILE, short))
    grid = classifier.INSTRUMENT.two_theta
    assert (ours[(grid < 19.9) | (grid > 70.1)] == 0).all()
    assert (ours[(grid > 20.1) & (grid < 69.9)] > 0).all()


def test_a_ranking_is_sorted_probabilities(untrained):
    ranking = classifier.classify(
        FINE.two_theta, pattern_of(RUTILE, FINE), 7, weights_file=untrained
    )
    assert set(ranking.crystal_system["crystal_system"]) == set(SYSTEMS)
    assert ranking.crystal_system["probability"].sum() == pytest.approx(1)
    for table in (ranking.crystal_system, ranking.extinction_group, ranking.space_group):
        assert len(table) == 7
        assert table["probability"].is_monotonic_decreasing
    assert str(ranking).startswith("crystal_system: ")
    assert str(ranking).count("%") == 21


def test_weights_on_disk_are_the_network_in_half_precision(untrained):
    torch.manual_seed(0)
    network = classifier.new_classifier().eval()
    pattern = torch.from_numpy(classifier.prepare(FINE.two_theta, pattern_of(NACL, FINE)))[None]
    with torch.no_grad():
        ours, theirs = classifier.load_classifier(untrained)(pattern), network(pattern)
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], atol=0.01)
    assert untrained.stat().st_size < 12e6


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--epochs", "0"], ValueError, "epochs must be 1 or more, not 0"),
        (["--epochs", "-1"], ValueError, "epochs must be 1 or more"),
        (["--seed", "-1"], ValueError, "seed must be 0 or more"),
        (["--learning-rate", "0"], ValueError, "learning_rate must be above 0"),
        (["--structures", "-5"], SystemExit, "--structures must be 0 or more, not -5"),
        (["--steps", "-1"], SystemExit, "--steps must be 0 or more, not -1"),
        (["--start", "nowhere.safetensors"], FileNotFoundError, "nowhere"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused_before_it_starts(
    words, error, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(classifier, "load_structures", lambda: pytest.fail("it started"))
    with pytest.raises(error) as caught:
        classifier.train_command(["--out", str(tmp_path / "out"), *words])
    assert message in f"{caught.value} {capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()


# --- bad input ------------------------------------------------------------------------------------


def bad(angle=None, counts=None):
    good = FINE.two_theta
    return (good if angle is None else angle), (np.ones(len(good)) if counts is None else counts)


X = FINE.two_theta
HALF_NAN = np.where(X > 40, np.nan, 1.0)


@pytest.mark.parametrize(
    ("angle", "counts", "message"),
    [
        (X, np.zeros(len(X)), "empty"),
        (X, np.full(len(X), 7.0), "empty"),
        (X, -np.ones(len(X)), "empty"),
        ([], [], "ten points"),
        (X, X[:-1], "same length"),
        (X[:, None], X[:, None], "one-dimensional"),
        (X, HALF_NAN, "NaN"),
        (X[::-1], X, r"must increase; point 1 is 89\.98"),
        (X + 100, X, "0 to 180"),
        (X[:1000], X[:1000], r"covers 10° of the range from 5 to 90"),
        (np.linspace(100, 170, 500), np.arange(500), "covers 0°"),
    ],
    ids=["zero", "flat", "negative", "none", "lengths", "table", "nan", "order", "angles", "short",
         "outside"],
)  # fmt: skip
def test_patterns_that_cannot_be_used_are_named(angle, counts, message):
    with pytest.raises(PatternError, match=message):
        classifier.classify(angle, counts)


@pytest.mark.parametrize("wavelength", [0, -1.5, float("nan"), float("inf"), "Mo"])
def test_a_wavelength_that_is_no_length_is_named(wavelength):
    with pytest.raises(PatternError, match="the wavelength is"):
        classifier.prepare(X, pattern_of(NACL, FINE), wavelength)


@pytest.mark.parametrize("top", [0, -1, 2.5])
def test_a_ranking_lists_one_class_at_least(top, untrained):
    with pytest.raises(ValueError, match="top = "):
        classifier.classify(X, pattern_of(NACL, FINE), top, weights_file=untrained)


def test_two_ends_are_no_pattern():
    ends = (X < 6) | (X > 89)
    with pytest.raises(PatternError, match=r"covers 2° .* less than 0\.5° apart"):
        classifier.prepare(X[ends], pattern_of(NACL, FINE)[ends])


def test_other_weights_are_refused(tmp_path):
    save(tmp_path / "w.safetensors", {"T": np.zeros((85, 4), dtype=np.float32)}, {})
    with pytest.raises(WeightsError, match="no classifier of powder patterns"):
        classifier.classify(
            FINE.two_theta, pattern_of(NACL, FINE), weights_file=tmp_path / "w.safetensors"
        )


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network = classifier.new_classifier()
    with torch.no_grad():
        next(iter(network.parameters())).fill_(torch.nan)
    classifier.save_classifier(tmp_path / "nan.safetensors", network, {})
    with pytest.raises(WeightsError, match=r"nan\.safetensors holds NaN or infinite numbers"):
        classifier.load_classifier(tmp_path / "nan.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors: python -m"):
        classifier.classify(
            FINE.two_theta, pattern_of(NACL, FINE), weights_file=tmp_path / "w.safetensors"
        )


# --- the commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [" ", "\t", ", "])
def test_the_command_reads_two_columns_and_prints_the_ranking(
    separator, untrained, tmp_path, capsys
):
    two_theta, intensity = simulate_pattern(RUTILE, FINE)
    lines = [f"{x:.2f}{separator}{y:.5f}" for x, y in zip(two_theta, intensity, strict=True)]
    (tmp_path / "rutile.xy").write_text("# rutile\n" + "\n".join(lines))
    options = ["--weights", str(untrained), "--top", "2"]
    classifier.classify_command([str(tmp_path / "rutile.xy"), *options])
    expected = classifier.classify(two_theta, intensity.round(5), 2, weights_file=untrained)
    assert capsys.readouterr().out == f"{expected}\n"


def test_the_command_names_a_file_that_is_no_pattern(tmp_path):
    (tmp_path / "a.xy").write_text("10 1\n10.02 two\n")
    with pytest.raises(PatternError, match=r"a\.xy is no table .* 'two'"):
        classifier.classify_command([str(tmp_path / "a.xy")])


def test_the_command_trains_and_evaluates(crystals, tmp_path, monkeypatch, capsys):
    few = crystals.take(np.arange(0, len(crystals), 700))  # all parts of the split
    monkeypatch.setattr(classifier, "load_structures", lambda: few)
    options = ["--out", str(tmp_path), "--structures", "20", "--epochs", "2", "--steps", "1"]
    classifier.train_command(options)
    facts = json.loads(capsys.readouterr().out)
    assert facts["structures"] == 20
    assert facts["losses"][0] > 0
    assert not (tmp_path / "checkpoint.safetensors").exists()
    again = ["--out", str(tmp_path / "2"), "--structures", "20", "--epochs", "1"]
    classifier.train_command([*again, "--start", str(tmp_path / "xrd-fcn.safetensors")])
    capsys.readouterr()
    classifier.evaluate_command([str(tmp_path / "2" / "xrd-fcn.safetensors")])
    printed = capsys.readouterr().out
    assert "test structures, augmented" in printed
    assert printed.count("space_group") in (1, 3)  # with and without the measured patterns


# --- the classifier that comes along -------------------------------------------------------------


@pretrained
def test_the_pretrained_classifier_is_small_and_knows_common_salt():
    assert classifier.CLASSIFIER.stat().st_size < 12e6
    measured = np.random.default_rng(0).poisson(50 + 2000 * pattern_of(NACL, FINE))
    ranking = classifier.classify(FINE.two_theta, measured)
    assert ranking.crystal_system["crystal_system"].iloc[0] == "cubic"
    assert 225 in ranking.space_group["space_group"].tolist()
