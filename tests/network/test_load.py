"""``file.py:name``."""

import pytest
from torch import nn

from truejoule.errors import InputError
from truejoule.network.load import load_module, load_object

SOURCE = """
import torch
from torch import nn
import neighbour
net = nn.Linear(2, 3)
class Net(nn.Module):
    def __init__(self): super().__init__(); self.fc = nn.Linear(2, neighbour.SIZE)
def make(): return nn.Linear(4, 5)
def fails(): return 1 / 0
def wants(size): return nn.Linear(size, 1)
batches = [torch.zeros(1, 2)]
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "neighbour.py").write_text("SIZE = 7")
    path = tmp_path / "my_net.py"
    path.write_text(SOURCE)
    return path


def test_objects_classes_and_functions(file):
    assert load_module(f"{file}:net").out_features == 3
    assert load_module(f"{file}:Net").fc.out_features == 7
    assert load_module(f"{file}:make").out_features == 5
    assert isinstance(load_object(f"{file}:batches"), list)
    assert isinstance(load_module(f"{file}:net"), nn.Module)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_net.py", "not a reference"),
        ("{dir}/my_nte.py:net", "did you mean 'my_net.py'"),
        ("{dir}/my_net.py:nett", "did you mean 'net'"),
        ("{dir}/my_net.py:fails", "ZeroDivisionError: division by zero\n  where:    {dir}/my_net.py, line 9"),
        ("{dir}/my_net.py:wants", "missing 1 required positional argument"),
        ("{dir}/my_net.py:batches", "not a network"),
    ],
)
def test_clear_errors(file, reference, message):
    with pytest.raises(InputError) as caught:
        load_module(reference.format(dir=file.parent))
    assert message.format(dir=file.parent) in str(caught.value)


def test_a_file_that_fails(tmp_path):
    for text, message in (("x = 1\nraise KeyError('no')", "line 2"), ("def f(:\n", "line 1")):
        path = tmp_path / "bad.py"
        path.write_text(text)
        with pytest.raises(InputError, match="failed while it was read") as caught:
            load_object(f"{path}:x")
        assert message in str(caught.value)
