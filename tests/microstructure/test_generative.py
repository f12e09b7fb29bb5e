"""The GAN of images: what periodic convolutions keep, drawing, and a training that goes on."""

import os
import signal

import numpy as np
import pytest
import torch

from matgan.files import WeightsError, save
from matgan.microstructure import generative
from matgan.microstructure.generation import highest
from matgan.microstructure.generative import ImageCritic, ImageGAN, ImageGenerator

SMALL = ImageGAN(size=16, channels=4, widest=8, iterations=8, batch_size=4)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = ImageGenerator(SMALL)
    network(torch.randn(32, 1, 4, 4))  # statistics of the normalisation
    return network.eval()


@pytest.mark.parametrize(("size", "widths"), [(64, [64, 64, 32, 16]), (128, [64, 64, 64, 32, 16])])
def test_layers_double_the_edge(size, widths):
    config = ImageGAN(size=size)
    assert config.widths == widths
    with torch.no_grad():
        assert ImageGenerator(config)(torch.randn(2, 1, 4, 4)).shape == (2, 1, size, size)
        assert ImageCritic(config)(torch.randn(2, 1, size, size)).shape == (2,)
    for bad in (4, 48, 100):
        with pytest.raises(ValueError, match=f"power of two, not {bad}"):
            ImageGAN(size=bad)


def test_a_shifted_map_gives_a_shifted_image_and_a_larger_map_a_larger_one(generator):
    z = torch.randn(1, 1, 4, 4)
    with torch.no_grad():
        image = generator(z)
        moved = generator(z.roll((1, 2), (2, 3)))
        twice = generator(z.repeat(1, 1, 2, 3))
    torch.testing.assert_close(moved, image.roll((4, 8), (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(twice, image.repeat(1, 1, 2, 3), atol=1e-5, rtol=0)


def test_a_critic_sees_no_edge():
    torch.manual_seed(0)
    critic, image = ImageCritic(SMALL), torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        score = critic(image)
        for same in (image.roll((4, 8), (2, 3)), image.repeat(1, 1, 2, 3)):
            torch.testing.assert_close(critic(same), score, atol=1e-5, rtol=0)


def test_a_critic_compares_images_of_a_group_with_no_other_group():
    torch.manual_seed(0)
    critic, images = ImageCritic(SMALL), torch.randn(16, 1, 16, 16)
    with torch.no_grad():
        both = critic(images)
        torch.testing.assert_close(critic(images[:8]), both[:8])
        alike = critic(torch.cat([images[:1].repeat(8, 1, 1, 1), images[8:]]))
    torch.testing.assert_close(alike[8:], both[8:])
    assert abs(float(alike[0] - both[0])) > 1e-4


def test_every_image_has_half_of_each_phase_and_the_numbers_may_be_flat(generator):
    z = torch.randn(5, 1, 4, 4)
    drawn = generative.generate(generator, z)
    assert drawn.dtype == bool and (drawn.mean((1, 2)) == 0.5).all()
    np.testing.assert_array_equal(generative.generate(generator, z.flatten(1).numpy()), drawn)
    with torch.no_grad():
        grey = generator(z)[:, 0].numpy()
    np.testing.assert_array_equal(drawn[0], highest(grey[0], 0.5))


def test_images_are_shifted_mirrored_and_turned():
    image = np.arange(16).reshape(4, 4)
    allowed = {
        np.roll(one, (i, j), (0, 1)).tobytes()
        for one in (image, image[::-1], image.T, image[::-1].T)
        for i in range(4)
        for j in range(4)
    }
    batch = torch.from_numpy(image).repeat(500, 1, 1, 1)
    moved = generative.shifted(batch, torch.Generator().manual_seed(0))
    assert moved.shape == batch.shape
    assert {one[0].numpy().tobytes() for one in moved} == allowed


def no_measure(images):
    return {"share": float(images.mean())}


@pytest.fixture
def images():
    return np.random.default_rng(0).random((12, 16, 16)) < 0.5


def test_a_stopped_training_goes_on_to_the_same_weights(images, tmp_path):
    torch.manual_seed(1)  # nothing hangs on the state outside
    whole = generative.train_images(SMALL, images, no_measure, looks=4)

    def stop(done, total, distance):
        if done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt, match="stopped at 5 of 8"):
        generative.train_images(SMALL, images, no_measure, 4, path, stop)
    with pytest.raises(WeightsError, match="other choices"):
        generative.train_images(ImageGAN(size=16, seed=1), images, no_measure, 4, path)
    rest = generative.train_images(SMALL, images, no_measure, 4, path)
    for one, other in zip(whole[:2], rest[:2], strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, msg=name)
    assert whole[2] == rest[2] and [row["iteration"] for row in rest[2]] == [2, 4, 6, 8]
    assert not path.exists()


def test_a_training_takes_several_latents(images):
    config = ImageGAN(size=16, channels=4, widest=8, iterations=1, batch_size=4, latents=2)
    generator, _, (row,) = generative.train_images(config, images, no_measure, looks=1)
    assert generator.latents == 2 and row["share"] == 0.5


def test_a_training_brings_the_critics_distance_down(images):
    stripes = np.zeros((8, 16, 16), dtype=bool)
    stripes[:, ::2] = True
    config = ImageGAN(size=16, channels=4, widest=8, iterations=80, batch_size=8, rate=4e-3)

    def lines(drawn):
        along = (drawn == np.roll(drawn, 1, 1)).mean((1, 2))
        across = (drawn == np.roll(drawn, 1, 2)).mean((1, 2))
        return {"striped": float(np.abs(along - across).mean())}

    history = generative.train_images(config, stripes, lines, looks=5)[2]
    assert history[-1]["striped"] > 0.5


def test_images_of_another_size_are_refused(images):
    with pytest.raises(ValueError, match=r"images are \(16, 16\), the configuration says 64"):
        generative.train_images(ImageGAN(), images, no_measure)


def test_what_is_written_is_read(generator, tmp_path):
    path, critic = tmp_path / "gan.safetensors", ImageCritic(SMALL)
    generative.save_generator(path, SMALL, (generator, critic))
    config, again, same = generative.load_generator_and_critic(path)
    assert config == SMALL
    z = torch.randn(2, 1, 4, 4)
    np.testing.assert_array_equal(generative.generate(again, z), generative.generate(generator, z))
    torch.testing.assert_close(same.head.weight, critic.head.weight)
    with pytest.raises(ValueError, match="no latent maps"):
        generative.generate(again, np.zeros((0, 16)))
    save(path, {"a": np.zeros(2)}, {})
    with pytest.raises(WeightsError, match="holds no generator of images"):
        generative.load_generator_and_critic(path)
