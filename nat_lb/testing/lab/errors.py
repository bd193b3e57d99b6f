"""What the lab says when it cannot do its work: who, where, what was found, what to do."""

from __future__ import annotations

from nat_lb.errors import SystemFault


class LabError(SystemFault):
    """A namespace, a program in it or a capture did not do what the lab needs."""
