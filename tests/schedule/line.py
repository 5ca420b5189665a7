"""A network line between one host and PostgreSQL, which a test can cut and mend.

A TCP port of this machine whose bytes go on to the socket of a server. Cut, it keeps every connection and lets nothing
through, as a network that drops packets: neither side is told.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER by which closing tells the other side with a reset, and what was not sent is dropped."""


@dataclass(frozen=True)
class Cut:
    """When a line is cut by itself, once: when its host sends a statement, or the commit after it.

    `arrives`: what was sent comes to PostgreSQL, and only the answer is lost.
    """

    statement: bytes
    at_commit: bool = True
    arrives: bool = False


class Line:
    """One line; `url` is the database at its end, as its host names it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server_socket: str, database: str, cut: Cut | None) -> None:
        self.url = ""
        self.was_cut = threading.Event()
        self._loop = loop
        self._server_socket = server_socket
        self._database = database
        self._cut = cut
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://newsletter@127.0.0.1:{port}/{self._database}"

    def cut(self) -> None:
        """From now on nothing goes through, and nobody is told."""
        self._do(self._stop)

    def mend(self) -> None:
        """All that was sent meanwhile arrives."""
        self._do(self._flows.set)

    def break_connections(self) -> None:
        """Each side finds its connections broken, as after the limits of TCP; new ones go through."""
        self._do(self._abort, True, True)
        self.mend()

    def let_postgresql_give_up(self) -> None:
        """PostgreSQL ends the sessions of the host, which is not told."""
        self._do(self._abort, False, True)

    def close(self) -> None:
        """Nobody can connect any more, and every connection ends."""
        assert self._server is not None, "it was opened"
        self._server.close()
        self._abort(True, True)

    def _do(self, what: Callable[..., None], *arguments: object) -> None:
        done = threading.Event()

        def and_say_so() -> None:
            what(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(and_say_so)
        assert done.wait(10), "the loop of the lines hangs"

    def _stop(self) -> None:
        self._flows.clear()
        self.was_cut.set()

    def _abort(self, host: bool, server: bool) -> None:
        for to_host, to_server in self._connections:
            for writer in [to_host] * host + [to_server] * server:
                ended: socket.socket | None = writer.get_extra_info("socket")
                if ended is not None and ended.family is socket.AF_INET and not writer.is_closing():
                    ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                writer.transport.abort()
        if host:
            self._connections.clear()

    async def _connect(self, from_host: asyncio.StreamReader, to_host: asyncio.StreamWriter) -> None:
        # A connection that is begun while the line is cut waits, as its first packet would be sent again.
        await self._flows.wait()
        from_server, to_server = await asyncio.open_unix_connection(self._server_socket)
        self._connections.append((to_host, to_server))
        with suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(self._send(from_host, to_server), self._answer(from_server, to_host))
        to_host.transport.abort()
        to_server.transport.abort()

    async def _send(self, from_host: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        awaits_commit = False
        while sent := await from_host.read(65_536):
            await self._flows.wait()
            cut = self._cut
            awaits_commit = awaits_commit or (cut is not None and cut.statement in sent)
            is_moment = cut is not None and awaits_commit and (not cut.at_commit or b"COMMIT" in sent)
            if is_moment:
                self._cut = None
                self._stop()
            if not is_moment or (cut and cut.arrives):
                to_server.write(sent)
                await to_server.drain()
                continue
            await self._flows.wait()
            to_server.write(sent)
        await self._flows.wait()
        to_server.close()

    async def _answer(self, from_server: asyncio.StreamReader, to_host: asyncio.StreamWriter) -> None:
        while answered := await from_server.read(65_536):
            await self._flows.wait()
            to_host.write(answered)
            await to_host.drain()
        # That a session has ended is told by a packet too.
        await self._flows.wait()
        to_host.close()


@contextmanager
def running_lines(database_url: str, *cuts: Cut | None) -> Iterator[list[Line]]:
    """A line for each host to the database at a URL of a server on a socket; each with when it is cut by itself."""
    parts = urlsplit(database_url)
    server_socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lines", daemon=True)
    thread.start()
    lines = [Line(loop, server_socket, parts.path[1:], cut) for cut in cuts]
    try:
        for line in lines:
            asyncio.run_coroutine_threadsafe(line.open(), loop).result(10)
        yield lines
    finally:
        asyncio.run_coroutine_threadsafe(_close(lines), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(lines: list[Line]) -> None:
    for line in lines:
        line.close()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.sleep(0.01)
