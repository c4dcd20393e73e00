"""What identifies a model: its own files, wherever they are."""

import shutil

import pytest
from jpt_ner.tools.loading import ENDS, about_model


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/model.safetensors").write_bytes(bytes(3 * ENDS))
    return tmp_path / "model"


def test_a_copy_is_the_same_model_and_reports_beside_it_do_not_matter(folder, tmp_path):
    about = about_model(str(folder))
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "report.json").write_text("{}")
    assert about_model(str(copy)) == {**about, "name": "copy"} and about["name"] == "model"


@pytest.mark.parametrize(
    ("file", "place"), [("config.json", 0), ("model.safetensors", 0), ("model.safetensors", 3 * ENDS - 1)]
)
def test_other_weights_or_settings_are_another_model(folder, file, place):
    about = about_model(str(folder))
    content = bytearray((folder / file).read_bytes())
    content[place] += 1
    (folder / file).write_bytes(content)
    changed = about_model(str(folder))
    assert changed["name"] == about["name"] and changed["revision"] != about["revision"]


def test_a_model_that_is_nowhere_is_an_error():
    with pytest.raises(OSError):
        about_model("nobody/nothing")
