"""Reconstruction: Gram matrices by hand, the inverse of the Gaussian threshold, errors by hand."""

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans
from scipy.stats import multivariate_normal, norm
from torch.nn import functional

from matgan.microstructure import reconstruction as rec
from matgan.microstructure.generation import Morphology, highest, microstructure
from matgan.microstructure.statistics import two_point

MEAN = np.array([104.0, 117.0, 124.0])


@pytest.fixture(scope="module")
def convolutions():
    return rec.random_convolutions(0)


def test_the_layers_are_those_of_vgg19():
    assert len(rec.NAMES) == 16 and rec.NAMES[2] == "conv2_1" and rec.NAMES[-1] == "conv5_4"
    channels = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8]
    convolutions = rec.random_convolutions(0, 16)
    assert [w.shape[:2] for w, _ in convolutions] == list(zip(channels[1:], channels, strict=False))


def test_gram_matrices_are_mean_products_of_channels(convolutions):
    """By torch's own circular convolution, an edge of the image in the middle of another's."""
    image = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    network = rec.TextureNetwork(convolutions, MEAN, ("conv1_1", "conv2_1"))
    assert network.depth == 3
    first, second = network.grams(image)
    x = torch.stack([255 * image - mean for mean in MEAN.astype(np.float32)])[None]
    layers = []
    for weights, _ in convolutions[:3]:
        layer = torch.nn.Conv2d(*weights.shape[1::-1], 3, padding=1, padding_mode="circular")
        layer.weight.data, layer.bias.data = torch.tensor(weights), torch.zeros(len(weights))
        layers.append(layer)
    with torch.no_grad():
        one = functional.relu(layers[0](x))
        two = functional.relu(layers[1](one)).reshape(1, 64, 6, 2, 6, 2).mean((3, 5))
        two = functional.relu(layers[2](two))
    for found, channels in ((first, one[0]), (second, two[0])):
        for i, j in ((0, 0), (3, 7), (5, 2)):
            assert found[i, j].item() == pytest.approx(
                (channels[i] * channels[j]).mean().item(), rel=1e-4
            )
        assert found.shape == 2 * (len(channels),)
    # periodic: a shift by what the blocks halve changes nothing
    moved = network.grams(torch.roll(image, (4, 2), (0, 1)))
    torch.testing.assert_close(moved[1], second, rtol=1e-4, atol=1e-2)
    assert network.loss(image, [first, second]).item() == 0
    twice = network.loss(image, [2 * first, 2 * second]).item()
    assert twice == pytest.approx(0.25, rel=1e-5)


@pytest.mark.cuda
def test_a_device_finds_the_same_texture(convolutions):
    """Losses of the first evaluations; later a line search takes another step for any rounding."""
    true = rec.sample("discs", 24, 0)
    losses = [
        rec.synthesised(rec.TextureNetwork(convolutions, MEAN, device=name), true, [5], [1])[1]
        for name in ("cpu", "cuda")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_layer_that_is_not_there_is_named(convolutions):
    with pytest.raises(ValueError, match="no layer 'conv1_3'"):
        rec.TextureNetwork(convolutions, MEAN, ["conv1_3"])
    with pytest.raises(ValueError, match="conv4_1 is convolution 9 of VGG19; there are 5"):
        rec.TextureNetwork(convolutions, MEAN, ["conv1_1", "conv4_1"])


def test_a_synthesis_finds_the_texture_from_noise(convolutions):
    true = rec.sample("layers", 24, 0)
    network = rec.TextureNetwork(convolutions, MEAN, ("conv1_1", "conv2_1"))
    (early, late), losses = rec.synthesised(network, true, (5, 40), [0])
    assert len(losses) == 40 and losses[4:].min() < losses[4] / 5
    assert early.shape == late.shape == true.shape and 0 <= late.min() <= late.max() <= 1
    with torch.no_grad():  # the images are those of the lowest losses, whatever the trial steps
        target = network.grams(torch.tensor(true.astype(np.float32)))
        reached = [network.loss(torch.tensor(grey), target).item() for grey in (early, late)]
    assert reached == pytest.approx([losses[:5].min(), losses.min()], rel=1e-4)
    again, _ = rec.synthesised(network, true, (5,), [0])
    np.testing.assert_array_equal(again[0], early)
    noise = highest(np.random.default_rng(0).random(true.shape), true.mean())
    found = highest(late, true.mean())
    assert rec.lineal_path_error(found, true) < rec.lineal_path_error(noise, true) / 2


def test_a_synthesis_that_starts_anew_finds_more(convolutions, monkeypatch):
    true = rec.sample("gaussian", 24, 0)
    network = rec.TextureNetwork(convolutions, MEAN, ("conv1_1", "conv2_1"))
    _, losses = rec.synthesised(network, true, (300,), [0])
    monkeypatch.setattr(rec, "SOFTENED", 300)
    _, straight = rec.synthesised(network, true, (300,), [0])
    assert len(losses) == 300 and (losses[:50] == straight[:50]).all()
    assert losses[50:54].max() > 2 * losses[:50].min()  # less black and white
    assert losses.min() < straight.min()


def test_two_means_are_those_of_scipy():
    rng = np.random.default_rng(0)
    grey = np.concatenate([rng.normal(0.3, 0.1, 700), rng.normal(0.8, 0.05, 300)])
    centres = np.sort(kmeans(grey, 2, rng=1)[0])
    nearest = np.abs(grey[:, None] - centres).argmin(1).astype(bool)
    np.testing.assert_array_equal(rec.two_means(grey), nearest)
    assert rec.two_means(np.ones((3, 3))).sum() in (0, 9)


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7])
def test_the_correlation_is_the_inverse_of_the_threshold(fraction):
    """SciPy's bivariate normal chance at the correlation gives the two-point value back."""
    correlations = np.array([-0.6, 0.0, 0.3, 0.9])
    limit = norm.isf(fraction)
    chances = [
        multivariate_normal([0, 0], [[1, c], [c, 1]]).cdf([-limit, -limit]) for c in correlations
    ]
    found = rec.gaussian_correlation(np.array(chances), fraction)
    np.testing.assert_allclose(found, correlations, atol=2e-4)
    assert rec.gaussian_correlation(np.array([fraction]), fraction) == pytest.approx(1, abs=1e-3)


