import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The full data set: ``$TRUEJOULE_DATA/fashion_mnist`` or ``../shared/data/fashion_mnist``."""
    root = Path(os.environ.get("TRUEJOULE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    folder = root / "fashion_mnist"
    if not folder.is_dir():
        pytest.skip(
            f"the full Fashion-MNIST is not at {folder}; set TRUEJOULE_DATA to the folder that holds fashion_mnist/"
        )
    return folder
