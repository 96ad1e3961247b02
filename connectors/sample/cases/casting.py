"""Which case is planted on whom: the list of kinds, and the choice of ordinary people for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from connectors.sample.cases import edits, second_day, specials, supplements
from connectors.sample.cases.edits import Edit, edit, put
from connectors.sample.cases.scene import Play
from connectors.sample.dice import Ints
from connectors.sample.plan import CLASS_SIZE, School
from connectors.sample.students import World, identities

MAIL = "student@example.cn"


@dataclass(frozen=True)
class Kind:
    """A case by its day-1 and day-2 plays. `pool`: student, graduate or teacher; `need` x: an ID number ending in X."""

    name: str
    first: Play
    second: Play | None = None
    pool: str = "student"
    width: int = 1
    need: str = ""


@dataclass(frozen=True)
class Part:
    """A kind planted on a person; `number` counts the kind's cases."""

    kind: Kind
    owner: int
    number: int


def _empty() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Cast:
    """Parts by index of the school; plain people are kept ordinary by the generators."""

    students: dict[int, list[Part]]
    teachers: dict[int, list[Part]]
    plain_students: Ints = field(default_factory=_empty)
    plain_teachers: Ints = field(default_factory=_empty)


def _edits(changes: Sequence[Edit], pool: str) -> list[Kind]:
    return [Kind(e.kind, e, pool=pool, need=e.need) for e in changes]


def _student_kinds() -> list[Kind]:
    copies = [
        Kind("wy01_xs", specials.differing_copy("wy01_xs", "XS_JBXX", LXDH=specials.OTHER_PHONE)),
        Kind("wy01_xs_sx", specials.differing_copy("wy01_xs_sx", "XS_JBSX", SSPCS="另一派出所")),
        Kind("wy01_xs_jz", specials.differing_copy("wy01_xs_jz", "XS_JZXX", JZMC="另一项资助")),
        Kind("wy01_xs_jtcy", specials.differing_copy("wy01_xs_jtcy", "XS_JTCY", LXDH=specials.OTHER_PHONE)),
        *(Kind(f"duplicate_{t}", specials.identical_copy(f"duplicate_{t}", t))
          for t in ("XS_JBXX", "XS_JBSX", "XS_XJXX", "XS_JTCY", "XS_JZXX")),
    ]  # fmt: skip
    sets = [
        Kind("wz08_sx", specials.without("XS_JBSX", "wz08_no_xs_sx")),
        Kind("wz08_xj", specials.without("XS_XJXX", "wz08_no_xs_xj")),
        Kind("yx12", specials.malformed_number),
        Kind("yx13", specials.wrong_number),
        Kind("wy02", specials.two_schools),
        Kind("wy03", specials.same_person, width=2),
        Kind("wy04", specials.one_person, width=2),
        Kind("wy05", specials.same_school_number, width=2),
        Kind("yz10_31", specials.state_disagrees("31")),
        Kind("yz10_11", specials.state_disagrees("11")),
        Kind("yx05_yd", specials.unknown_change),
        Kind("in_transit_yd", specials.pending_change),
        Kind("rejected_yd", specials.rejected_change),
        Kind("old_school", specials.old_school),
        Kind("doubted_school", specials.doubted_school),
        Kind("cancelled", specials.cancelled),
        Kind("yx19", specials.old_temporary_number),
        Kind("school_name", specials.other_school_name("copied_school_name", "XS_XJXX")),
    ]
    return copies + sets


