"""A name server on this machine that knows a few records, so that questions go over a real wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.resolver import Resolver


@contextmanager
def answering(records: Mapping[tuple[str, str], list[str]]) -> Iterator[Resolver]:
    """A resolver that asks a server with these records, by name and kind; every other name does not exist."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        ended = threading.Event()
        server = threading.Thread(target=_serve, args=(listening, records, ended))
        server.start()
        try:
            yield resolver_at(listening.getsockname()[1])
        finally:
            ended.set()
            server.join()


def resolver_at(port: int) -> Resolver:
    """A resolver that asks on a port of this machine."""
    resolver = Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = port
    resolver.timeout = 0.5
    return resolver


def _serve(listening: socket.socket, records: Mapping[tuple[str, str], list[str]], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            asked, peer = listening.recvfrom(4096)
        except TimeoutError:
            continue
        query = dns.message.from_wire(asked)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        found = records.get((question.name.to_text(omit_final_dot=True), kind))
        if found:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        listening.sendto(answer.to_wire(), peer)
