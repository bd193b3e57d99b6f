"""The calls of one control connection.

The law: a call has up to three numbers. The real server's id is unique among these calls, and so is the client's, as
soon as it is known: an end that gives an id out anew has no use for the call that had it. The public id stands for the
real server's outside and is unique for the client and the VIP, whatever other real servers count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nat_lb.api import Endpoint


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `client` is None until the call is answered."""

    real: int
    public: Endpoint
    client: int | None = None


class Calls:
    """Those that are being set up or connected."""

    def __init__(self) -> None:
        self._by_real: dict[int, Call] = {}

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._by_real.values()))

    def __len__(self) -> int:
        return len(self._by_real)

    def put(self, call: Call) -> None:
        """Remember a call, in place of those that its ids meant before."""
        former = self.named_by_client(call.client) if call.client is not None else None
        if former is not None:
            self.remove(former)
        self._by_real[call.real] = call

    def remove(self, call: Call) -> None:
        """Forget a call."""
        self._by_real.pop(call.real, None)

    def named_by_server(self, real: int) -> Call | None:
        """Return the call with this id of the real server's."""
        return self._by_real.get(real)

    def named_to_server(self, public: int | None) -> Call | None:
        """Return the call that the client addresses by this public id."""
        return next((call for call in self if call.public.port == public), None)

    def named_by_client(self, client: int | None) -> Call | None:
        """Return the call with this id of the client's."""
        return next((call for call in self if call.client == client), None)