def _local_kinds() -> list[Kind]:
    f, d, r = supplements.filled, supplements.disputed, supplements.rescued
    students = [
        Kind("l1", f("l_fills_optional", "XS_JBXX", "DZXX", "电子信箱/其他联系方式", MAIL, MAIL)),
        Kind("l2", f("l_fills_optional_sx", "XS_JBSX", "JTYZBM", "家庭邮政编码", "050000", "050000")),
        Kind("l3", f("l_fills_required", "XS_JBXX", "MZM", "民族", "汉族", "01")),
        Kind("l4", d("l_disputes", "XS_JBXX", "MZM", "民族", "MZ", ("01", "03"))),
        Kind("l5", r("l_rescues", "XS_JBXX", "JKZKM", "健康状况", "健康或良好", "7")),
        Kind("l6", supplements.student_only_local),
    ]  # fmt: skip
    teachers = [
        Kind("l1t", f("l_fills_teacher_optional", "JZG_JBXX", "HYZKM", "婚姻状况", "已婚", "20")),
        Kind("l2t", f("l_fills_teacher_required", "JZG_JBXX", "JKZKM", "健康状况", "健康或良好", "1")),
        Kind("l3t", d("l_disputes_teacher", "JZG_JBXX", "MZM", "民族", "MZ", ("01", "02"))),
        Kind("l4t", r("l_rescues_teacher", "JZG_JBXX", "ZZMMM", "政治面貌", "群众", "不详")),
        Kind("l5t", supplements.teacher_only_local),
    ]
    return students + [Kind(k.name, k.first, pool="teacher") for k in teachers]


def _teacher_kinds() -> list[Kind]:
    work = specials.differing_copy("wy01_jzg_gz", "JZG_GZXX", SFJZJS="是")
    plays: dict[str, Play] = {
        "wy01_gz": work,
        "duplicate_t": specials.identical_copy("duplicate_JZG_JBXX", "JZG_JBXX"),
        "duplicate_g": specials.identical_copy("duplicate_JZG_GZXX", "JZG_GZXX"),
        "cancelled_t": specials.cancelled,
        "old_school_t": specials.old_school,
        "school_name_t": specials.other_school_name("copied_school_name_s2", "JZG_JBXX"),
        "wide_staff": wide_staff_number,
    }
    return [*(Kind(n, p, pool="teacher") for n, p in plays.items()),
            Kind("wy06", specials.same_staff_number, pool="teacher", width=2)]  # fmt: skip


wide_staff_number = Edit("wide_staff_number", "JZG_JBXX", "GH", edit("GH", edits.wide), "golden")


def _later_kinds() -> list[Kind]:
    s = second_day
    id_fault = Edit("day1_yx02", "XS_JBXX", "SFZJH", edit("SFZJH", edits.wrong_check), rule="YX02")
    empty_fault = Edit("day1_wz01", "XS_JBSX", "SSPCS", put(SSPCS=None), rule="WZ01")
    label_fault = Edit("day1_label", "JZG_JBXX", "MZM", put(MZM="不详族"), ruling=15)
    students = {
        "new": (s.hidden, s.newcomer),
        "soft_removed": (s.nothing, s.cancelled_later),
        "hard_removed": (s.nothing, s.vanished),
        "approved": (s.in_transit, s.approved),
        "left": (s.leaving, s.left),
        "l_to_g": (s.temporary_number, s.formal_number),
        "late": (s.nothing, s.late_commit),
        "spoilt": (s.nothing, s.spoilt),
        "blanked": (s.nothing, s.blanked),
        "corrected_id": s.corrected(id_fault),
        "corrected_empty": s.corrected(empty_fault),
    }
    teachers = {
        "new_t": (s.hidden, s.newcomer),
        "soft_t": (s.nothing, s.cancelled_later),
        "hard_t": (s.nothing, s.vanished),
        "contract": (s.nothing, s.contract),
        "corrected_label": s.corrected(label_fault),
    }
    return [
        *(Kind(n, a, b) for n, (a, b) in students.items()),
        Kind("intruder", s.partner_hidden, s.intruder, width=2),
        *(Kind(n, a, b, pool="teacher") for n, (a, b) in teachers.items()),
    ]


