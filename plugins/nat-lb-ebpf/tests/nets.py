"""The lab's addresses, and services in them."""

from __future__ import annotations

from typing import NamedTuple


class Net(NamedTuple):
    """Addresses of one family, ready to be followed by a colon and a port."""

    client: str
    other: str  # another client
    vip: str
    one: str
    two: str

    def service(self, *servers: str, port: int = 80, protocol: str = "tcp") -> str:
        """Return a [[service]] whose plan the test makes; a server is `address:port weight upper lower`."""
        text = f'[[service]]\nname = "{protocol}-{port}"\nprotocol = "{protocol}"\naddress = "{self.vip.strip("[]")}"\n'
        text += f'port = {port}\nscheduler = "planned"\n'
        for server in servers:
            where, weight, upper, lower = _four(server)
            address, _, real_port = where.rpartition(":")
            text += (
                f'[[service.real_server]]\naddress = "{address.strip("[]")}"\nport = {real_port}\nweight = {weight}\n'
            )
            text += f"upper_threshold = {upper}\nlower_threshold = {lower}\n" if upper != "0" else ""
        return text


def _four(server: str) -> list[str]:
    words = server.split()
    return words + ["1", "0", "0"][len(words) - 1 :]


IPV4 = Net("202.100.1.2", "202.100.1.3", "202.103.106.5", "172.16.0.2", "172.16.0.3")
IPV6 = Net("[2001:db8:100::2]", "[2001:db8:100::3]", "[2001:db8:103::5]", "[fd00:172:16::2]", "[fd00:172:16::3]")
NETS = (IPV4, IPV6)
