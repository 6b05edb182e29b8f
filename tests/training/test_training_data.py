import lzma

import numpy as np
import pytest
import torch

from truejoule.errors import InputError
from truejoule.training.data import augment, read_split, shuffled_batches, to_input


def write(folder, x, y):
    with lzma.open(folder / "train_x.npy.xz", "wb") as stream:
        np.save(stream, x)
    np.save(folder / "train_y.npy", y)


def test_reads_what_was_written(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
    y = np.arange(5, dtype=np.uint8)
    write(tmp_path, x, y)
    images, labels = read_split(tmp_path, "train")
    assert np.array_equal(images.numpy(), x) and images.dtype == torch.uint8
    assert labels.tolist() == [0, 1, 2, 3, 4] and labels.dtype == torch.int64


def test_absent_folder_and_file_teach(tmp_path):
    with pytest.raises(InputError, match="data folder does not exist"):
        read_split(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match=r"test_x\.npy\.xz"):
        read_split(tmp_path, "test")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((5, 6, 7), np.float32), np.zeros(5, np.uint8), "wrong array"),
        (np.zeros((5, 42), np.uint8), np.zeros(5, np.uint8), "3 dimensions"),
        (np.zeros((5, 6, 7), np.uint8), np.zeros(4, np.uint8), "5 images, 4 labels"),
    ],
)
def test_wrong_contents_teach(tmp_path, x, y, message):
    write(tmp_path, x, y)
    with pytest.raises(InputError, match=message):
        read_split(tmp_path, "train")


def test_garbage_is_an_input_error(tmp_path):
    (tmp_path / "train_x.npy.xz").write_bytes(b"not xz")
    with pytest.raises(InputError, match="cannot be read"):
        read_split(tmp_path, "train")


def test_a_pickle_is_never_opened(tmp_path):
    write(tmp_path, np.array([{"a": 1}], dtype=object), np.zeros(1, np.uint8))
    with pytest.raises(InputError, match="cannot be read"):
        read_split(tmp_path, "train")


def test_input_is_pixels_over_255():
    x = to_input(torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16))
    assert x.shape == (1, 1, 16, 16) and x.min() == 0 and x.max() == 1
    assert torch.equal((x * 255).round().flatten(), torch.arange(256.0))


def test_augmentation_moves_and_mirrors_but_keeps_the_pixels():
    images = torch.zeros(400, 9, 9, dtype=torch.uint8)
    images[:, 4, 2] = 7
    out = augment(images, torch.Generator().manual_seed(0), shift=1, flip=True)
    assert out.dtype == torch.uint8 and (out.sum((1, 2)) == 7).all()
    rows, columns = zip(*[divmod(int(i), 9) for i in out.flatten(1).argmax(1)], strict=True)
    assert set(rows) == {3, 4, 5} and set(columns) == {1, 2, 3, 5, 6, 7}


def test_an_epoch_shows_each_image_once_and_repeats_with_its_seed():
    images = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1).expand(20, 4, 4)
    labels = torch.arange(20)
    first, again = (
        [y for _, y in shuffled_batches(images, labels, 5, torch.Generator().manual_seed(4))] for _ in range(2)
    )
    assert sorted(torch.cat(first).tolist()) == list(range(20))
    assert torch.equal(torch.cat(first), torch.cat(again))
    for x, y in shuffled_batches(images, labels, 5, torch.Generator().manual_seed(4)):
        assert torch.equal((x[:, 0, 0, 0] * 255).round().long(), y)
