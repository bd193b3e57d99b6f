"""What is read in a message: its transport addresses, each with its place."""

from __future__ import annotations

from typing import NamedTuple

from nat_lb.api import Endpoint


class UnreadableError(Exception):
    """These octets are not the message that they should be; the text says why."""


class Field(NamedTuple):
    """A transport address: in which message, under which name, and at which octet of the data it begins."""

    message: str
    name: str
    endpoint: Endpoint
    at: int


class Content(NamedTuple):
    """What is of interest in one message; `failure` says why a message inside it could not be read."""

    fields: list[Field]
    failure: str = ""
    message: str = ""
    time_to_live: int | None = None  # seconds
