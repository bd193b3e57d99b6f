"""The fast path's interface: whoever derives from it has all of it to write."""

from __future__ import annotations

import pytest

from nat_lb.fastpath import FastPath
from tests.mirror import Mirror


def test_fast_path_that_lacks_anything_cannot_be_made() -> None:
    missing = {name for name in dir(FastPath) if getattr(getattr(FastPath, name), "__isabstractmethod__", False)}
    assert missing <= set(vars(Mirror))
    with pytest.raises(TypeError, match="abstract"):
        FastPath()  # type: ignore[abstract]
