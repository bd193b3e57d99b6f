"""H.323 through network address translation (ITU-T H.323, H.225.0, H.245).

A call is set up on one connection and happens on many others, and its messages say where those are. They are coded in
ASN.1, with addresses in the middle of it.

*Call signalling* (H.225.0, TCP port 1720) is helper "h323". The called side names, in whichever message it likes, the
endpoint at which it takes the call's second connection, of protocol *H.245*; helper "h245" reads that one. There, each
side opens logical channels for what it wants to send, and the other one answers where it wants to get it: RTP on an
even port and its RTCP on the odd one above, or T.120 on a connection of its own. All of this may also be said in the
call signalling itself, as fast start or as tunnelled H.245. *RAS* (UDP port 1719), with which terminals register at a
gatekeeper and ask it whom to call, is helper "ras".

A real server's own endpoints are overwritten where they stand by public ones, and the connections are expected. What
the client names is right as it is, and connections to it are expected, so that their source becomes the virtual
address. Nobody can announce what is not his: addresses of third hosts and privileged ports are refused.

An address takes as many octets as any other of its family, so a message never changes its length. A TPKT is of use to
its receiver only when it is complete, so holding back its beginning delays nobody.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import pydantic

from nat_lb.api import Address, Direction, Edit, Helper, Message, Options, Peers, hookimpl
from nat_lb_h323.announcements import Announcements
from nat_lb_h323.content import Content, UnreadableError
from nat_lb_h323.framing import TPKT_HEADER, find_user_information, is_tpkt, short_tpkts, tpkt_length

RTP_CHANNELS = 4  # at one time: audio, video, a presentation, far end camera control


class H323Options(Options):
    """The table [service.helper_options.h323]."""

    own_addresses: tuple[Address, ...] = pydantic.Field(
        default=(),
        description="Addresses that the real server may name besides its own. The real server itself is meant.",
    )
    minimum_port: int = pydantic.Field(
        default=1024, ge=1, le=65535, description="The lowest port that either side may announce."
    )

    def model_post_init(self, _: Any) -> None:
        """Load the ASN.1 when a configuration names the helper, rather than when the first message comes."""
        import nat_lb_h323.asn1  # noqa: F401


class RasOptions(H323Options):
    """The table [service.helper_options.ras]."""

    longest_registration: float = pydantic.Field(
        default=3600, ge=1, description="Seconds for which a registration counts at most, whatever its timeToLive."
    )


class _Announcing(Helper):
    """What the three helpers have in common."""

    options = H323Options
    most_expectations = RTP_CHANNELS * 4 + 4

    def __init__(self, peers: Peers, options: Any = None) -> None:
        super().__init__(peers, options or self.options())
        self._announced = Announcements(peers, self.settings.own_addresses, self.settings.minimum_port)

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Return the edits of one message; one that cannot be read passes as it is."""
        try:
            return self._edits(message, self._read(message.data))
        except UnreadableError as reason:
            message.refuse(str(reason), kind="unreadable")
            return ()

    @abstractmethod
    def _read(self, data: bytes) -> Content:
        """Find the addresses. Raises UnreadableError."""

    def _edits(self, message: Message, content: Content) -> Iterable[Edit]:
        return self._announced.edits(message, content)


class _Stream(_Announcing):
    """A helper of messages in TPKTs."""

    longest_message = 16384
    expectation_timeout = 240.0
    silent = short_tpkts(7)  # octets for an address and its port, and to say that they follow

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        """Ignore one TPKT that is too short to announce anything, as those are that keep a connection alive."""
        return self.silent.get(octets[:TPKT_HEADER]) == len(octets)

    def frame(self, data: bytes, direction: Direction) -> int:
        return tpkt_length(data)

    def holds(self, tail: bytes, direction: Direction) -> bool:
        return True

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Return the edits of one TPKT; who does not send TPKTs is left alone from then on."""
        if is_tpkt(message.data):
            return super().rewrite(message)
        sender = "client" if message.from_client else "real server"
        message.refuse(f"the {sender} does not speak H.323: no TPKT but {message.data[:8].hex()}", kind="no TPKT")
        message.stop()
        return ()


class H245(_Stream):
    """Rewrites and expects what is announced on an H.245 connection; one object for each."""

    name = "h245"

    def _read(self, data: bytes) -> Content:
        from nat_lb_h323.asn1 import read_control

        return read_control(data, TPKT_HEADER)


class H323(_Stream):
    """Rewrites and expects what is announced in call signalling; one object a connection."""

    name = "h323"
    ports = (1720,)
    companions = (H245,)
    silent = short_tpkts(3 + 4 + 7)  # Q.931's header, that of user information, and as above

    def _read(self, data: bytes) -> Content:
        from nat_lb_h323.asn1 import read_signalling

        found = find_user_information(data)
        return read_signalling(data, *found) if found else Content([])


class Ras(_Announcing):
    """Rewrites and expects what is announced to and by a gatekeeper; one object for each port of a client.

    Either end may be the gatekeeper. So a real server may speak first: the terminal that it is asks to be registered.
    """

    name = "ras"
    protocol = "udp"
    ports = (1719,)
    options = RasOptions
    expectation_timeout = 300.0
    opens_from_inside = True
    companions = (H323, H245)

    def _read(self, data: bytes) -> Content:
        from nat_lb_h323.asn1 import read_ras

        return read_ras(data)

    def _edits(self, message: Message, content: Content) -> Iterable[Edit]:
        timeout = content.time_to_live and min(content.time_to_live, self.settings.longest_registration)
        if content.message == "registrationConfirm":
            self._announced.renew(message, timeout)
        return self._announced.edits(message, content, timeout)


@hookimpl
def nat_lb_register_helpers() -> Iterable[type[Helper]]:
    """Offer `helpers = ["h323"]` to services of TCP and `helpers = ["ras"]` to those of UDP."""
    return [H323, Ras]
