"""Which files are read, in which order, and what is said of a tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flab_deploy.errors import ConfigError
from flab_deploy.mining.corpus_file import write_corpus
from flab_deploy.mining.trees import in_turns, read_tree
from flab_deploy.settings.corpus import CorpusConfig
from tests.mining.trees import mined, squares, tree

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{more}\n"


def many_files() -> dict[str, str | bytes]:
    """Two packages of different size and a module."""
    names = [
        *(f"large/m{n}.py" for n in range(20)),
        *(f"small/m{n}.py" for n in range(3)),
        "one.py",
    ]
    return {name: squares(f"f{n}").replace("= 0", f"= {n}") for n, name in enumerate(names)}


def test_the_same_tree_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    """And in whatever order its files were made."""
    files = many_files()
    turned = dict(reversed(files.items()))
    first = write_corpus(tmp_path / "a.jsonl", mined(tmp_path / "here", files).records)
    second = write_corpus(tmp_path / "b.jsonl", mined(tmp_path / "there", turned).records)
    assert first == second
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    other = write_corpus(tmp_path / "c.jsonl", mined(tmp_path / "here", files, seed=1).records)
    assert other != first


def test_packages_take_turns(tmp_path: Path) -> None:
    found = read_tree(tree(tmp_path, many_files()))
    ordered = in_turns(found.files, 0)
    assert sorted(file.name for file in ordered) == sorted(many_files())
    assert {file.package for file in ordered[:3]} == {"large", "small", "one.py"}
    assert {file.package for file in ordered[3:7]} == {"large", "small"}


def test_reading_ends_once_there_is_enough(tmp_path: Path) -> None:
    found = mined(tmp_path, many_files(), max_records=5)
    assert (len(found.records), found.kinds, found.languages) == (5, {"function": 5}, {"python": 5})


def test_hidden_folders_and_links_are_not_followed(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree", {".hidden/a.py": "", "__pycache__/b.py": "", "c.py": ""})
    outside = tree(tmp_path / "outside", {"d.py": ""})
    (source / "linked").symlink_to(outside)
    (source / "linked.py").symlink_to(outside / "d.py")
    os.mkfifo(source / "pipe.py")
    assert [file.name for file in read_tree(source).files] == ["c.py"]


def test_a_single_file_is_a_tree(tmp_path: Path) -> None:
    (file,) = read_tree(tree(tmp_path, {"a.py": ""}) / "a.py").files
    assert (file.name, file.package) == ("a.py", "a.py")


def test_a_name_that_is_not_utf_8_can_be_written(tmp_path: Path) -> None:
    tree(tmp_path / "tree", {os.fsdecode(b"\xff.py"): squares()})
    found = mined(tmp_path / "tree", {})
    assert [record.source for record in found.records] == ["\ufffd.py:2"]
    write_corpus(tmp_path / "a.jsonl", found.records)


def test_licences_are_noted(tmp_path: Path) -> None:
    licence = METADATA.format(name="expressed", more="License-Expression: MIT")
    text = METADATA.format(name="worded", more="License: BSD\n        and so on")
    group = METADATA.format(
        name="classified", more="Classifier: License :: OSI Approved :: Apache Software License"
    )
    files: dict[str, str | bytes] = {
        "a.py": "",
        "LICENSE": "",
        "pkg/COPYING.txt": "",
        "vendor/LICENSE": "",
        "expressed-1.dist-info/METADATA": licence,
        "worded-1.dist-info/METADATA": text,
        "classified-1.dist-info/METADATA": group,
        "silent-1.dist-info/METADATA": METADATA.format(name="silent", more=""),
    }
    found = read_tree(tree(tmp_path, files))
    assert found.licence_files == ("LICENSE", "pkg/COPYING.txt")
    assert found.package_licences == {
        "classified": "Apache Software License",
        "expressed": "MIT",
        "silent": "not declared",
        "worded": "BSD",
    }


def test_a_tree_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no directory at .*none; give a source tree"):
        read_tree(tmp_path / "none")
    tree(tmp_path, {"readme.md": "", "vendor/a.py": ""})
    with pytest.raises(ConfigError, match=r"holds no Python file, 1 vendored ones aside; give"):
        read_tree(tmp_path, ["python"])


def test_settings_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="kinds is empty; give one or more of function, method"):
        CorpusConfig(kinds=())
    with pytest.raises(ConfigError, match="languages is empty; give one or more of python, go"):
        CorpusConfig(languages=())
