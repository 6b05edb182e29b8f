import numpy as np
import pytest
import torch

from truejoule.errors import InputError
from truejoule.training.data import read_split, to_input
from truejoule.zoo import CLASSES, images, loader
from truejoule.zoo.bundle import HERE, IMAGES


def test_bundled_images_are_network_inputs():
    x, y = images()
    assert x.shape == (1000, 1, 28, 28) and x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
    assert y.shape == (1000,) and y.dtype == torch.int64 and set(y.tolist()) == set(range(len(CLASSES)))
    assert torch.equal((x * 255).round() / 255, x), "8-bit pixels"


def test_bundled_images_are_the_first_thousand_of_the_test_set(fashion_mnist):
    all_images, all_labels = read_split(fashion_mnist, "test")
    x, y = images()
    assert torch.equal(x, to_input(all_images[:1000])) and torch.equal(y, all_labels[:1000])


def test_fewer_images_are_the_first_ones():
    x, y = images(7)
    assert torch.equal(x, images()[0][:7]) and torch.equal(y, images()[1][:7])


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_impossible_numbers_are_refused(n):
    with pytest.raises(InputError, match="1 to 1000"):
        images(n)


def test_loader_keeps_the_order_and_the_rest():
    batches = list(loader(batch_size=32, n=100))
    assert [len(y) for _, y in batches] == [32, 32, 32, 4]
    assert torch.equal(torch.cat([x for x, _ in batches]), images(100)[0])


def test_the_excerpt_carries_its_licence_and_is_small():
    assert IMAGES.stat().st_size < 1_000_000
    with np.load(IMAGES) as file:
        assert file["x"].dtype == file["y"].dtype == np.uint8
    licence = (HERE / "FASHION_MNIST_LICENSE").read_text()
    assert "MIT License" in licence and "Zalando SE" in licence
