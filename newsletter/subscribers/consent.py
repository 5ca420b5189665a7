"""Who may be mailed at all: the rule, pure."""

from __future__ import annotations

from newsletter.subscribers.model import LeftOut, SubscriberState

REASON_BY_STATE = {
    SubscriberState.PENDING: LeftOut.NOT_CONFIRMED,
    SubscriberState.PAUSED: LeftOut.PAUSED,
    SubscriberState.UNSUBSCRIBED: LeftOut.LEFT,
    SubscriberState.SUPPRESSED: LeftOut.SUPPRESSED,
    SubscriberState.ERASED: LeftOut.LEFT,
}
"""Why a person in a state gets nothing; `active` alone has no reason. The audience's statement is made from it."""


def may_receive(state: SubscriberState, *, suppressed: bool) -> bool:
    """Whether somebody in a state may be mailed; `suppressed` says that the address itself must not be."""
    return not suppressed and state not in REASON_BY_STATE
