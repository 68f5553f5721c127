"""Load generator: many connections that send prepared requests, and count the answers."""

from __future__ import annotations

import asyncio
import collections
import collections.abc as cabc
import dataclasses
import statistics
import time

#: Time-out of a request, seconds, as in WooCommerce (5.9 to 11.0: 5, without retries).
PATIENCE = 5.0


@dataclasses.dataclass
class SendCounts:
    """The result of a run."""

    seconds: float = 0.0
    statuses: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    #: Times of successful answers, seconds.
    took: list[float] = dataclasses.field(default_factory=list)
    #: Requests without an answer in time.
    failed: int = 0

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return self.statuses[200] / self.seconds

    def percentile(self, hundredth: int) -> float:
        """Return a percentile of the answer times, milliseconds."""
        return statistics.quantiles(self.took, n=100)[hundredth - 1] * 1000


def request(path: str, headers: cabc.Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read the next answer; return its status, and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(headers.get("content-length", 0)))
    return int(lines[0].split()[1]), headers.get("connection") != "close"


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to the server."""
    return await asyncio.open_connection("127.0.0.1", port, limit=2**20)


async def hammer(
    port: int, wire: bytes, connections: int, seconds: float, every: float = 0.0
) -> SendCounts:
    """Send a request repeatedly.

    :param connections: at a time.
    :param every: seconds between two requests of one connection; 0 for as fast as it is answered.
    """
    tally, began = SendCounts(), time.perf_counter()
    end = began + seconds
    ones = (
        _one(port, wire, tally, end, every, number / connections) for number in range(connections)
    )
    await asyncio.gather(*ones)
    tally.seconds = time.perf_counter() - began
    return tally


async def _one(
    port: int, wire: bytes, tally: SendCounts, end: float, every: float, offset: float
) -> None:
    reader = writer = None
    due = time.perf_counter() + offset * every
    while time.perf_counter() < end:
        if every:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += every
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                if writer is None or reader is None:
                    reader, writer = await connect(port)
                writer.write(wire)
                status, goes_on = await answer_of(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            tally.failed += 1
            goes_on = False
        else:
            tally.statuses[status] += 1
            if status == 200:
                tally.took.append(time.perf_counter() - began)
        if not goes_on and writer is not None:
            writer.close()
            reader = writer = None


async def drip(port: int, head: bytes, connections: int, seconds: float) -> int:
    """Send a byte a second, half of the clients after their headers; return how many were cut."""
    end = time.perf_counter() + seconds
    ends = [_drip(port, head, end, whole=number % 2 == 0) for number in range(connections)]
    return sum(await asyncio.gather(*ends))


async def _drip(port: int, head: bytes, end: float, *, whole: bool) -> int:
    cut = 0
    while time.perf_counter() < end:
        try:
            _reader, writer = await connect(port)
            rest = head
            if whole:
                writer.write(head)
                rest = b"x" * 10_000
            for byte in rest:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(1)
                if time.perf_counter() > end:
                    writer.close()
                    return cut
        except OSError:
            cut += 1
            await asyncio.sleep(0.5)
    return cut
