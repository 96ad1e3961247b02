"""How templates write things: numbers, moments, days, masks. The one place where the environment is made.

Templates are looked up in every section's package (`templates/`), the shell's first; so a section keeps its own in a
folder of its name. A name that is not given is an error, never an empty text.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import jinja2

from hub.catalog import Catalog
from hub.masking import KEY_JOIN, mask_value, swept
from hub.web.section import Allowed
from hub.web.sessions import Visitor
from hub.web.site import STATIC, Site
from hub.words import word

_CODE: Final = re.compile(r"（[a-z]+(?:_[a-z]+)*）")
# Moments are stored in UTC and shown in Beijing time, the one time of the country.
BEIJING: Final = timezone(timedelta(hours=8))
# Severity and state as colour beside the word; a word that is not here stays plain.
TONES: Final[dict[str, str]] = {
    "错误": "bad", "失败": "bad", "逾期": "bad", "拒绝": "bad", "拒收": "bad", "作废": "bad", "停用": "off",
    "警告": "warn", "待复核": "warn", "暂缓": "off", "暂停待批": "warn", "部分生效": "warn", "已收妥": "todo",
    "待处理": "todo", "已提议": "todo", "退回源头平台": "warn", "提示": "todo", "待发送": "todo", "已发送": "todo",
    "已生效": "good", "成功": "good", "在用": "good", "已入库": "good", "完成": "good",
    "已发布": "todo", "已确认送达": "good",
}  # fmt: skip


def environment(site: Site) -> jinja2.Environment:
    """The templates of all sections, escaped, strict."""
    packages = list(dict.fromkeys(["hub.web", *(s.package for s in site.sections)]))
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(p, "templates") for p in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        n=number,
        key=key,
        bytes=size,
        moment=moment,
        day=day,
        tone=tone,
        masked=_masker(site.catalog),
        swept=swept,
        word=word,
        why=why,
    )
    made.tests["may_use"] = _may_use
    made.globals.update(vendor=vendor, menu=site.menu(), today=today)
    return made


def _may_use(allow: Allowed, visitor: Visitor) -> bool:
    return visitor.may_use(allow)


def number(value: int | float | None) -> str:
    """59,917; nothing for None."""
    return "" if value is None else f"{value:,}"


def key(text: str | None) -> str:
    """3613000101 · 2025001 for a key of several parts."""
    return (text or "").replace(KEY_JOIN, " · ")


def why(text: str | None) -> str:
    """主记录未入库：学校基本情况, without the code behind the name."""
    return _CODE.sub("", text or "")


def size(value: int | None) -> str:
    """17.7 MB; nothing for None."""
    if value is None:
        return ""
    units = ("B", "KB", "MB", "GB")
    power = min(int(math.log(value, 1000)) if value > 0 else 0, len(units) - 1)
    return f"{value:,} B" if power == 0 else f"{value / 1000**power:.1f} {units[power]}"


def moment(value: str | datetime | None) -> str:
    """2026-11-23 13:51 in Beijing time, from the UTC text of the tables."""
    found = _moment(value)
    return found.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M") if found else str(value or "")


def day(value: str | datetime | None) -> str:
    """2026-11-23 in Beijing time; a plain day stays."""
    return str(value) if isinstance(value, str) and len(value) == 10 else moment(value)[:10]


def today(at: datetime) -> str:
    """The day it is in Beijing."""
    return at.astimezone(BEIJING).strftime("%Y-%m-%d")


def tone(word: str | None) -> str:
    """The class that colours a state or severity."""
    return TONES.get(word or "", "plain")


def vendor(name: str) -> str | None:
    """The address of a library's file, None where set-up has not fetched it; pages work without."""
    return f"/static/vendor/{name}" if (STATIC / "vendor" / name).is_file() else None


def _moment(value: str | datetime | None) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _masker(catalog: Catalog) -> object:
    """`{{ value | masked("XS", "SFZJH") }}`: as the entity's definition says (console 1)."""

    def masked(value: str | None, entity: str, field: str) -> str:
        found = catalog.entities.get(entity)
        return mask_value(found.by_name.get(field) if found else None, value) or ""

    return masked
