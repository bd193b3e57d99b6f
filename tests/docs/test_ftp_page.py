"""The page of the FTP helper says what its code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nat_lb_ftp
from nat_lb.testing.scenario import Scenario
from nat_lb_ftp import FtpOptions

PAGE = (Path(__file__).parents[2] / "helpers/nat-lb-ftp/README.md").read_text()
SOURCE = "".join(path.read_text() for path in sorted(Path(nat_lb_ftp.__file__).parent.glob("*.py")))
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)`", re.MULTILINE)
KIND = re.compile(r'(?:Refusal\([^()]*(?:\([^()]*\)[^()]*)*,\s*|kind=|MALFORMED = )"([a-z ]+)"')


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the first two cells of the rows below a heading."""
    return ROW.findall(PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0])


def test_every_option_is_explained_with_its_default() -> None:
    assert [key for key, _ in rows("Options")] == list(FtpOptions.model_fields)
    assert [default for _, default in rows("Options")] == ["[]", "1024", "{}", "false"]


def test_every_kind_of_refusal_is_explained() -> None:
    core = {"no free port"}
    assert {kind for kind, _ in rows("What is refused")} == set(KIND.findall(SOURCE)) | core


@pytest.mark.parametrize("toml", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_configuration_of_the_page_is_accepted(toml: str) -> None:
    Scenario(toml)
