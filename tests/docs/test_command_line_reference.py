"""docs/reference/command-line.md says what `nat-lb --help` says: the same commands, arguments, options and words."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from nat_lb.cli import cli

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text()
COMMANDS = cli.list_commands(click.Context(cli))
HELP = "| `-h`, `--help` | Show this message and exit. |"


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def section(name: str) -> str:
    """The page from a command's heading to the next."""
    (text,) = re.findall(rf"^(## `nat-lb {name}\b.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def option_rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `-")]


def documented(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if not option.is_flag:
        names = f"`{option.opts[-1]} {option.metavar or option.type.name.upper()}`"
    return f"| {names} | {option.help} |"


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_command_has_a_section_in_the_order_of_the_help() -> None:
    assert re.findall(r"^## `nat-lb (\w+)", PAGE, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_heading_has_the_arguments_of_the_command(name: str) -> None:
    context = click.Context(command(name))
    arguments = [p.make_metavar(context) for p in command(name).params if isinstance(p, click.Argument)]
    assert section(name).splitlines()[0] == f"## `{' '.join(['nat-lb', name, *arguments])}`"


@pytest.mark.parametrize("name", COMMANDS)
def test_table_has_every_option_and_no_other(name: str) -> None:
    options = [parameter for parameter in command(name).params if isinstance(parameter, click.Option)]
    assert option_rows(section(name)) == [documented(option) for option in options]


@pytest.mark.parametrize("name", COMMANDS)
def test_section_begins_with_the_help_of_the_command(name: str) -> None:
    first = (command(name).help or "").partition("\n\n")[0]
    assert section(name).split("\n\n")[1] == words(first)


def test_options_of_the_program_itself_are_documented() -> None:
    options = [documented(parameter) for parameter in cli.params if isinstance(parameter, click.Option)]
    assert option_rows(PAGE.partition("\n## ")[0]) == [*options, HELP]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_sentence_of_the_help_is_in_the_section(name: str) -> None:
    text = words(section(name))
    for sentence in re.split(r"(?<=\.)\s+", words(command(name).help or "")):
        assert sentence in text
