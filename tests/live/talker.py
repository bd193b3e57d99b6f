"""Keeps one HTTP connection open: a line on standard input is a GET, its answer's text goes to standard output.

Usage: talker.py ADDRESS PORT   an answer of "lost" says that the connection is gone.
"""

from __future__ import annotations

import http.client
import sys


def main(address: str, port: int) -> None:
    connection = http.client.HTTPConnection(address, port, timeout=30)
    connection.connect()
    mine = connection.sock
    for _ in sys.stdin:
        try:
            connection.request("GET", "/")
            text = connection.getresponse().read().decode().strip()
        except (OSError, http.client.HTTPException):
            text = "lost"
        print(text if connection.sock is mine else "lost", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
