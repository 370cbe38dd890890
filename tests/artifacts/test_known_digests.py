from __future__ import annotations

import json
from pathlib import Path

import pytest

from flab_deploy import known_digests
from flab_deploy.artifacts import file_digest
from flab_deploy.known_digests import known_digest


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(known_digests, "_SETTLED_S", 0.0)
    file = tmp_path / "weights"
    with file.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    return file


def entries(large: Path) -> list[Path]:
    return list((large.parent / "home" / "digests").glob("*.json"))


def test_a_large_file_is_read_once_until_it_changes(large: Path) -> None:
    assert known_digest(large) == file_digest(large)
    (entry,) = entries(large)
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"sha256": "remembered"}))
    assert known_digest(large) == "remembered"
    with large.open("r+b") as stream:
        stream.write(b"x")
    assert known_digest(large) == file_digest(large)
    entry.write_text("damaged")
    assert known_digest(large) == file_digest(large)


def test_a_file_that_just_changed_is_not_remembered(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_digests, "_SETTLED_S", 3600.0)
    assert known_digest(large) == file_digest(large)
    assert entries(large) == []


def test_small_files_are_always_read(large: Path) -> None:
    small = large.parent / "small"
    small.write_bytes(b"text")
    assert known_digest(small) == file_digest(small)
    assert entries(large) == []
