"""Code that every machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from flab_deploy.corpora import load_held_out, load_instructions
from flab_deploy.errors import ConfigError
from flab_deploy.home import flab_home
from flab_deploy.mining import mine_installed, split_of
from flab_deploy.mining.installed import package_tree
from flab_deploy.settings.corpus import CorpusConfig


def test_installed_code_is_mined_once_and_then_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAB_HOME", str(tmp_path))
    few = CorpusConfig(languages=("python",), max_records=60)
    first = mine_installed(few)
    assert len(first) == 60
    packages = {record.source.partition("/")[0] for record in first}
    assert len(packages) >= 10
    (kept,) = (flab_home() / "corpora").iterdir()
    lines = kept.read_text(encoding="utf-8").splitlines()
    kept.write_text("\n".join(lines[:7]) + "\n", encoding="utf-8")
    assert mine_installed(few) == first[:7]  # nothing was mined again
    again = mine_installed(CorpusConfig(languages=("python",), max_records=60, seed=1))
    assert again != first and len(again) == 60


@pytest.mark.slow
def test_what_is_held_out_of_installed_code_shares_no_file_with_the_rest() -> None:
    train = load_instructions("installed", 24_000, "any")
    held_out = load_held_out("installed", 24_000, 24_000)
    assert len(train) + len(held_out) == len(mine_installed())
    assert 0.05 < len(held_out) / len(train) < 0.2
    files: dict[str, set[str]] = {"train": set(), "held_out": set()}
    for mined in mine_installed():
        files[split_of(mined.source)].add(mined.source.rpartition(":")[0])
    assert files["train"].isdisjoint(files["held_out"])
    assert load_instructions("installed", 10, "other") == train[:10]


def test_the_split_goes_by_the_file_alone() -> None:
    names = [f"package/module_{n}.py" for n in range(2000)]
    assert {split_of(f"{name}:{line}") == split_of(name) for name in names for line in (1, 99)} == {
        True
    }
    assert 140 < sum(split_of(name) == "held_out" for name in names) < 260
    # Fixed, so that held-out code stays held out on every machine and in every version.
    assert [n for n, name in enumerate(names[:30]) if split_of(name) == "held_out"] == [14]


@pytest.mark.parametrize(
    ("name", "first", "licence"),
    [
        ("json", "json/__init__.py", {"Python": "PSF-2.0"}),
        ("textwrap", "textwrap.py", {"Python": "PSF-2.0"}),
        ("os", "os.py", {"Python": "PSF-2.0"}),
        ("cyclopts", "cyclopts/__init__.py", {"cyclopts": "Apache-2.0"}),
    ],
)
def test_a_package_is_found_by_the_name_that_is_imported(
    name: str, first: str, licence: dict[str, str]
) -> None:
    found = package_tree(name)
    assert found.files[0].name == first
    assert found.package_licences == licence


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jsno", "no installed package is called 'jsno'; give the name that is imported"),
        ("json.decoder", "no installed package is called 'json.decoder'"),
        ("../json", "no installed package is called '../json'"),
        ("sys", "package 'sys' comes without Python sources"),
    ],
)
def test_a_package_that_is_not_here_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        package_tree(name)
    assert message in str(caught.value)
