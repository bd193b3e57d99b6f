"""Errors, split by whose fault they are.

`ConfigError` is the operator's, `PluginError` a plugin's, `PacketError` the sender's of one packet,
`SystemFault` that of the machine the director runs on (no root, no netfilter, a port in use).  Every message says who,
where, what was found and what to do about it.
"""

from __future__ import annotations


class NatLbError(Exception):
    """Base of every error that nat-lb raises on purpose."""


class ConfigError(NatLbError):
    """The configuration cannot be used; `problems` holds every objection, one line each."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class PluginError(NatLbError):
    """A plugin broke its contract: names the distribution, the hook or method, and what was expected."""


class PacketError(NatLbError):
    """The bytes are not a packet that can be translated; `reason` is a `verdict.Reason` value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SystemFault(NatLbError):
    """The machine refuses what the director needs: names the facility and the remedy."""
