"""Errors are told apart by whose fault they are."""

from __future__ import annotations

import pytest

from nat_lb.errors import ConfigError, NatLbError, PacketError, PluginError, SystemFault
from nat_lb.verdict import Reason


@pytest.mark.parametrize("error", [ConfigError("x"), PluginError("x"), PacketError("x"), SystemFault("x")])
def test_every_error_is_one_of_nat_lb_and_only_of_its_own_kind(error: NatLbError) -> None:
    kinds = [kind for kind in (ConfigError, PluginError, PacketError, SystemFault) if isinstance(error, kind)]
    assert kinds == [type(error)]


def test_configuration_error_keeps_every_problem_and_prints_one_a_line() -> None:
    error = ConfigError("first", "second")
    assert (error.problems, str(error)) == (("first", "second"), "first\nsecond")


def test_packet_error_has_a_reason_that_the_verdicts_know() -> None:
    assert Reason(PacketError(Reason.TRUNCATED).reason) is Reason.TRUNCATED
