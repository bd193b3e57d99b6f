"""How TCP stacks may behave: what the property tests of streams have in common."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def stacks(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the arguments of a `Stack`; `more` adds to them."""
    habits: dict[str, st.SearchStrategy[Any]] = {
        "mss": st.sampled_from([88, 536, 1460]),
        "sack": st.booleans(),
        "timestamps": st.booleans(),
        "nagle": st.booleans(),
        "recut": st.booleans(),
        "delayed_ack": st.booleans(),
        "slow_reader": st.sampled_from([0.0, 0.2]),
        "keepalive": st.sampled_from([0.0, 0.1]),
    }
    return st.fixed_dictionaries(habits | more)
