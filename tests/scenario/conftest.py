"""Every scenario that takes `net` is played in IPv4 and in IPv6."""

from __future__ import annotations

import pytest

from tests.scenario.nets import IPV4, IPV6, Net


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def net(request: pytest.FixtureRequest) -> Net:
    net: Net = request.param
    return net
