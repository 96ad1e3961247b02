"""Tables of the console: how people sign in, who is signed in now, what runs beside the pages (console 1, 6).

Decides columns and keys. Passwords lie here as slow salted hashes; of a session's id only the digest is stored, so that
a copied database opens no session. What an account may do is in `operator_role`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, PRIVATE, long_text, text

WEB_METADATA: Final = sa.MetaData(naming_convention=METADATA.naming_convention)


def _key(name: str, size: int) -> sa.Column[Any]:
    return sa.Column(name, text(size), primary_key=True, nullable=False)


def _texts(**sizes: int) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(name, text(size)) for name, size in sizes.items())


def _numbers(*names: str) -> tuple[sa.Column[Any], ...]:
    return tuple(sa.Column(name, sa.BigInteger) for name in names)


# `secret`, `data_secret`: scrypt hashes; `subject`: issuer and subject at the sign-in provider; `views`: plaintext
# views on `views_day`.
WEB_ACCOUNT: Final = sa.Table(
    "web_account",
    WEB_METADATA,
    _key("name", 80),
    *_texts(secret=255, changed_at=40, locked_until=40),
    *_numbers("failures"),
    *_texts(data_secret=255, data_locked_until=40),
    *_numbers("data_failures"),
    *_texts(subject=400, views_day=10),
    *_numbers("views", "page_size"),
)
WEB_SESSION: Final = sa.Table(
    "web_session",
    WEB_METADATA,
    _key("digest", 80),
    *_texts(name=80, csrf=80, created=40, seen=40, source=80, via=16, plain_until=40, plain_purpose=400),
)
sa.Index("ix_web_session_name", WEB_SESSION.c.name)
# Work beside the pages. `worker`: who runs it; `beat`: when that was last said; `outcome`, `error`: JSON. What came of
# an import may hold values a person typed; it goes after two hours.
WEB_WORK: Final = sa.Table(
    "web_work",
    WEB_METADATA,
    _key("token", 40),
    *_texts(name=80, worker=40, label=200, back=255, href=255, again=400, state=16, step=400),
    *_numbers("done", "total"),
    *_texts(begun=40, beat=40, ended=40),
    sa.Column("outcome", long_text(), comment=PRIVATE),
    sa.Column("error", long_text()),
)
