"""What an SMTP server's replies mean. Pure: replies in, receipts out.

2yz is a yes, 4yz a no for now, 5yz a no for good (RFC 5321, 4.2.1). At what point a no is said tells whom it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalReceipt, Receipt

SLOW_DOWN = timedelta(minutes=1)
"""How long to wait when the server as a whole says "not now"."""

TOO_MANY_TO_BE_TRUE = 5
"""When a server refuses so many people in a row and takes nobody, it means us or the mail, and not them."""

_MUST_LOG_IN = (530, 534, 535)
"""RFC 4954, 6."""

_ABOUT_A_PERSON = re.compile(r"5\.[12]\.\d+")
"""Enhanced codes about an address or a mailbox (RFC 3463, 3.2 and 3.3)."""


@dataclass(frozen=True)
class Reply:
    """A server's reply: its code, or -1 for what is none, and its words on one line."""

    code: int
    words: str

    @property
    def is_yes(self) -> bool:
        """Whether it agrees."""
        return 200 <= self.code < 300

    @property
    def is_not_now(self) -> bool:
        """Whether it refuses for now."""
        return 400 <= self.code < 500

    @property
    def is_no(self) -> bool:
        """Whether it refuses for good."""
        return 500 <= self.code < 600

    @property
    def ends_the_line(self) -> bool:
        """Whether the server hangs up, or does not speak SMTP: nothing more can be done on this connection."""
        return self.code == 421 or not (self.is_yes or self.is_not_now or self.is_no)

    def __str__(self) -> str:
        return f"{self.code} {self.words}".strip()


def read_reply(code: int, words: bytes | str) -> Reply:
    """A reply as the library gives it; of its words as many as staff will read."""
    text = words if isinstance(words, str) else words.decode("utf-8", "replace")
    return Reply(code, " ".join(text.split())[:300])


def of_everybody(step: str, reply: Reply, now: datetime) -> Receipt:
    """What a refusal of the whole session, or of the sender, means for all who have no answer yet."""
    told = f"the mail server refused {step}: {reply}"
    if reply.is_no:
        return Receipt(Outcome.ACCOUNT_TROUBLE, told)
    return Receipt(Outcome.TRY_AGAIN, told, not_before=now + SLOW_DOWN)


def of_recipient(reply: Reply, now: datetime) -> PersonalReceipt | Receipt:
    """What a refusal of one recipient means: for them alone, or for everybody where it is about the log-in."""
    if reply.code in _MUST_LOG_IN:
        return of_everybody("to carry mail", reply, now)
    outcome = Outcome.REJECTED if reply.is_no else Outcome.TRY_AGAIN
    return PersonalReceipt(outcome, f"the mail server said to the address: {reply}")


def of_mail(reply: Reply) -> PersonalReceipt:
    """What the reply to a whole mail means; the only one by which the server takes it over (RFC 5321, 4.2.5)."""
    if reply.is_yes:
        return PersonalReceipt(Outcome.ACCEPTED)
    told = f"the mail server said to the mail: {reply}"
    if reply.is_no:
        return PersonalReceipt(Outcome.REJECTED, told)
    return PersonalReceipt(Outcome.TRY_AGAIN if reply.is_not_now else Outcome.UNCERTAIN, told)


def receipt_of(batch: OutgoingBatch, answers: Mapping[str, PersonalReceipt], rest: Receipt | None) -> Receipt:
    """The receipt of a batch from those of its people; `rest` is about whoever has none, None when all have one."""
    if refusal := _refusal_of_us(answers):
        return Receipt(Outcome.REJECTED, f"of {len(answers)} people it took nobody; {refusal}")
    if rest is not None and len(answers) < len(batch.people):
        return replace(rest, people=answers)
    by_outcome = {outcome: [own for own in answers.values() if own.outcome is outcome] for outcome in Outcome}
    for whole in (Outcome.ACCEPTED, Outcome.UNCERTAIN):
        if by_outcome[whole]:
            apart = {name: own for name, own in answers.items() if own.outcome is not whole}
            return Receipt(whole, _told(by_outcome), people=apart)
    return Receipt(Outcome.TRY_AGAIN, _told(by_outcome), people=answers)


def _refusal_of_us(answers: Mapping[str, PersonalReceipt]) -> str:
    own = list(answers.values())
    if len(own) < TOO_MANY_TO_BE_TRUE or any(answer.outcome is not Outcome.REJECTED for answer in own):
        return ""
    return "" if any(_ABOUT_A_PERSON.search(answer.reason) for answer in own) else own[0].reason


def _told(by_outcome: Mapping[Outcome, list[PersonalReceipt]]) -> str:
    later, unclear = by_outcome[Outcome.TRY_AGAIN], by_outcome[Outcome.UNCERTAIN]
    if unclear:
        return unclear[0].reason
    return f"{len(later)} are to be tried again later; {later[0].reason}" if later else ""
