"""The public interface of plugins: a change to it is a change for every plugin, so it is written down here."""

from __future__ import annotations

from nat_lb import api


def test_public_names_are_exactly_these() -> None:
    assert api.__all__ == [
        "Address", "Config", "Connection", "Cycle", "Direction", "Edit", "Endpoint", "ExpectationRefused",
        "FlowHash", "FlowKey", "HashTable", "Heaviest", "Helper", "LeastLoad", "Load", "Message", "Options",
        "Peers", "Plan", "RealServer", "Recent", "Registrar", "Scheduler", "ServiceView", "Tracker",
        "VirtualService", "hookimpl",
    ]  # fmt: skip


def test_every_public_name_is_there_and_documented() -> None:
    for name in api.__all__:
        assert getattr(api, name, None) is not None, name
        if isinstance(getattr(api, name), type):
            assert getattr(api, name).__doc__, name
