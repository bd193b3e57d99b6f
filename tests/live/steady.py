"""Many connections that never rest: what goes out comes back, on every one, or it is told.

Usage: steady.py serve PORT              echoes, until it is killed
       steady.py talk ADDRESS PORT N P   N connections at once, with a pause of P seconds between two rounds of one; for
                                         each line on standard input, a line: the rounds that every connection has made
                                         at least, and how many connections have failed
"""

from __future__ import annotations

import asyncio
import os
import sys

BLOCK = 1000


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def serve(port: int) -> None:
    async with await asyncio.start_server(echo, None, port, backlog=1024) as server:
        await server.serve_forever()


async def talk(address: str, port: int, pause: float, rounds: list[int], number: int, failed: set[int]) -> None:
    try:
        reader, writer = await asyncio.open_connection(address, port)
        while True:
            data = os.urandom(BLOCK)
            writer.write(data)
            if await reader.readexactly(BLOCK) != data:
                raise OSError("other octets came back")
            rounds[number] += 1
            await asyncio.sleep(pause)
    except (OSError, EOFError):
        failed.add(number)


async def answer(address: str, port: int, count: int, pause: float) -> None:
    rounds, failed = [0] * count, set[int]()
    talks = [asyncio.create_task(talk(address, port, pause, rounds, number, failed)) for number in range(count)]
    while await asyncio.to_thread(sys.stdin.readline):
        print(min(rounds), len(failed), flush=True)
    for each in talks:
        each.cancel()


def main(what: str, *arguments: str) -> None:
    if what == "serve":
        asyncio.run(serve(int(arguments[0])))
    else:
        asyncio.run(answer(arguments[0], int(arguments[1]), int(arguments[2]), float(arguments[3])))


if __name__ == "__main__":
    main(*sys.argv[1:])
