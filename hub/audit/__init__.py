"""Audit: a closed list of events, written in the transaction of what they record, chained by digests."""

from hub.audit.chain import append, next_number, verify
from hub.audit.events import Event, Result

__all__ = ["Event", "Result", "append", "next_number", "verify"]
