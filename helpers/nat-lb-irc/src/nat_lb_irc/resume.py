"""Which public port stands for which offered one, so that RESUME and ACCEPT name the offer that is meant.

The law: a port means something only together with who offered it, since another user may have offered the same
number; and only the latest offers are remembered.
"""

from __future__ import annotations

REMEMBERED = 32  # offers a connection; more than can be expected at one time


class Ports:
    """The offers that came from the real server's side, oldest first."""

    def __init__(self) -> None:
        self._public: dict[tuple[bytes, int], int] = {}

    def note(self, nick: bytes, real: int, public: int) -> None:
        """Remember that a nick's offer of the port `real` is known as `public` outside."""
        self._public.pop((nick, real), None)
        self._public[nick, real] = public
        if len(self._public) > REMEMBERED:
            del self._public[next(iter(self._public))]

    def public(self, nick: bytes, real: int) -> int | None:
        """Return the port that the client knows a nick's offer by."""
        return self._public.get((nick, real))

    def real(self, nick: bytes, public: int) -> int | None:
        """Return the port that a nick offered; the latest if a public port served twice."""
        for (who, port), known in reversed(self._public.items()):
            if (who, known) == (nick, public):
                return port
        return None
