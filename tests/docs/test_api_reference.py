"""docs/reference/api.md is what `nat_lb.api` says: names, signatures, docstrings."""

from __future__ import annotations

import re

from nat_lb import api
from tests.docs.api_page import PAGE, page


def test_page_is_the_one_that_the_code_gives() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.docs.api_page"


def test_every_public_name_has_a_section_in_order() -> None:
    assert re.findall(r"^## (\w+)", PAGE.read_text(), re.MULTILINE) == api.__all__


def test_methods_of_the_page_say_what_they_do() -> None:
    silent = re.findall(r"^\| `\w+\(.*` \| \|$", PAGE.read_text(), re.MULTILINE)
    assert silent == []
