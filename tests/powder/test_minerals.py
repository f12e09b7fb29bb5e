"""Measured patterns: as described, or clear words; what a classifier reaches on them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from known_structures import some

from matgan.crystals.symmetry import crystal_system
from matgan.data.sources import SOURCES, SourceCorrupt, SourceUnavailable
from matgan.files import load
from matgan.powder import augmentation, classifier
from matgan.powder import minerals as measured
from matgan.powder.baselines import right


@pytest.fixture(scope="module")
def minerals():
    try:
        return measured.load_measured()
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_they_are_as_described(minerals):
    assert minerals.intensity.shape == (454, 8500)
    assert minerals.two_theta[[0, -1]] == pytest.approx([5, 89.99], abs=1e-6)
    systems = np.bincount(crystal_system(minerals.space_group), minlength=7)
    assert systems[4] == 0  # none is trigonal
    assert systems.sum() == 454


def test_where_they_cannot_be_had_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MATGAN_DATA", str(tmp_path))
    monkeypatch.setenv("MATGAN_CACHE", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"rruff_measured\.npz.*MATGAN_DATA"):
        measured.load_measured()
    file = tmp_path / SOURCES["rruff_measured"].file
    file.write_bytes(b"no archive")
    with pytest.raises(SourceCorrupt, match="SHA-256"):
        measured.load_measured()
    with pytest.raises(SourceCorrupt, match="no measured patterns"):
        measured.read_measured(file)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    np.savez(
        tmp_path / "m.npz", intensity=np.ones((3, 10)), space_group=np.ones(2),
        two_theta_start=5.0, two_theta_step=0.01,
    )  # fmt: skip
    with pytest.raises(SourceCorrupt, match=r"\(3, 10\) intensities, \(2,\)"):
        measured.read_measured(tmp_path / "m.npz")


def test_parts_keep_twins_together_and_are_always_the_same(minerals):
    parts = minerals.parts()
    assert {name: int(part.sum()) for name, part in parts.items()} == {
        "fitted": 229, "tenth": 47, "rest": 225, "screened": 424,
    }  # fmt: skip
    assert not (parts["tenth"] & ~parts["fitted"]).any()
    assert (parts["fitted"] ^ parts["rest"]).all()
    means = minerals.intensity.reshape(454, -1, 5).mean(2)
    twins = np.argwhere(np.corrcoef(means) > 0.95)
    assert (parts["fitted"][twins[:, 0]] == parts["fitted"][twins[:, 1]]).all()
    kept = parts["screened"][twins].all(1) & (twins[:, 0] != twins[:, 1])
    assert not kept.any()
    assert not parts["screened"][152]  # a calculated one among the measured


# --- what is reached ------------------------------------------------------------------------------


def some_of(minerals, rows):
    return replace(
        minerals, intensity=minerals.intensity[rows], space_group=minerals.space_group[rows]
    )


@pytest.fixture
def untrained(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    classifier.save_classifier(path, classifier.new_classifier(), {"structures": 0})
    return path


def test_evaluation_goes_the_way_of_a_call(minerals):
    """The same answers as `classify` gives one by one, and 60% of the systems right."""
    few = some_of(minerals, slice(0, None, 30))
    shares, _, doubted = measured.read_all(
        classifier.load_classifier(), few.two_theta, few.intensity
    )
    named = classifier.ranked(shares)
    for i, intensity in enumerate(few.intensity):
        one = classifier.classify(few.two_theta, intensity)
        assert one.space_group["space_group"].iloc[0] == named["space_group"][i].argmax() + 1
        assert bool(one.doubts) == doubted[i]
        assert one.crystal_system["probability"].max() == pytest.approx(
            shares["crystal_system"][i].max()
        )


class KnowsQuartz(classifier.Classifier):
    """Says 154, whatever it sees."""

    def logits(self, patterns):
        return 9.0 * (np.arange(1, 231) == 154)[None].repeat(len(patterns), 0)


def test_simulated_patterns_are_those_of_the_test_structures(minerals, monkeypatch):
    """Of three structures quartz is for testing, and rock salt, the most frequent, is learned."""
    monkeypatch.setattr(measured, "load_measured", lambda: some_of(minerals, [0, 8]))
    table = measured.evaluate_classifier(KnowsQuartz(None), some())
    augmented = table[table["patterns"] == "test structures, augmented"].set_index("label")
    assert augmented["top1"].tolist() == [1, 1, 1]
    truth = minerals.space_group[[0, 8]]  # the second is 225
    frequent = table[table["model"] == "majority of training"].set_index("label")["top1"]
    assert frequent["space_group"] == (truth == 225).mean() == 0.5
    on_measured = table[(table["patterns"] == "measured") & (table["model"] == "FCN")]
    assert on_measured["top1"].iloc[2] == (truth == 154).mean()


@pytest.mark.slow
def test_background_costs_no_accuracy(minerals):
    """At most two points under any background; the card's first rows."""
    network, truth = classifier.load_classifier(), classifier.class_labels(minerals.space_group)
    clean = minerals.intensity / minerals.intensity.max(1, keepdims=True)
    reached = {}
    for name, angle, intensity in measured.conditions(minerals.two_theta, clean):
        if "broadened" in name:
            break
        named = classifier.ranked(measured.read_all(network, angle, intensity)[0])
        reached[name] = [
            right(named[label], truth[:, i]).mean()
            for label, i in (("crystal_system", 0), ("space_group", 2))
        ]
    assert len(reached) == 6
    assert reached["as measured"] == pytest.approx([0.599, 0.366], abs=0.01)
    for shares in reached.values():
        assert np.subtract(reached["as measured"], shares).max() <= 0.02


