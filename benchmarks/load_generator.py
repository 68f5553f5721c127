"""Load generator: sends prepared requests over many connections, and counts the responses."""

from __future__ import annotations

import asyncio
import collections
import collections.abc as cabc
import dataclasses
import statistics
import time

#: Time-out of a request, seconds; WooCommerce 5.9 to 11.0 use 5 for webhooks, without retries.
TIMEOUT = 5.0


@dataclasses.dataclass
class SendCounts:
    """The result of a run."""

    seconds: float = 0.0
    statuses: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    #: Times of successful responses, seconds.
    took: list[float] = dataclasses.field(default_factory=list)
    #: Requests without a response in time.
    failed: int = 0

    @property
    def rate(self) -> float:
        """Successful responses a second."""
        return self.statuses[200] / self.seconds

    def percentile(self, hundredth: int) -> float:
        """Return a percentile of the response times, milliseconds."""
        return statistics.quantiles(self.took, n=100)[hundredth - 1] * 1000


def build_request(path: str, headers: cabc.Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read the next response; return its status, and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(headers.get("content-length", 0)))
    return int(lines[0].split()[1]), headers.get("connection") != "close"


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to the server."""
    return await asyncio.open_connection("127.0.0.1", port, limit=2**20)


async def send_repeatedly(
    port: int, request: bytes, connections: int, seconds: float, every: float = 0.0
) -> SendCounts:
    """Send a request repeatedly.

    :param connections: number of parallel connections.
    :param every: seconds between two requests of a connection; 0 sends after each response.
    """
    counts, began = SendCounts(), time.perf_counter()
    end = began + seconds
    clients = (
        _send_repeatedly(port, request, counts, end, every, number / connections)
        for number in range(connections)
    )
    await asyncio.gather(*clients)
    counts.seconds = time.perf_counter() - began
    return counts


async def _send_repeatedly(
    port: int, request: bytes, counts: SendCounts, end: float, every: float, offset: float
) -> None:
    reader = writer = None
    due = time.perf_counter() + offset * every
    while time.perf_counter() < end:
        if every:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += every
        began = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT):
                if writer is None or reader is None:
                    reader, writer = await connect(port)
                writer.write(request)
                status, stays_open = await read_response(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            counts.failed += 1
            stays_open = False
        else:
            counts.statuses[status] += 1
            if status == 200:
                counts.took.append(time.perf_counter() - began)
        if not stays_open and writer is not None:
            writer.close()
            reader = writer = None


async def send_slowly(port: int, head: bytes, connections: int, seconds: float) -> int:
    """Send one byte a second, on half of the connections only of the body.

    :return: how many connections the server closed.
    """
    end = time.perf_counter() + seconds
    ends = [
        _send_slowly(port, head, end, send_head=number % 2 == 0) for number in range(connections)
    ]
    return sum(await asyncio.gather(*ends))


async def _send_slowly(port: int, head: bytes, end: float, *, send_head: bool) -> int:
    cut = 0
    while time.perf_counter() < end:
        try:
            _reader, writer = await connect(port)
            rest = head
            if send_head:
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
