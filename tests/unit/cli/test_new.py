"""`nat-lb new`: names, folders, and what is written; that it passes its own tests is seen in tests/packaging."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nat_lb import __version__
from nat_lb.cli import cli


def new(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["new", *arguments])


@pytest.mark.parametrize("kind", ["scheduler", "helper", "tracker"])
def test_distribution_has_all_that_a_distribution_needs(kind: str, tmp_path: Path) -> None:
    done = new(kind, "my-own", "--into", str(tmp_path))
    assert done.exit_code == 0, done.output
    folder = tmp_path / "nat-lb-my-own"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        ".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml",
        "src/nat_lb_my_own/__init__.py", "src/nat_lb_my_own/py.typed", "tests/test_my_own.py",
    }  # fmt: skip
    assert [line for line in done.output.splitlines() if line.startswith("wrote ")] == [
        f"wrote {folder / path}" for path in sorted(written)
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"nat_lb": {"my-own": "nat_lb_my_own"}}
    assert project["dependencies"] == [f"nat-lb ~= {__version__.rpartition('.')[0]}"]
    assert folder.stat().st_mode & 0o700 == 0o700
    assert list(tmp_path.iterdir()) == [folder]


def test_nothing_of_a_template_is_left_unfilled(tmp_path: Path) -> None:
    for kind in ("scheduler", "helper", "tracker"):
        new(kind, f"a-{kind}", "--into", str(tmp_path))
    texts = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(texts) == 24
    left = {path.name: text for path, text in texts.items() if "$" in text.replace("${{ matrix.python }}", "")}
    assert left == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Fair", ' Did you mean "fair"?'),
        ("least_time", ' Did you mean "least-time"?'),
        ("NAT_LB_Fair", ' Did you mean "fair"?'),
        ("2fast", ""),
        ("a--b", ""),
        ("-a", ""),
        ("a/b", ""),
        ("../a", ""),
        ("ä", ""),
        ("", ""),
    ],
)
def test_name_that_no_index_would_take_is_refused(name: str, hint: str, tmp_path: Path) -> None:
    done = new("scheduler", "--into", str(tmp_path), "--", name)
    assert done.exit_code == 2
    words = " ".join(done.output.split())
    assert (
        f'"{name}" is no plugin\'s name: lower-case letters, digits and single hyphens, a letter first.{hint}' in words
    )
    assert list(tmp_path.iterdir()) == []


def test_prefix_of_the_distribution_is_not_repeated(tmp_path: Path) -> None:
    done = new("helper", "nat-lb-chat", "--into", str(tmp_path))
    assert done.exit_code == 2
    assert 'the distribution is called nat-lb-NAME already. Write "chat".' in done.output


@pytest.mark.parametrize(
    ("kind", "name", "holder"),
    [("scheduler", "rr", "nat-lb-rr"), ("helper", "ftp", "nat-lb-ftp"), ("tracker", "tcp", "nat-lb"),
     ("tracker", "rr", "nat-lb-rr")],
)  # fmt: skip
def test_name_of_an_installed_plugin_is_taken(kind: str, name: str, holder: str, tmp_path: Path) -> None:
    done = new(kind, name, "--into", str(tmp_path))
    assert done.exit_code == 2
    assert f'"{name}" is taken: {holder} is installed here and provides it.' in " ".join(done.output.split())


def test_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    kept = tmp_path / "nat-lb-mine" / "notes"
    kept.parent.mkdir()
    kept.write_text("mine")
    done = new("scheduler", "mine", "--into", str(tmp_path))
    assert done.exit_code != 0
    assert f"{kept.parent} exists already. Choose another name, or another folder (--into)." in done.output
    assert [path.name for path in tmp_path.rglob("*")] == ["nat-lb-mine", "notes"]


def test_write_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.write_text

    def full(path: Path, *arguments: str) -> int:
        if path.name == "README.md":
            raise OSError(28, "No space left on device")
        return whole(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full)
    done = new("scheduler", "mine", "--into", str(tmp_path))
    assert done.exit_code != 0
    assert f"{tmp_path / 'nat-lb-mine'}: No space left on device. Nothing was written." in done.output
    assert list(tmp_path.iterdir()) == []
