"""Hosts that join segments (TSO, GRO), as real ones do: packets of up to 64 KB reach the director's netfilter rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_lb.testing.lab import Lab
from nat_lb.testing.lab.namespaces import configure
from nat_lb.testing.servers import Nginx
from tests.live.ground import counter

SIZE = 20_000_000
CONFIGURATION = f"""
[[service]]
protocol = "tcp"
address = "{Lab.vip}"
port = 80
real_server = [{{ address = "172.16.0.2" }}]
"""


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_segments_that_the_kernel_had_joined_arrive_in_order(lab: Lab, tmp_path: Path, mtu: int) -> None:
    server = lab.servers[0]
    for host, device in ((lab.client, "eth0"), (server, "eth0"), (lab.director, "inside"), (lab.director, "outside")):
        host.run(["ethtool", "--offload", device, "tx", "on"], check=True)
        configure(host.namespace, [f"link set {device} mtu {mtu}"])
    cables = "outside-client", "outside-director", "inside-director", "inside-server1"
    configure(f"{lab.name}-switch", [f"link set {cable[:15]} mtu {mtu}" for cable in cables])
    with Nginx(server) as site:
        (site.root / "file").write_bytes(bytes(range(250)) * (SIZE // 250))
        running = lab.start_director(CONFIGURATION)
        target = tmp_path / "file"
        lab.client.run(["curl", "-sS", "-o", target, f"http://{lab.vip}/file"], check=True, timeout=120)
        assert target.read_bytes() == (site.root / "file").read_bytes()
        assert counter(server, "TcpRetransSegs") < counter(server, "TcpOutSegs") / 100
        assert running.stop() == 0
    assert "lost_queue_full=0" in running.log()