def kinds(world: World) -> list[Kind]:
    """Every kind, in the order in which people are chosen."""
    normalised = [*edits.STUDENT_NORMALISED, *([edits.ABOLISHED_DIVISION] if world.facts.abolished else [])]
    return [
        *_edits(normalised, "student"),
        *_edits(edits.STUDENT_REFUSED, "student"),
        *_student_kinds(),
        *_edits(edits.GRADUATE_REFUSED, "graduate"),
        Kind("wy09", specials.same_certificate, pool="graduate", width=2),
        *_edits(edits.TEACHER_EDITS, "teacher"),
        *_teacher_kinds(),
        *_local_kinds(),
        *_later_kinds(),
    ]


def cast_cases(world: World) -> Cast:
    """Chooses `per_kind` people for each kind; nobody carries two cases."""
    pools = {p: list(map(int, _pool(world, p))) for p in ("student", "graduate", "teacher")}
    x_first = _ending_in_x(world, pools["student"])
    singles: dict[str, list[int]] = {p: [] for p in pools}
    chosen: dict[str, dict[int, list[Part]]] = {"student": {}, "teacher": {}}
    plain: dict[str, list[int]] = {"student": [], "teacher": []}
    for kind in sorted(kinds(world), key=lambda k: (k.need, k.width), reverse=True):
        people = "teacher" if kind.pool == "teacher" else "student"
        for number in range(world.plan.per_kind):
            if kind.need == "x":
                owner = x_first.pop()
                pools["student"].remove(owner)
            elif kind.width == 1 and singles[kind.pool]:
                owner = singles[kind.pool].pop()
            else:
                owner = pools[kind.pool].pop()
                singles[kind.pool] += [owner + 1] * (kind.width == 1)
            school = _school_of(world, owner, people)
            chosen[people].setdefault(school.index, []).append(Part(kind, owner, number))
            plain[people] += range(owner, owner + kind.width)
    return Cast(chosen["student"], chosen["teacher"], _sorted(plain["student"]), _sorted(plain["teacher"]))


def _sorted(people: list[int]) -> Ints:
    return np.array(sorted(people), dtype=np.int64)


def _school_of(world: World, owner: int, people: str) -> School:
    starts = [s.first if people == "student" else s.first_teacher for s in world.plan.schools]
    return world.plan.schools[int(np.searchsorted(starts, owner, side="right")) - 1]


def _pool(world: World, pool: str) -> Ints:
    """Candidates two apart (a partner fits between), in an order without pattern; never a school's first teacher."""
    owners: list[Ints] = []
    for school in world.plan.schools[: world.plan.main]:
        if pool == "teacher":
            owners.append(school.first_teacher + 1 + np.arange(0, school.teachers - 2, 2))
            continue
        for n, klass in enumerate(school.classes):
            size = min(CLASS_SIZE, school.size - n * CLASS_SIZE)
            if klass.graduated == (pool == "graduate"):
                owners.append(school.first + n * CLASS_SIZE + np.arange(0, size - 1, 2))
    every = np.concatenate(owners).astype(np.int64)
    order: Ints = every[np.argsort(world.dice.draw(f"cast.{pool}", every), kind="stable")]
    return order


def _ending_in_x(world: World, pool: list[int]) -> list[int]:
    """Candidates whose ID number ends in X, among those chosen last."""
    at = np.array(sorted(pool[: max(2_000, 40 * world.plan.per_kind)]), dtype=np.int64)
    schools = world.plan.schools[: world.plan.main]
    starts = np.array([s.first for s in schools])
    school = np.searchsorted(starts, at, side="right") - 1
    within = at - starts[school]
    grade = [schools[s].classes[w // CLASS_SIZE].grade for s, w in zip(school, within, strict=True)]
    ordinary = np.zeros(len(at), dtype=bool)
    _, _, body, _ = identities(world, schools, at, school, within, np.array(grade, dtype=np.int64), ordinary)
    return [int(o) for o in at[body[:, 17] == ord("X")]]
