"""A call of real terminals, as it was recorded; to test with.

The law: only the endpoints are put elsewhere, all other octets are the terminals' own. They speak versions 3 and 4 of
H.225.0, which have shorter messages than today's, without what later versions added.
"""

from __future__ import annotations

from nat_lb.api import Endpoint

_MESSAGES = {  # with the names of endpoints where these stand, in the order in which they were said
    "setup": "030000a0080277f40504038090a528086d2e6a656d6563007e00850520a8060008914a0004014006006d002e006a0065006d0065"
    "006322c00900003d1443616c6c67656e33323320706f67616373616d00000a302e39616c70686134000000{called}00f8fdf93ecd9ed6119ab200"
    "0476222017005d0d800700{caller}1100c0fef93ecd9ed6119ab2000476222017010001000100010002800100",
    "connect": "030000610802f7f40728074d2e4a454d45437e004c0522c0060008914a000300{h245}22c0000000000333313069005200f8fd"
    "f93ecd9ed6119ab2000476222017170c001100c0fef93ecd9ed6119ab20004762220170100010008800100",
    "client opens": "03000018030000640c201d800b0d000100{client_rtcp}80",
    "server opens": "030000170300003c0c201d800a04000100{rtcp}",
    "server accepts": "0300001f22c000640480145c0000{rtp}00{rtcp}03000180",
    "client accepts": "0300001e22c0003c0280135c0000{client_rtp}00{client_rtcp}010100",
}


def recorded(message: str, **endpoints: Endpoint) -> bytes:
    """Return a message of the call as a TPKT, over IPv4: "setup", "server opens", …

    Raises KeyError for an endpoint that is missing: `caller`, `called`, `h245`, `rtp`, `rtcp`, `client_rtp` or
    `client_rtcp`, whichever the message names.
    """
    octets = {name: b"".join(endpoint.packed).hex() for name, endpoint in endpoints.items()}
    return bytes.fromhex(_MESSAGES[message].format(**octets))
