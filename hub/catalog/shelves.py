"""Divisions, majors, the map between them and labels as tables, so that a version of the registry carries them too.

Decides how those parts of a code set stand beside the code tables, under names with a dot that no code table has, and
how a catalogue's parts are made of them again. A shelf is a table `{key: value}` like any other: compared, signed and
installed with the rest (`hub.catalog.codes`). Leaves to `hub.catalog.code_files` what their files look like.

Shelves: `division.known` every division ever → newest name (its code where it has none), `division.now` those in
force, `division.next` code no longer in force → what stands in its place, `major.<edition>` code → name, `major.map`
old → new, `label.<table>` label → code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from hub.catalog.model import Codes

# GA-specific prefixes of residence permits of Hong Kong, Macao and Taiwan residents (YX03).
RESIDENCE_PERMIT_DIVISIONS: Final = frozenset({"810000", "820000", "830000"})
KNOWN: Final = "division.known"
NOW: Final = "division.now"
NEXT: Final = "division.next"
MAP: Final = "major.map"
MAJOR: Final = "major."
LABEL: Final = "label."
YEARS: Final = "XZ(年)"  # words for a length of study; there is no code table of that name
DIVISION_KINDS: Final = ("division", "division_history")
_TITLES: Final = {KNOWN: "行政区划（历年）", NOW: "行政区划（现行）", NEXT: "行政区划（沿革）", MAP: "新旧专业对照"}
Shelves = dict[str, dict[str, str]]


def is_shelf(name: str) -> bool:
    """Whether a name is a shelf's; code tables have no dot."""
    return "." in name


def title(name: str, tables: Mapping[str, str]) -> str:
    """A shelf's Chinese name. `tables`: those of the code tables."""
    if name in _TITLES:
        return _TITLES[name]
    of = name.partition(".")[2]
    return f"{tables.get(of, of)}（标签）" if name.startswith(LABEL) else f"专业目录 {of}"


def shelved(codes: Codes) -> Shelves:
    """The shelves of a code set, a site's own labels included."""
    names = codes.division_names
    found: Shelves = {
        KNOWN: {c: names.get(c, c) for c in sorted(codes.divisions)},
        NOW: {c: names.get(c, c) for c in sorted(codes.divisions_current)},
        NEXT: dict(codes.division_successors),
        MAP: dict(codes.major_map),
    }
    for (edition, code), name in codes.majors.items():
        found.setdefault(MAJOR + edition, {})[code] = name
    return found | {LABEL + table: dict(labels) for table, labels in codes.labels.items()}


def with_shelves(codes: Codes, shelves: Mapping[str, Mapping[str, str]]) -> Codes:
    """The code set with these divisions, majors and labels; labels that a site added stand on top (ruling 8)."""
    labels = {n.removeprefix(LABEL): dict(t) for n, t in shelves.items() if n.startswith(LABEL)}
    for table, own in site_labels(codes).items():
        labels[table] = {**labels.get(table, {}), **own}
    known = shelves.get(KNOWN, {})
    return replace(
        codes,
        labels=labels,
        divisions=frozenset(known),
        divisions_current=frozenset(shelves.get(NOW, {})),
        division_names={c: name for c, name in known.items() if name != c},
        division_successors=dict(shelves.get(NEXT, {})),
        majors={
            (name.removeprefix(MAJOR), code): word
            for name, codes_ in shelves.items()
            if name.startswith(MAJOR) and name != MAP
            for code, word in codes_.items()
        },
        major_map=dict(shelves.get(MAP, {})),
    )


def site_labels(codes: Codes) -> dict[str, dict[str, str]]:
    """The labels that only this site has."""
    found = {}
    for table, labels in codes.labels.items():
        shipped = codes.national.get(LABEL + table, {})
        if own := {label: code for label, code in labels.items() if shipped.get(label) != code}:
            found[table] = own
    return found


def division_shelves(rows: Iterable[Mapping[str, str]]) -> Shelves:
    """The three shelves of GB/T 2260 rows: `code`, `name`, `status` (在用 or not), `new_code` (YX03, YX05, YX06)."""
    known: set[str] = set(RESIDENCE_PERMIT_DIVISIONS)
    current: set[str] = set()
    names: dict[str, str] = {}
    follows: dict[str, tuple[str, ...]] = {}
    for row in rows:
        code = row["code"]
        known |= {code, code[:4] + "00", code[:2] + "0000"}
        if row["status"] == "在用":
            current |= {code, code[:4] + "00"}
            names[code] = row["name"]
        names.setdefault(code, row["name"])
        if row["new_code"]:
            follows[code] = tuple(c.split("[")[0] for c in row["new_code"].split(";") if c)
    return {
        KNOWN: {c: names.get(c, c) for c in sorted(known)},
        NOW: {c: names.get(c, c) for c in sorted(current)},
        NEXT: _successors(follows, frozenset(current)),
    }


def _successors(follows: Mapping[str, tuple[str, ...]], current: frozenset[str]) -> dict[str, str]:
    """Codes no longer in force → what stands in their place now, followed through every renumbering (YX06)."""
    found = {code: _in_force(code, follows, current, frozenset()) for code in follows if code not in current}
    return {code: ",".join(sorted(set(news))) for code, news in found.items() if news}


def _in_force(
    code: str, follows: Mapping[str, tuple[str, ...]], current: frozenset[str], seen: frozenset[str]
) -> tuple[str, ...]:
    if code in current:
        return (code,)
    if code in seen:
        return ()
    return tuple(n for new in follows.get(code, ()) for n in _in_force(new, follows, current, seen | {code}))


def label_shelves(rows: Iterable[Mapping[str, str]]) -> Shelves:
    """One shelf per table of rows `table`, `label`, `code`; the student category of our own is one of XSLB."""
    found: Shelves = {}
    for row in rows:
        found.setdefault(LABEL + row["table"].replace("LOCAL_XSLB", "XSLB"), {})[row["label"]] = row["code"]
    return found


def major_shelf(edition: str, rows: Iterable[Mapping[str, str]]) -> Shelves:
    """One edition of the catalogue of majors: `major_code`, `major_name`."""
    return {MAJOR + edition: {r["major_code"]: r["major_name"] for r in rows}}


def map_shelf(rows: Iterable[Mapping[str, str]]) -> Shelves:
    """Old → new majors that are the same by name; what a person must confirm stays out (MODEL §3)."""
    return {MAP: {r["old_code"]: r["new_code"] for r in rows if r["relation"] == "exact_name"}}
