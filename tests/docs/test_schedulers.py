"""docs/reference/schedulers.md is about the schedulers that are installed, their options and the plans they make."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat_lb.config import parse
from nat_lb.config.phrases import shown
from nat_lb.director import Director
from nat_lb.plugins import Registry
from nat_lb.testing.schedules import Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "schedulers.md").read_text()
TYPES = {bool: "true or false", int: "whole number", float: "number", int | None: "whole number"}
SCHEDULERS = Registry().schedulers


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    text = PAGE.partition(f"# {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def options(name: str) -> Iterator[list[Any]]:
    model: Any = SCHEDULERS[name].options
    for key, field in model.model_fields.items() if model is not None else ():
        default = "none" if field.default is None else f"`{shown(field.default)}`"
        yield [f"`{name}`", f"`{key}`", TYPES[field.annotation], default, field.description]


def test_table_has_every_installed_scheduler_once() -> None:
    assert sorted(row[0].strip("*`") for row in rows("Schedulers")) == sorted(SCHEDULERS)


def test_schedulers_in_bold_are_those_of_the_standard_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bold = {f"nat-lb-{row[0].strip('*`')}" for row in rows("Schedulers") if row[0].startswith("**")}
    assert bold == {f"nat-lb-{name}" for name in SCHEDULERS} & set(extras["standard"])


@pytest.mark.parametrize("row", rows("Schedulers"), ids=lambda row: row[0].strip("*`"))
def test_row_names_the_plan_and_the_options_of_its_scheduler(row: list[str]) -> None:
    name = row[0].strip("*`")
    plan = SCHEDULERS[name](Service(1, 2)).present_plan
    assert row[2] == (f"`{type(plan).__name__}`" if plan is not None else "code")
    assert row[3] == (", ".join(option[1] for option in options(name)) or "none")


def test_table_of_options_is_that_of_the_code() -> None:
    names = [row[0].strip("*`") for row in rows("Schedulers")]
    assert rows("Options") == [option for name in names for option in options(name)]


@pytest.mark.parametrize("row", rows("Schedulers"), ids=lambda row: row[0].strip("*`"))
def test_server_of_weight_0_is_treated_as_the_row_says(row: list[str]) -> None:
    web = Service(0, 0, 0)
    scheduler = SCHEDULERS[row[0].strip("*`")](web)
    assert web.decisions(scheduler, 5) == "-----"
    web.reweigh(scheduler, A=3, B=2, C=1)
    web.decisions(scheduler, 2)
    web.server("B").configure(0)  # not told: a server is asked whether it is usable, each time
    assert "B" not in web.decisions(scheduler, 9)


def test_example_is_a_configuration_that_runs() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (service,) = Director(parse(example, "page"), "page").lifecycle.services
    assert service.scheduler is not None
    assert service.scheduler.name == "mh"


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_example_of_a_plugins_readme_runs_with_that_scheduler(name: str) -> None:
    readme = (ROOT / "plugins" / f"nat-lb-{name}" / "README.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (service,) = Director(parse(example, name), name).lifecycle.services
    assert type(service.scheduler) is SCHEDULERS[name]
