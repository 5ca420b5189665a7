"""What the domain name system says of a sender, as mailbox providers look at it (RFC 7208, RFC 6376, RFC 7489)."""

from __future__ import annotations

from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from newsletter.operations.model import Check, State

PATIENCE = 4.0
"""Seconds for one question."""

SELECTORS = ("s1", "s2")
"""The names under which SendGrid publishes a customer's keys, each an alias of its own."""

INBOUND_HOST = "mx.sendgrid.net"
"""Where SendGrid takes mails for its Inbound Parse."""


class NotAsked(Exception):
    """No name server answered: nothing is known."""


def check_sender_domain(domain: str, resolver: Resolver, *, by_sendgrid: bool) -> list[Check]:
    """SPF, DMARC and, with SendGrid, DKIM of the domain in From."""
    try:
        checks = [_check_spf(domain, resolver), _check_dmarc(domain, resolver)]
        if by_sendgrid:
            checks.append(_check_dkim(domain, resolver))
    except NotAsked:
        return [
            Check("DNS", State.WARN, f"could not ask about {domain}", "Try again where name servers are reachable.")
        ]
    return checks


def check_replies(domain: str, resolver: Resolver) -> Check:
    """Whether answers of readers can be delivered."""
    try:
        found = ask(resolver, domain, "MX")
    except NotAsked:
        return Check("replies", State.WARN, f"could not ask about {domain}", "Try again later.")
    if not found:
        return Check(
            "replies", State.WARN, f"{domain} takes no mail (no MX)", "Set reply_to to an address that exists."
        )
    return Check("replies", State.OK, f"{domain} takes mail")


def check_inbound(domain: str, resolver: Resolver) -> Check:
    """Whether mails to leave reach SendGrid's Inbound Parse; those that do not are lost, or read by nobody."""
    name = "leaving by mail"
    try:
        hosts = sorted(record.split()[-1].rstrip(".").lower() for record in ask(resolver, domain, "MX"))
    except NotAsked:
        return Check(name, State.WARN, f"could not ask about {domain}", "Try again later.")
    if hosts == [INBOUND_HOST]:
        return Check(name, State.OK, f"mails to {domain} go to SendGrid")
    remedy = f"Enter one MX record for {domain}: 10 {INBOUND_HOST}. Or remove INBOUND_ADDRESS."
    told = f"mails to {domain} go to {', '.join(hosts)}" if hosts else f"{domain} takes no mail (no MX)"
    return Check(name, State.STOP, told, remedy)


def ask(resolver: Resolver, name: str, kind: str) -> list[str]:
    """The records of a name, none when there are none; raises NotAsked when nobody could say."""
    try:
        answer = resolver.resolve(name, kind, lifetime=PATIENCE, search=False)
    except (NXDOMAIN, NoAnswer):
        return []
    except (DNSException, OSError):
        raise NotAsked from None
    return [record.to_text().replace('" "', "").strip('"') for record in answer]


def _check_spf(domain: str, resolver: Resolver) -> Check:
    found = [text for text in ask(resolver, domain, "TXT") if text.lower().startswith("v=spf1")]
    if len(found) > 1:
        return Check("SPF", State.STOP, f"{domain} has {len(found)} records, which counts as a fault", "Keep one.")
    if not found:
        remedy = "Authenticate the domain at the service that carries mails, and enter what it shows."
        return Check("SPF", State.WARN, f"{domain} has no record", remedy)
    return Check("SPF", State.OK, found[0])


def _check_dmarc(domain: str, resolver: Resolver) -> Check:
    labels = domain.split(".")
    # A domain without a record of its own has that of the domain above it.
    for name in (".".join(labels[start:]) for start in range(max(len(labels) - 1, 1))):
        for text in ask(resolver, f"_dmarc.{name}", "TXT"):
            if text.lower().startswith("v=dmarc1"):
                return Check("DMARC", State.OK, text)
    remedy = f"Enter a TXT record _dmarc.{domain}: v=DMARC1; p=none"
    return Check("DMARC", State.WARN, f"{domain} has no record; large mailbox providers ask for one", remedy)


def _check_dkim(domain: str, resolver: Resolver) -> Check:
    there = [name for name in SELECTORS if ask(resolver, f"{name}._domainkey.{domain}", "CNAME")]
    if there:
        return Check("DKIM", State.OK, f"selector {' and '.join(there)} of {domain}")
    remedy = "In SendGrid: Settings, Sender Authentication, Authenticate Your Domain; enter the CNAMEs that it shows."
    return Check("DKIM", State.WARN, f"{domain} has neither s1 nor s2; another selector may have been chosen", remedy)
