"""The helper "ftp" against what every helper owes: its dialogues, however their octets travel."""

from __future__ import annotations

from typing import ClassVar

from nat_lb.api import Direction
from nat_lb.testing.conformance import (
    Dialogue,
    HelperConformance,
    Variation,
    client_connects,
    client_says,
    server_connects,
    server_says,
)
from nat_lb.testing.helper_play import Play
from nat_lb_ftp import Ftp

VIP, REAL, CLIENT = "203.0.113.100", "10.77.0.11", "203.0.113.10"
PASSIVE = server_says(
    b"227 Entering Passive Mode (10,77,0,11,4,210).\r\n",
    arrives=b"227 Entering Passive Mode (203,0,113,100,4,210).\r\n",
)


class TestFtp(HelperConformance):
    helper = "ftp"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "passive": Dialogue(
            server_says(b"220-Welcome\r\n227 (10,77,0,11,4,1)\r\n220 ready\r\n"),
            client_says(b"PASV\r\n"),
            PASSIVE,
            client_connects(f"{VIP}:1234", reaches=f"{REAL}:1234"),
            client_says(b"RETR file\r\n"),
            server_says(b"150 here\r\n"),
            server_says(b"226 done\r\n"),
        ),
        "passive twice": Dialogue(
            client_says(b"PASV\r\n"),
            PASSIVE,
            client_connects(f"{VIP}:1234", reaches=f"{REAL}:1234"),
            client_says(b"PASV\r\n"),
            PASSIVE,
            client_connects(f"{VIP}:1234", reaches=f"{REAL}:1234"),
        ),
        "extended passive": Dialogue(
            client_says(b"EPSV\r\n"),
            server_says(b"229 Entering Extended Passive Mode (|||1234|)\r\n"),
            client_connects(f"{VIP}:1234", reaches=f"{REAL}:1234"),
        ),
        "passive over IPv6": Dialogue(
            client_says(b"EPSV 2\r\n"),
            server_says(b"229 ok (|2|fd00::11|1234|)\r\n", arrives=b"229 ok (|2|2001:db8::100|1234|)\r\n"),
            client_connects("[2001:db8::100]:1234", reaches="[fd00::11]:1234", client="[2001:db8::10]:0"),
            client="[2001:db8::10]:40000",
            virtual="[2001:db8::100]:21",
            real="[fd00::11]:21",
        ),
        "active": Dialogue(
            client_says(b"PORT 203,0,113,10,156,64\r\n"),
            server_connects(f"{REAL}:20", to=f"{CLIENT}:40000", seen_from=f"{VIP}:20"),
            server_says(b"200 PORT command successful.\r\n"),
            client_says(b"EPRT |1|203.0.113.10|40002|\r\n"),
            server_connects(f"{REAL}:20", to=f"{CLIENT}:40002", seen_from=f"{VIP}:20"),
            server_says(b"200 EPRT command successful.\r\n"),
        ),
        "several lines": Dialogue(
            client_says(b"NOOP\r\nPASV\r\n"),
            server_says(
                b"200 ok\r\n227-Entering\r\n 227 (10,77,0,11,9,9)\r\n227 =10,77,0,11,4,210\r\n",
                arrives=b"200 ok\r\n227-Entering\r\n 227 (10,77,0,11,9,9)\r\n227 =203,0,113,100,4,210\r\n",
            ),
            client_connects(f"{VIP}:1234", reaches=f"{REAL}:1234"),
        ),
        "port that is the service's own": Dialogue(
            client_says(b"PASV\r\n"),
            server_says(b"227 ok 10,77,0,11,39,15\r\n", arrives=b"227 ok 203,0,113,100,39,16\r\n"),
            client_connects(f"{VIP}:10000", reaches=f"{REAL}:9999"),
            client_says(b"EPSV\r\n"),
            server_says(b"229 ok (!!!9999!)\r\n", arrives=b"229 ok (!!!10000!)\r\n"),
            client_connects(f"{VIP}:10000", reaches=f"{REAL}:9999"),
            virtual=f"{VIP}:9999",
        ),
        "announced and not used": Dialogue(client_says(b"PASV\r\n"), PASSIVE, left_over=1),
        "refused": Dialogue(
            client_says(b"PORT 10,0,0,9,15,160\r\n"),
            server_says(b"200 PORT command successful.\r\n"),
            client_says(b"PORT 203,0,113,10,0,80\r\n"),
            server_says(b"200 PORT command successful.\r\n227 (10,77,0,11,4,210)\r\n"),
            client_says(b"PASV\r\n"),
            server_says(b"227 (10,77,0,11,0,80)\r\n"),
        ),
    }


def test_reply_that_began_before_anybody_asked_is_refused() -> None:
    play = Play(Ftp, {}, TestFtp.dialogues["passive"], Variation())
    play.pour(
        [(Direction.REPLY, b"227 (10,77"), (Direction.ORIGINAL, b"PASV\r\n"), (Direction.REPLY, b",0,11,4,210)\r\n")]
    )
    assert play.faults.raised == []
    assert [line.partition(" - ")[2] for line in play.refusals.lines] == ["227 began before PASV asked for it"]
    assert play.most_expected == 0
