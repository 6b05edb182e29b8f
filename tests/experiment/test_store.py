"""Run folders: whole, found again, and replaced by the same question."""

import json
from pathlib import Path

import pytest

from truejoule.errors import InputError
from truejoule.experiment import read, write
from truejoule.experiment.store import folder_name

EVALUATION = json.loads((Path(__file__).parents[1] / "report" / "evaluation.json").read_text())


def test_round_trip(tmp_path):
    folder = write(tmp_path / "runs", EVALUATION, {"report.html": "<p>"})
    assert read(folder) == EVALUATION == read(folder / "evaluation.json")
    assert (folder / "report.html").read_text() == "<p>"


def test_same_question_same_folder(tmp_path):
    first = write(tmp_path, EVALUATION, {"old.txt": ""})
    again = write(tmp_path, EVALUATION | {"energy_j": 1.0})
    assert first == again and read(again)["energy_j"] == 1.0
    assert not (again / "old.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == [first.name]
    other = EVALUATION | {"remedies": ["something"]}
    assert folder_name(other) != folder_name(EVALUATION)


def test_names_are_safe(tmp_path):
    folder = write(tmp_path, EVALUATION | {"network": "../../etc/passwd <b>"})
    assert folder.parent == tmp_path and "/" not in folder.name and "<" not in folder.name


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        write(tmp_path, EVALUATION | {"energy_j": float("nan")})
    assert not list(tmp_path.iterdir())


def test_errors(tmp_path):
    write(tmp_path, EVALUATION)
    with pytest.raises(InputError, match="not a run folder"):
        read(tmp_path / "nothing")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "broken")
    (tmp_path / "broken" / "evaluation.json").write_text("{}")
    with pytest.raises(InputError, match="not an evaluation"):
        read(tmp_path / "broken")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file", EVALUATION)