def test_the_nearest_spectrum_is_that_of_a_field_where_there_is_one():
    waves = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(16))
    power = np.exp(-(waves**2) / 0.02)
    power *= power.size / power.sum()  # variance 1
    correlation = np.fft.ifft2(power).real
    np.testing.assert_allclose(rec.nearest_spectrum(correlation, 4), power, atol=1e-6 * power.max())
    # of no field: the edge of a square; cutting the negative powers is farther where it counts
    square = np.maximum(1 - np.abs(np.fft.fftfreq(16, 1 / 16)) / 5, 0)
    steep = np.minimum(square[:, None], square) ** 0.5
    found = rec.nearest_spectrum(steep, 4)
    assert found.min() >= 0 and np.fft.fft2(steep).real.min() < 0
    cut = np.maximum(np.fft.fft2(steep).real, 0)
    errors = [np.abs(np.fft.ifft2(p).real - steep)[:3, :3].max() for p in (found, cut)]
    assert errors[0] < errors[1] / 2


def test_a_matched_gaussian_has_the_statistics_on_average():
    true = microstructure(Morphology("gaussian", (64, 64), 0.4, (3.0, 3.0)), [0])
    drawn = [rec.matched_gaussian(true, [seed]) for seed in range(20)]
    assert {image.mean() for image in drawn} == {true.mean()}
    mean = np.mean([two_point(image) for image in drawn], axis=0)
    scale = true.mean() * (1 - true.mean())
    assert np.abs(mean - two_point(true)).mean() < 0.015 * scale
    one = np.abs(two_point(drawn[0]) - two_point(true)).mean()
    assert one > 0.02 * scale  # a single draw is farther: the mean above is no accident


@pytest.mark.parametrize("kind", ["gaussian", "cells"])
def test_random_phases_alone_have_the_spectrum_in_every_draw(kind, monkeypatch):
    """Amplitudes of the field are those of the spectrum; a draw is nearer to the sample."""
    true, fields = rec.sample(kind, 32, 1), []
    monkeypatch.setattr(
        rec, "highest", lambda grey, share: fields.append(grey) or highest(grey, share)
    )
    errors = [
        np.mean([rec.two_point_error(rec.matched_gaussian(true, [s], way), true) for s in range(6)])
        for way in (True, False)
    ]
    assert errors[1] < 0.75 * errors[0]
    amplitudes = [np.abs(np.fft.fft2(field)) for field in fields]
    for one in amplitudes[7:]:
        np.testing.assert_allclose(one, amplitudes[6], atol=1e-6)
    assert np.ptp(fields[6:], axis=0).mean() > fields[6].std()  # draws differ all the same
    assert np.ptp(amplitudes[:6], axis=0).max() > 0.5 * amplitudes[6].max()
    correlation = rec.gaussian_correlation(two_point(true), true.mean())
    power = rec.nearest_spectrum(correlation, 32 / 6)
    np.testing.assert_allclose(amplitudes[6] ** 2, power, atol=1e-6)


def test_samples_are_of_five_kinds_and_repeat_themselves():
    images = {kind: rec.sample(kind, 32, 3) for kind in rec.SAMPLES}
    fractions = [round(float(image.mean()), 2) for image in images.values()]
    assert fractions == [0.4, 0.4, 0.5, 0.35, 0.3]
    for kind, image in images.items():
        np.testing.assert_array_equal(image, rec.sample(kind, 32, 3))
        assert (image != rec.sample(kind, 32, 4)).any()
    paths = [rec.lineal_path(images["layers"], axis, 6)[-1] for axis in (0, 1)]
    assert paths[0] > 2 * paths[1]  # drawn out along the first axis
    with pytest.raises(ValueError, match="kind must be one of gaussian"):
        rec.sample("noise", 32, 0)


def test_errors_by_hand():
    stripes = np.zeros((8, 8), dtype=bool)
    stripes[:, ::2] = True
    blocks = np.zeros((8, 8), dtype=bool)
    blocks[:, :4] = True
    assert rec.two_point_error(stripes, stripes) == rec.lineal_path_error(blocks, blocks) == 0
    near = [min(abs(r), 8 - abs(r)) for r in range(-2, 3)]
    two = [np.abs((0.5 if r % 2 == 0 else 0.0) - (4 - r) / 8) for r in near]
    assert rec.two_point_error(stripes, blocks) == pytest.approx(100 * np.mean(two) / 0.25)
    # along the first axis both have lines of any length; along the second 1 or up to 4 pixels
    lines = np.array([4, 3, 2, 1]) / 8
    distance = 2 * (lines[1:].sum())
    total = 2 * (4 * 0.5) + 2 * lines.sum()
    assert rec.lineal_path_error(stripes, blocks) == pytest.approx(100 * distance / total)
