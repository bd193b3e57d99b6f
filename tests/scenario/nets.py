"""The networks that scenarios play in: the main example, in IPv4 and in IPv6."""

from __future__ import annotations

from typing import NamedTuple


class Net(NamedTuple):
    """Addresses of one family, ready to be followed by a colon and a port."""

    client: str
    vip: str
    one: str
    two: str
    router: str  # somewhere between the client and the director
    inside: str  # the director's own address on the servers' side

    @property
    def version(self) -> int:
        return 6 if "[" in self.vip else 4

    def service(self, name: str, port: int, *servers: str, protocol: str = "tcp", more: str = "") -> str:
        """Return a [[service]]; a server is `address:port weight`, followed by any further keys."""
        text = f'[[service]]\nname = "{name}"\nprotocol = "{protocol}"\naddress = "{self.vip.strip("[]")}"\n'
        text += f"port = {port}\n{more}\n"
        for server in servers:
            where, weight, *keys = server.split(" ", 2)
            address, _, real_port = where.rpartition(":")
            text += (
                f'[[service.real_server]]\naddress = "{address.strip("[]")}"\nport = {real_port}\nweight = {weight}\n'
            )
            text += "".join(f"{key}\n" for key in keys)
        return text

    @property
    def example(self) -> str:
        """The main example of the documentation."""
        web = self.service("web", 80, f"{self.one}:80 1", f"{self.two}:8000 2", more='scheduler = "wrr"')
        return web + self.service("files", 21, f"{self.two}:21 1")

    @property
    def web(self) -> str:
        """One service on port 80 with one real server on port 8000."""
        return self.service("web", 80, f"{self.one}:8000 1")

    @property
    def dns(self) -> str:
        """One UDP service on port 53 with one real server on port 5353."""
        return self.service("dns", 53, f"{self.one}:5353 1", protocol="udp")


IPV4 = Net("202.100.1.2", "202.103.106.5", "172.16.0.2", "172.16.0.3", "202.100.9.9", "172.16.0.1")
IPV6 = Net("[2001:db8:1::2]", "[2001:db8:106::5]", "[fd00::2]", "[fd00::3]", "[2001:db8:9::9]", "[fd00::1]")
