"""An edit that is longer than a segment: its text is on the way in several packets, and may arrive in part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from nat_lb.api import Edit, Helper, Message
from nat_lb.testing.conformance import Dialogue, HelperConformance, client_says, server_says


class Speller(Helper):
    """Writes 300 octets for one."""

    name = "speller"

    def rewrite(self, message: Message) -> Iterable[Edit]:
        at = message.data.find(b"X")
        return [Edit(at, at + 1, b"Y" * 300)] if at >= 0 else []


class TestLongEdits(HelperConformance):
    """Of what is received in part, no octet may be acknowledged selectively (RFC 2018)."""

    helper = "speller"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "long text": Dialogue(
            client_says(b"hello\n"),
            server_says(b"aXb\n", arrives=b"a" + b"Y" * 300 + b"b\n"),
            client_says(b"thanks\n"),
            server_says(b"XX\nX\n", arrives=b"Y" * 300 + b"X\n" + b"Y" * 300 + b"\n"),
        )
    }

    @classmethod
    def helper_class(cls) -> type[Helper]:
        return Speller

    def test_plugin_is_found_under_its_entry_point_name(self) -> None:
        """It is this test's own and not installed."""
        assert self.helper_class().name == self.helper
