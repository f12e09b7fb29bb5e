"""Classifying a measured pattern: the ranking, what it cannot tell, weights on disk."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from known_structures import NACL, RUTILE

from matgan.crystals.symmetry import SYSTEMS, crystal_system, extinction_group, extinction_groups
from matgan.files import WeightsError, save
from matgan.powder import classifier
from matgan.powder.patterns import Instrument, PatternError, simulate_pattern
from matgan.powder.reading import read_pattern

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


def test_a_ranking_is_one_distribution(untrained):
    ranking = classifier.classify(
        FINE.two_theta, pattern_of(RUTILE, FINE), 230, weights_file=untrained
    )
    assert set(ranking.crystal_system["crystal_system"]) == set(SYSTEMS)
    for table in ranking.tables:
        assert table["probability"].sum() == pytest.approx(1)
        assert table["probability"][1:].is_monotonic_decreasing
    groups = ranking.space_group.groupby(crystal_system(ranking.space_group["space_group"]))
    sums = groups["probability"].sum()
    for name, share in ranking.crystal_system.itertuples(index=False):
        assert share == pytest.approx(sums[SYSTEMS.index(name)])
    firsts = [table.iloc[0, 0] for table in ranking.tables]
    assert SYSTEMS[crystal_system(firsts[2])] == firsts[0]
    assert str(firsts[2]) in firsts[1].split(": ")[1].split(", ")


def test_sums_and_the_answer_are_those_of_a_slow_count():
    logits = np.random.default_rng(0).normal(0, 3, (20, 230))
    shares = classifier.summed(logits)
    groups = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for row, own in enumerate(groups):
        system, extinction = np.zeros(7), np.zeros(101)
        for group, share in enumerate(own, 1):
            system[crystal_system(group)] += share
            extinction[extinction_group(group)] += share
        assert shares["crystal_system"][row] == pytest.approx(system)
        assert shares["extinction_group"][row] == pytest.approx(extinction)
        value = [
            own[g - 1] + system[crystal_system(g)] + extinction[extinction_group(g)]
            for g in range(1, 231)
        ]
        named = classifier.ranked(shares)
        best = int(np.argmax(value)) + 1
        assert named["space_group"][row].argmax() == best - 1
        assert named["crystal_system"][row].argmax() == crystal_system(best)
        assert named["extinction_group"][row].argmax() == extinction_group(best)


def test_a_ranking_says_and_draws_what_it_found(untrained):
    ranking = classifier.classify(
        FINE.two_theta, pattern_of(RUTILE, FINE), 7, weights_file=untrained
    )
    lines = str(ranking).splitlines()
    assert lines[0] == ranking.verdict
    assert [line.split(":")[0] for line in lines[1:]] == [
        "crystal_system", "extinction_group", "space_group", "prepared",
    ]  # fmt: skip
    assert all(line.count("%") == 7 for line in lines[1:4])
    html = ranking._repr_html_()
    assert html.count("<svg") == 1
    assert ranking.verdict in html
    assert len(html) < 10_000
    points = html.split("points='")[1].split("'")[0].split()
    x, y = np.array([p.split(",") for p in points], dtype=float).T
    strongest = 5 + 85 * x[y.argmin()] / 560  # the highest point is the lowest number
    assert strongest == pytest.approx(FINE.two_theta[pattern_of(RUTILE, FINE).argmax()], abs=0.3)


def test_weights_on_disk_are_the_network_in_half_precision(untrained):
    torch.manual_seed(0)
    network = classifier.new_classifier().eval()
    pattern = classifier.prepare(FINE.two_theta, pattern_of(NACL, FINE)).intensity[None]
    loaded = classifier.load_classifier(untrained)
    with torch.no_grad():
        theirs = network(torch.from_numpy(pattern))["space_group"].numpy()
    assert loaded.logits(pattern) == pytest.approx(theirs, abs=0.01)
    assert loaded.temperature == 1
    assert untrained.stat().st_size < 12e6


def test_a_temperature_comes_with_the_weights_and_softens(tmp_path, untrained):
    path = tmp_path / "warm.safetensors"
    facts = {"calibration": {"temperature": 2.5}}
    classifier.save_classifier(path, classifier.load_classifier(untrained).network, facts)
    warm, cold = classifier.load_classifier(path), classifier.load_classifier(untrained)
    pattern = classifier.prepare(FINE.two_theta, pattern_of(NACL, FINE)).intensity[None]
    logits = cold.logits(pattern)[0] / 2.5
    expected = np.exp(logits) / np.exp(logits).sum()
    assert warm.shares(pattern)["space_group"][0] == pytest.approx(expected)


def test_a_file_that_was_trained_anew_is_read_anew(untrained):
    network = classifier.load_classifier(untrained).network
    assert classifier.load_classifier(untrained).temperature == 1
    classifier.save_classifier(untrained, network, {"calibration": {"temperature": 2.5}})
    assert classifier.load_classifier(untrained).temperature == 2.5


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "warm", None])
def test_a_temperature_that_is_none_is_refused(temperature, tmp_path, untrained):
    path = tmp_path / "odd.safetensors"
    facts = {"calibration": {"temperature": temperature}}
    classifier.save_classifier(path, classifier.load_classifier(untrained).network, facts)
    with pytest.raises(WeightsError, match=r"odd\.safetensors: its (temperature|calibration)"):
        classifier.load_classifier(path)


# --- what cannot be told --------------------------------------------------------------------------


def doubt(angle, counts, **options):
    return classifier.classify(angle, counts, **options).verdict


NOISE = np.random.default_rng(0).poisson(20, len(FINE.two_theta))


@pytest.mark.parametrize(
    "counts",
    [0 * NOISE, 0 * NOISE + 7.0, 0 * NOISE - 1.0, NOISE, NOISE * 1e-9, 1 + FINE.two_theta],
    ids=["zero", "flat", "negative", "noise", "small noise", "slope"],
)
def test_without_reflections_it_cannot_tell(counts, untrained):
    verdict = doubt(FINE.two_theta, counts, weights_file=untrained)
    assert verdict.startswith("cannot tell: no reflections")


@pretrained
@pytest.mark.parametrize("width", [1.2, 1.5])
def test_broad_lines_are_refused(width):
    """It called 97% of broad minerals triclinic, two thirds of them with confidence."""
    verdict = doubt(*simulate_pattern(NACL, Instrument(step=0.01, fwhm=width)))
    found = re.match(r"cannot tell: too broad, the lines are (.*)° wide", verdict)
    assert float(found[1]) == pytest.approx(width, rel=0.05)


@pretrained
@pytest.mark.parametrize("width", [0.06, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0])
def test_other_lines_are_not(width):
    assert "cubic" in doubt(*simulate_pattern(NACL, Instrument(step=0.01, fwhm=width)))


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [
        (20, 60, r"too short a range, 40° of 45° needed"),
        (30, 90, r"may be missing, the pattern starts at 30\.0°"),
        (26, 50, r"too short .*; the first lines may be missing"),
    ],
)
def test_a_short_range_is_refused(start, stop, words, untrained):
    instrument = Instrument(start, stop, 0.02)
    verdict = doubt(*simulate_pattern(RUTILE, instrument), weights_file=untrained)
    assert re.search(words, verdict)


def test_what_is_uncertain_is_refused(untrained):
    good = classifier.prepare(FINE.two_theta, pattern_of(NACL, FINE))
    assert classifier.doubts(good, 0.34) == ()
    assert classifier.doubts(good, 0.3) == ("too uncertain, the likeliest crystal system has 30%",)
    verdict = doubt(FINE.two_theta, pattern_of(NACL, FINE), weights_file=untrained)
    assert verdict.startswith("cannot tell: too uncertain")  # an untrained network knows nothing


# --- bad input ------------------------------------------------------------------------------------


def bad(angle=None, counts=None):
    good = FINE.two_theta
    return (good if angle is None else angle), (np.ones(len(good)) if counts is None else counts)


X = FINE.two_theta


@pytest.mark.parametrize(
    ("angle", "counts", "message"),
    [
        ([], [], "ten points"),
        (X, X[:-1], "same length"),
        (X[:, None], X[:, None], "one-dimensional"),
        (X + 100, X, "180°"),
        (X[:990], X[:990], r"covers 10° of the range from 5 to 90"),
        (np.linspace(100, 170, 500), np.arange(500), "covers 0°"),
    ],
    ids=["none", "lengths", "table", "angles", "short", "outside"],
)
def test_patterns_that_cannot_be_used_are_named(angle, counts, message):
    with pytest.raises(PatternError, match=message):
        classifier.classify(angle, counts)


@pytest.mark.parametrize("wavelength", [0, -1.5, float("nan"), float("inf"), "Xx", 0.15406])
def test_a_wavelength_that_is_no_length_is_named(wavelength):
    with pytest.raises(PatternError, match="wavelength"):
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


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [" ", "\t", ", "])
def test_the_command_reads_a_file_and_prints_the_ranking(separator, untrained, tmp_path, capsys):
    two_theta, intensity = simulate_pattern(RUTILE, FINE)
    lines = [f"{x:.2f}{separator}{y:.5f}" for x, y in zip(two_theta, intensity, strict=True)]
    path = tmp_path / "rutile.xy"
    path.write_text("# rutile\n" + "\n".join(lines))
    options = ["--weights", str(untrained), "--top", "2"]
    assert classifier.classify_command([str(path), *options]) is None  # status 0, doubt or not
    expected = classifier.classify(path, top=2, weights_file=untrained)
    assert capsys.readouterr().out == f"{expected}\n"
    again = classifier.classify(read_pattern(path), top=2, weights_file=untrained)
    assert again.space_group.equals(expected.space_group)


def test_the_command_takes_wavelengths_by_number_and_name(untrained, tmp_path, capsys):
    np.savetxt(tmp_path / "a.xy", np.column_stack(simulate_pattern(RUTILE, FINE)))
    for wavelength in ("MoKa1", "0.7093"):
        options = ["--weights", str(untrained), "--wavelength", wavelength]
        classifier.classify_command([str(tmp_path / "a.xy"), *options])
        assert "wavelength 0.7093 Å" in capsys.readouterr().out


def test_the_command_takes_another_axis(untrained, tmp_path, capsys):
    """q in 1/nm, which is refused as degrees."""
    two_theta, intensity = simulate_pattern(RUTILE, FINE)
    q = 40 * np.pi / 1.54056 * np.sin(np.radians(two_theta / 2))
    np.savetxt(tmp_path / "q.xy", np.column_stack([q, intensity]))
    words = [str(tmp_path / "q.xy"), "--weights", str(untrained)]
    with pytest.raises(PatternError, match="those of q in 1/nm"):
        classifier.classify_command(words)
    classifier.classify_command([*words, "--unit", "1/nm", "--top", "1"])
    expected = classifier.classify(two_theta, intensity, top=1, weights_file=untrained)
    assert str(expected).splitlines()[3] in capsys.readouterr().out  # the space group


def test_the_command_names_a_file_that_is_no_pattern(tmp_path):
    (tmp_path / "a.xy").write_text("10 1\n10.02 two\n")
    with pytest.raises(PatternError, match=r"a\.xy"):
        classifier.classify_command([str(tmp_path / "a.xy")])


# --- the classifier that comes along -------------------------------------------------------------


@pretrained
def test_the_pretrained_classifier_is_small_and_knows_common_salt():
    assert classifier.CLASSIFIER.stat().st_size < 12e6
    measured = np.random.default_rng(0).poisson(50 + 2000 * pattern_of(NACL, FINE))
    ranking = classifier.classify(FINE.two_theta, measured)
    assert ranking.crystal_system["crystal_system"].iloc[0] == "cubic"
    assert 225 in ranking.space_group["space_group"].tolist()


@pretrained
@pytest.mark.parametrize("under", [0, 0.5, 5], ids=str)
def test_a_background_changes_nothing(under):
    """A constant of five times the maximum made common salt hexagonal."""
    counts = pattern_of(NACL, FINE)
    scatter = under * np.exp(-(FINE.two_theta - 5) / 15)
    for measured in (counts + under, counts + scatter):
        ranking = classifier.classify(FINE.two_theta, measured)
        assert "cubic" in ranking.verdict
        assert ranking.space_group["space_group"].iloc[0] == 225


@pretrained
def test_hidden_points_change_nothing():
    counts = np.ma.masked_array(pattern_of(NACL, FINE), np.abs(FINE.two_theta - 50) < 0.4)
    counts.data[counts.mask] = 1e6
    assert "space group 225" in classifier.classify(FINE.two_theta, counts).verdict


@pretrained
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MnO.xy", "cubic .* 225 "),
        ("MnO2.xy", "tetragonal .* 136 "),
        ("Mn2O3.xy", "cubic .* 206 "),
        ("TiO2.xy", "tetragonal"),  # nano-crystals: it was triclinic
    ],
)
def test_measured_patterns_of_known_samples(name, words, measured_files):
    assert re.search(words, classifier.classify(measured_files / name).verdict)


@pretrained
def test_no_warning_of_ours_ends_a_session_that_makes_them_errors():
    code = (
        "import numpy as np, matgan; x = np.arange(5, 90, 0.05);"
        "print(matgan.classify(x, np.exp(-((x % 17 - 5) / 0.1) ** 2)).verdict)"
    )
    words = [sys.executable, "-W", "error::DeprecationWarning", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