def test_conditions_do_what_they_say():
    angle = 5 + 0.01 * np.arange(8500)
    lines = np.exp(-4 * np.log(2) * ((angle - np.array([[40], [50]])) / 0.1) ** 2)
    found = {name: (x, y) for name, x, y in measured.conditions(angle, lines)}
    assert (found["constant, 5 × maximum added"][1] == lines + 5).all()
    x, y = found["20 to 60° only"]
    assert (x[0], x[-1]) == pytest.approx((20, 60))
    assert y.shape == (2, len(x))
    top = found["broadened by 0.4°"][1][0]
    assert np.ptp(angle[top > top.max() / 2]) == pytest.approx(np.hypot(0.1, 0.4), abs=0.02)
    x, y = found["100 counts over 500 at the maximum in 0.05°"]
    assert 5 * y.mean() == pytest.approx(500, rel=0.02)  # five points in 0.05°
    assert y.std() == pytest.approx(10, rel=0.05)  # Poisson
    mixed = found["half of another pattern"][1]
    assert (mixed[0] == lines.sum(0)).all()


def test_a_temperature_is_found_again(minerals, untrained, monkeypatch):
    """Scores that are three times too large are told from those that state shares."""
    few = some_of(minerals, slice(0, None, 3))
    rng = np.random.default_rng(0)
    logits = 0.5 * rng.normal(size=(len(few), 230))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = np.array([rng.choice(230, p=p) for p in shares])
    few = replace(few, space_group=drawn + 1)
    network = classifier.load_classifier(untrained)
    rows = few.parts()["fitted"] & few.parts()["screened"]
    monkeypatch.setattr(classifier.Classifier, "logits", lambda *_: 3 * logits[rows])
    assert measured.fit_temperature(network, few) == pytest.approx(3, abs=0.01)


def test_calibration_is_written_into_the_file(minerals, untrained, monkeypatch):
    few = some_of(minerals, slice(0, None, 20))
    monkeypatch.setattr(measured, "load_measured", lambda: few)
    before, _ = load(untrained)
    temperature = measured.calibrate(untrained)
    after, facts = load(untrained)
    assert json.loads(facts["calibration"])["temperature"] == pytest.approx(temperature, abs=1e-3)
    assert all((before[name] == after[name]).all() for name in before)
    assert classifier.load_classifier(untrained).temperature == pytest.approx(temperature, abs=1e-3)


def test_the_pretrained_classifier_is_calibrated_by_this_code(minerals):
    loaded = classifier.load_classifier()
    assert loaded.temperature == pytest.approx(
        measured.fit_temperature(loaded, minerals), abs=0.005
    )


def test_the_commands_train_and_evaluate(minerals, crystals, tmp_path, monkeypatch, capsys):
    few = crystals.take(np.arange(0, len(crystals), 700))  # all parts of the split
    monkeypatch.setattr(augmentation, "load_structures", lambda: few)
    monkeypatch.setattr(measured, "load_structures", lambda: few)
    monkeypatch.setattr(measured, "load_measured", lambda: some_of(minerals, slice(0, None, 40)))
    options = ["--out", str(tmp_path), "--structures", "20", "--epochs", "2", "--steps", "1"]
    augmentation.train_command(options)
    facts = json.loads(capsys.readouterr().out)
    assert facts["structures"] == 20
    assert facts["losses"][0] > 0
    assert not (tmp_path / "checkpoint.safetensors").exists()
    again = ["--out", str(tmp_path / "2"), "--structures", "20", "--epochs", "1"]
    augmentation.train_command([*again, "--start", str(tmp_path / "xrd-fcn.safetensors")])
    capsys.readouterr()
    measured.evaluate_command([str(tmp_path / "2" / "xrd-fcn.safetensors"), "--calibrate"])
    printed = capsys.readouterr().out
    for words in ("test structures, augmented", "noise alone", "calibration error", "temperature"):
        assert words in printed
