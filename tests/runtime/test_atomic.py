"""Files and folders that appear whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jpt_ner.atomic_jpt import atomic_file, atomic_folder, new_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_a_link_is_written_through_and_a_folder_refused_at_once(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "real")
    with atomic_file(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "there" / "real").read_text() == "new" and (tmp_path / "link").is_symlink()
    with pytest.raises(IsADirectoryError), atomic_file(tmp_path / "there"):
        raise AssertionError("nothing is to be written")
    assert names(tmp_path) == ["link", "there"] and names(tmp_path / "there") == ["real"]


LEAVE = """
import os, sys
from jpt_ner.atomic_jpt import atomic_file, atomic_folder
with atomic_file(sys.argv[1] + "/a.txt") as file, atomic_folder(sys.argv[1] + "/model") as folder:
    file.write_text("half")
    (folder / "weights").touch()
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
def test_leftovers_of_killed_runs_are_removed_by_the_next_and_those_of_living_ones_are_not(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "written\n"
        left = names(tmp_path)
        assert len(left) == 2 and left[0].startswith(".a.txt-") and left[1].startswith(".model-")
        with atomic_file(tmp_path / "a.txt") as temporary, atomic_folder(tmp_path / "model"):
            temporary.write_text("whole")
        assert names(tmp_path) == [*left, "a.txt", "model"]
    finally:
        process.kill()
        process.communicate()
    with atomic_file(tmp_path / "a.txt") as temporary, atomic_folder(tmp_path / "model"):
        temporary.write_text("whole")
    assert names(tmp_path) == ["a.txt", "model"]


def test_names_of_any_length_can_be_written(tmp_path):
    for path in (tmp_path / ("ä" * 127), tmp_path / ("a" * 250 + ".txt")):
        with atomic_file(path) as temporary:
            temporary.write_text("x")
        assert path.read_text() == "x"


def test_folder_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_folder(path) as whole:
            (whole / content).touch()
    assert names(path) == ["new"]
    with pytest.raises(RuntimeError), atomic_folder(path) as whole:
        (whole / "half").touch()
        raise RuntimeError
    assert names(path) == ["new"] and names(tmp_path) == ["model"]


def test_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "model"
    with atomic_folder(path) as whole:
        (whole / "old").touch()
    replace = os.replace

    def refused(source, target):
        if Path(source).name == "new":
            raise OSError("refused")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OSError, match="refused"), atomic_folder(path) as whole:
        (whole / "new").touch()
    assert names(path) == ["old"] and names(tmp_path) == ["model"]


def test_folder_of_another_process_is_kept(tmp_path):
    path = tmp_path / "deep" / "cache"
    with atomic_folder(path, keep="theirs") as whole:
        (whole / "mine").touch()
        path.mkdir()
        (path / "theirs").touch()
    assert names(path) == ["theirs"] and names(path.parent) == ["cache"]
    with pytest.raises(OSError), atomic_folder(path, keep="mine") as whole:
        (whole / "mine").touch()
    assert names(path) == ["theirs"] and names(path.parent) == ["cache"]


def test_new_folder(tmp_path):
    assert new_folder(tmp_path / "new") == tmp_path / "new"
    assert new_folder(str(tmp_path)) == tmp_path
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="`place` must be a new or an empty folder"):
            new_folder(path, "place")
