"""Files and folders that appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jpt_ner.atomic_jpt import MODEL_FILES, atomic_file, atomic_folder, new_folder


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
            raise OSError(errno.EBUSY, "refused")
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


@pytest.mark.parametrize("has_links", [True, False])
def test_what_is_no_file_of_a_model_stays_in_its_folder(tmp_path, monkeypatch, has_links):
    path = tmp_path / "model"
    (path / ".git" / "objects").mkdir(parents=True)
    (path / ".git" / "objects" / "ab").write_text("commit")
    (path / ".git" / "objects" / "ab").chmod(0o444)  # as git does
    (path / "latest").symlink_to(".git")
    for name in ("README.md", "config.json", "code.py", "chat_template.jinja", "model-00001-of-00002.safetensors"):
        (path / name).write_text("old")
    before = names(path)
    if not has_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no hard links")))

    def write(fails):
        with atomic_folder(path, replaced=MODEL_FILES) as whole:
            for name in ("code.py", "config.json", "model.safetensors"):
                (whole / name).write_text("new")
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fails=True)
    assert names(path) == before and (path / "code.py").read_text() == "old"
    write(fails=False)
    assert names(path) == [".git", "README.md", "code.py", "config.json", "latest", "model.safetensors"]
    assert (path / ".git" / "objects" / "ab").read_text() == "commit" and (path / "latest").is_symlink()
    assert (path / "README.md").read_text() == "old" and (path / "code.py").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_new_folder(tmp_path):
    assert new_folder(tmp_path / "new") == tmp_path / "new"
    assert new_folder(str(tmp_path)) == tmp_path
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match="`place` must be a new or an empty folder"):
            new_folder(path, "place")


# ---- what killed runs leave -----------------------------------------------------------------------------------------

WRITE = """
import sys, time
from jpt_ner.atomic_jpt import atomic_file, atomic_folder
kind, path = sys.argv[1:]
with (atomic_file if kind == "file" else atomic_folder)(path) as temporary:
    (temporary if kind == "file" else temporary / "weights").write_text("half")
    print("written", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def start_writing():
    runs = []

    def start(kind, path):
        run = subprocess.Popen([sys.executable, "-c", WRITE, kind, str(path)], stdout=subprocess.PIPE)
        runs.append(run)
        assert run.stdout.readline() == b"written\n"
        return run

    yield start
    for run in runs:
        run.kill()
        run.wait()
        run.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
@pytest.mark.parametrize("kind", ["file", "folder", "empty folder"])
def test_the_next_run_removes_what_a_killed_one_left(tmp_path, start_writing, kind):
    path = tmp_path / "output.jsonl"
    if kind == "empty folder":
        path.mkdir()
    run = start_writing(kind, path)
    place = path if kind == "empty folder" else tmp_path
    (hidden,) = (name for name in names(place) if name.startswith("."))
    assert hidden.startswith(".output.jsonl.")
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert hidden in names(place) and new_folder(path) == path if kind == "empty folder" else True
    if kind == "file":
        with atomic_file(path) as temporary:
            temporary.write_text("whole")
    else:
        with atomic_folder(path) as whole:
            (whole / "weights").write_text("whole")
    assert names(tmp_path) == ["output.jsonl"]
    assert (path if kind == "file" else path / "weights").read_text() == "whole"
    assert kind == "file" or names(path) == ["weights"]


def test_what_a_living_run_or_another_output_has_is_left_alone(tmp_path, start_writing):
    start_writing("file", tmp_path / "a.jsonl")
    start_writing("file", tmp_path / "a")
    before = names(tmp_path)
    (tmp_path / ".a.jsonl.notours.tmp").mkdir()
    (tmp_path / f".a.jsonl.{'0' * 12}.tmp").touch()
    with atomic_file(tmp_path / "a.jsonl") as temporary:
        temporary.write_text("x")
    assert set(before) < set(names(tmp_path)) and len(names(tmp_path)) == len(before) + 3


def test_many_runs_of_one_output_do_not_disturb_each_other(tmp_path):
    errors = []

    def write(number):
        try:
            for _ in range(6):
                with atomic_file(tmp_path / "a.txt") as temporary:
                    temporary.write_text(str(number) * 1000)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "a.txt").read_text()
    assert errors == [] and names(tmp_path) == ["a.txt"] and content == content[0] * 1000


# ---- places that are special ----------------------------------------------------------------------------------------


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_file(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real" / "a.txt").read_text() == "new"
    (tmp_path / "models").symlink_to(tmp_path / "real")
    with atomic_folder(tmp_path / "models") as whole:
        (whole / "b").touch()
    assert (tmp_path / "models").is_symlink() and names(tmp_path / "real") == ["b"]


def test_permissions_of_a_replaced_file_are_kept(tmp_path):
    path = tmp_path / "private.txt"
    path.write_text("old")
    path.chmod(0o600)
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    with atomic_file(path) as temporary:
        temporary.write_text("x")
    reader.join()
    assert read == ["x"] and path.is_fifo()


def test_a_folder_in_the_place_of_a_file_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(IsADirectoryError) as caught, atomic_file(tmp_path):
        raise AssertionError("not reached")
    assert caught.value.filename == str(tmp_path)


def test_the_current_folder_is_filled_and_stays_the_same(tmp_path, monkeypatch):
    """The current directory cannot be replaced, nor can a mounted volume; a shell in it would be left in a deleted folder."""
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    with atomic_folder(new_folder(".")) as whole:
        (whole / "weights").touch()
        (whole / "schemas").mkdir()
    assert names(Path(".")) == ["schemas", "weights"] and tmp_path.stat().st_ino == before
    with pytest.raises(ValueError, match="new or an empty folder"):
        new_folder(".")


def test_errors_name_the_output(tmp_path):
    for context in (atomic_file(tmp_path / "no" / "a.txt"), atomic_file(tmp_path / ("a" * 300))):
        with pytest.raises(OSError) as caught, context as temporary:
            temporary.write_text("x")
        assert caught.value.filename.startswith(str(tmp_path)) and ".tmp" not in str(caught.value)


def test_names_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("ü" * 127)
    with atomic_file(path) as temporary:
        temporary.write_text("x")
    assert names(tmp_path) == [path.name]
