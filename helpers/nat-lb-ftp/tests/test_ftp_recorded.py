"""Sessions of real programs, recorded in the lab, with the addresses of the other dialogues."""

from __future__ import annotations

from typing import ClassVar

import pytest

from nat_lb.testing.conformance import (
    Dialogue,
    HelperConformance,
    client_connects,
    client_says,
    server_connects,
    server_says,
)
from nat_lb.testing.helper_play import Variation

VIP, REAL, CLIENT = "203.0.113.100", "10.77.0.11", "203.0.113.10"


class Recorded(HelperConformance):
    """Not all its tests are run: they are what test_conformance.py is for."""

    helper = "ftp"
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "vsftpd 3.0.3 and curl 7.88": Dialogue(
            server_says(b"220 (vsFTPd 3.0.3)\r\n"),
            client_says(b"USER anonymous\r\n"),
            server_says(b"230 Login successful.\r\n"),
            client_says(b"PWD\r\n"),
            server_says(b'257 "/srv/ftp" is the current directory\r\n'),
            client_says(b"PASV\r\n"),
            server_says(
                b"227 Entering Passive Mode (10,77,0,11,196,8).\r\n",
                arrives=b"227 Entering Passive Mode (203,0,113,100,196,8).\r\n",
            ),
            client_connects(f"{VIP}:50184", reaches=f"{REAL}:50184"),
            client_says(b"TYPE I\r\n"),
            server_says(b"200 Switching to Binary mode.\r\n"),
            client_says(b"SIZE who.txt\r\n"),
            server_says(b"213 7\r\n"),
            client_says(b"RETR who.txt\r\n"),
            server_says(b"150 Opening BINARY mode data connection for who.txt (7 bytes).\r\n"),
            server_says(b"226 Transfer complete.\r\n"),
            client_says(b"QUIT\r\n"),
            server_says(b"221 Goodbye.\r\n"),
        ),
        "ProFTPD 1.3.8 and lftp 4.9": Dialogue(
            server_says(b"220 ProFTPD\r\n"),
            client_says(b"FEAT\r\n"),
            server_says(b"211-Features:\r\n EPRT\r\n EPSV\r\n HOST\r\n LANG C.UTF-8*\r\n MLST modify*;size*;\r\n"),
            server_says(b" REST STREAM\r\n SIZE\r\n UTF8\r\n211 End\r\n"),
            client_says(b"AUTH TLS\r\n"),
            server_says(b"500 AUTH not understood\r\n"),
            client_says(b"CLNT lftp/4.9.2\r\n"),
            server_says(b"200 OK\r\n"),
            client_says(b"LANG\r\n"),
            server_says(b"200 Using default language C.UTF-8\r\n"),
            client_says(b"HOST 203.0.113.100\r\n"),
            server_says(b"220 HOST command successful\r\n"),
            client_says(b"USER anonymous\r\n"),
            server_says(b"331 Anonymous login ok, send your complete email address as your password\r\n"),
            client_says(b"PASS lftp\r\n"),
            server_says(b"230 Anonymous access granted, restrictions apply\r\n"),
            client_says(b"PASV\r\n"),
            server_says(
                b"227 Entering Passive Mode (10,77,0,11,195,246).\r\n",
                arrives=b"227 Entering Passive Mode (203,0,113,100,195,246).\r\n",
            ),
            client_connects(f"{VIP}:50166", reaches=f"{REAL}:50166"),
            client_says(b"MLSD\r\n"),
            server_says(b"150 Opening ASCII mode data connection for MLSD\r\n"),
            server_says(b"226 Transfer complete\r\n"),
            client_says(b"PASV\r\n"),
            server_says(
                b"227 Entering Passive Mode (10,77,0,11,196,69).\r\n",
                arrives=b"227 Entering Passive Mode (203,0,113,100,196,69).\r\n",
            ),
            client_connects(f"{VIP}:50245", reaches=f"{REAL}:50245"),
            client_says(b"RETR who.txt\r\n"),
            server_says(b"150 Opening BINARY mode data connection for who.txt (7 bytes)\r\n"),
            server_says(b"226 Transfer complete\r\n"),
            client_says(b"QUIT\r\n"),
            server_says(b"221 Goodbye.\r\n"),
        ),
        "Pure-FTPd 1.0.50 and tnftp 20210827": Dialogue(
            server_says(
                b"220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n"
                b"220-You are user number 1 of 50 allowed.\r\n220-Local time is now 04:09. Server port: 21.\r\n"
                b"220 You will be disconnected after 15 minutes of inactivity.\r\n"
            ),
            client_says(b"USER anonymous\r\n"),
            server_says(b"331 User anonymous OK. Password required\r\n"),
            client_says(b"PASS x\r\n"),
            server_says(b"230 OK. Current directory is /\r\n"),
            client_says(b"TYPE I\r\n"),
            server_says(b"200 TYPE is now 8-bit binary\r\n"),
            client_says(b"PASV\r\n"),
            server_says(
                b"227 Entering Passive Mode (10,77,0,11,197,143)\r\n",
                arrives=b"227 Entering Passive Mode (203,0,113,100,197,143)\r\n",
            ),
            client_connects(f"{VIP}:50575", reaches=f"{REAL}:50575"),
            client_says(b"RETR who.txt\r\n"),
            server_says(b"150 Accepted data connection\r\n"),
            server_says(
                b"226-File successfully transferred\r\n226 0.000 seconds (measured here), 126.31 Kbytes per second\r\n"
            ),
            client_says(b"MDTM who.txt\r\n"),
            server_says(b"213 20261123040953\r\n"),
            client_says(b"EPSV\r\n"),
            server_says(b"229 Extended Passive mode OK (|||50029|)\r\n"),
            client_connects(f"{VIP}:50029", reaches=f"{REAL}:50029"),
            client_says(b"QUIT\r\n"),
            server_says(b"221-Goodbye. You uploaded 0 and downloaded 1 kbytes.\r\n221 Logout.\r\n"),
        ),
        "pyftpdlib 2.2 and curl 7.88, active": Dialogue(
            server_says(b"220 pyftpdlib 2.2.0 ready.\r\n"),
            client_says(b"USER anonymous\r\n"),
            server_says(b"331 Username ok, send password.\r\n"),
            client_says(b"PASS ftp@example.com\r\n"),
            server_says(b"230 Login successful.\r\n"),
            client_says(b"EPRT |1|203.0.113.10|55841|\r\n"),
            server_connects(f"{REAL}:49152", to=f"{CLIENT}:55841", seen_from=f"{VIP}:49152"),
            server_says(b"200 Active data connection established.\r\n"),
            client_says(b"RETR who.txt\r\n"),
            server_says(b"125 Data connection already open. Transfer starting.\r\n"),
            server_says(b"226 Transfer complete.\r\n"),
            client_says(b"QUIT\r\n"),
            server_says(b"221 Goodbye.\r\n"),
        ),
    }


@pytest.mark.parametrize("name", Recorded.dialogues)
@pytest.mark.parametrize(
    "variation",
    [
        Variation(),
        Variation(second=True),
        Variation(octet_by_octet=True),
        Variation(merged=True),
        *(
            Variation(seed=seed, loss=0.1, duplicate=0.1, reorder=0.3, mss=88, nagle=bool(seed % 2))
            for seed in range(6)
        ),
    ],
    ids=repr,
)
def test_recorded_session_arrives_as_expected(name: str, variation: Variation) -> None:
    Recorded().replay(name, variation)


@pytest.mark.parametrize("name", Recorded.dialogues)
def test_recorded_session_cut_at_every_octet_arrives_as_expected(name: str) -> None:
    for at in range(1, max(len(step.data) for _, step in Recorded.dialogues[name].says)):
        Recorded().replay(name, Variation(cut=(0, at)))
