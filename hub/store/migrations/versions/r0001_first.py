"""Everything of the first release: golden tables and the hub's own.

Frozen. Column notation: name, type (C text, H fixed text, B bigint, N decimal, T long text, X bytes, V value
kept as text: on Oracle no CLOB, which could not be compared), then `!` key, `+` never NULL, `#` private data.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PRIVATE = "private data: never logged, masked on display"
FIRST_DIGEST = "sha256:" + "0" * 64
COLUMN = re.compile(r"(?P<name>[a-z0-9_]+) (?P<kind>[A-Z])(?P<size>\d*)(?:\.(?P<scale>\d+))?(?P<flags>[!+#]*)")
SQLITE_EXACT_DIGITS = 15

TABLES = {
    "g_xx": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; xxmc C60; xxywmc C180; xxbxlxm C3; "
        "xxjbzm C3; xxzgbmm C3; xxbbm C2; xzqhm C6; szdcxlxm C3; dym C60; tyshxydm C18; xxdz C180; xxyzbm C6; "
        "jxny C6; frzsh C20; xzxm C36; xzgh C20; lxdh C30; czdh C30; dzxx C40; zydz C60; xxxqs B; lsyg T; bxztm "
        "C1; tblxm C1; jxxdm C10"
    ),
    "g_xq": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; xqdm C2; xqmc C30; xqdz C180; xqyzbm C6; "
        "xqlxdh C30; xqfzrh C20; xqszdxzqhm C6; xqmj N20.0; xqjzmj N20.0"
    ),
    "g_zy": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; zybh C20; zymlbb C4; zydm C6; zymc C50; "
        "zyldm C4; zydldm C2; dyxzydm C6; xz N3.1; zyfxmc C100; zyjc C100; jlny C6; ksjgh C6"
    ),
    "g_bj": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; bh C10; bjmc C50; njdm C4; zybh C20; "
        "zydm C6; xz N3.1; jbny C6; bjztm C1; bzrgh C20; xqdm C2; jgh C6; zrs B"
    ),
    "g_jzg": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; gh C20; xm C36; xmpy C60; cym C36; ywxm "
        "C60; xbm C1; csrq C8; sfzjlxm C1; sfzjh C20; gjdqm C3; mzm C2; zzmmm C2; hyzkm C2; jkzkm C1; jg C20; "
        "csdxzqhm C6; cjgzny C6; lxny C6; cjny C6; jzglym C2; jzglbm C2; sfzb C1; yrxsm C60; qdhtqkm C60; xxjsyynlm "
        "C60; sftjjs C1; sfssxjs C1; sfjbzyjndjzs C1; qygzsc C60; dqztm C2"
    ),
    "g_jg": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; jgh C6; jgmc C100; jgjc C50; lssjjgh C6; "
        "lsxqh C2; jgyxbs C1; sfst C1; jlny C6; fzrh C20"
    ),
    "g_jzg_gz": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; xxdm C10; gh C20; jgh C6; szzybh C20; bzlbm C2; "
        "gwlbm C1; gwzym C2; zyjszwm C3; zgxlm C2; zgxwm C3; rkzkm C2; rkkclbm C2; sfjzjs C1; sfbzr C1; gwqsny C6"
    ),
    "g_xs": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; xxdm C10; xh C20; xm C36; xmpy C60; cym "
        "C36; ywxm C60; xbm C1; csrq C8; sfzjlxm C1; sfzjh C20; gjdqm C3; gatqwm C2; mzm C2; zzmmm C2; hyzkm C2; "
        "jkzkm C1; csdm C6; jgdxzqhm C6; lxdh C30; dzxx C40"
    ),
    "g_xs_sx": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; hkszdxzqhm C6; hkszdxxdz C180; sspcs "
        "C60; hkxzm C1; xsjzdlxm C1; chcqj C64; sfsqzn C1; sfjdlkpkh C1; sydxzqhm C6; byxx C60; xslym C3; zsdxm "
        "C3; zsfsm C1; zkzh C32; ksh C32; kszf N6.1; lzhzlxm C60; lzhzbxxsm C60; lzhzxxdm C10; jtxdz C180; jtyzbm "
        "C6; jtdh C30; jhrlxdh C30"
    ),
    "g_xs_xj": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; xxdm C10; rxny C6; xslbm C5; xxxsm C1; "
        "rxfsm C2; jdfsm C1; zybh C20; zymlbb C4; zydm C6; xz N3.1; bh C10; njdm C4; fdpyfsm C2; xwjxd C60; zczkm "
        "C1; zcrq C8; xsdqztm C2; yjbyny C6"
    ),
    "g_xs_yd": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; ydlbm C2; ydrq C8; ydyym C2; sprq C8; "
        "spwh C24; ydlyxxm C10; ydqxxxm C10; yzydm C6; xzydm C6; ybh C10; xbh C10"
    ),
    "g_xs_jz": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; xn C9; xqm C1; jzlbm C1; jzmc C60; je "
        "N12.2; sfny C6; tfny C6; tfyy C80; jflym C1; yhkh C30"
    ),
    "g_xs_jtcy": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; cyxh B; cyxm C36; gxm C2; sfjhr C1; "
        "lxdh C30; csny C6; sfzjlxm C1; sfzjh C20; mzm C2; zzmmm C2; jkzkm C1; cygzdw C60; zw C20"
    ),
    "g_xs_by": (
        "node H2!; pk H20!; row_ver B+; src_rid C64; prov C80; grbsm C19; jsxyny C6; jsxym C60; byzsh C20; byqxm C2"
    ),
    "tombstone": ("node H2!; entity C20!; pk H20!; row_ver B; batch C64"),
    "node_state": ("name C80!; value T"),
    "run": ("run_no B!; kind C40; run_mode C40; today C40; state C40; started C40; ended C40; counts T; note T"),
    "extract": (
        "extract_no B!; run_no B; system C40; source_table C80; read_mode C40; since C80; until_mark C80; "
        "rows_read B; rows_taken B; file_name C255; sha256 C80; started C40; ended C40; state C40"
    ),
    "change_set": (
        "node H2!; cs_no B!; run_no B; lo B; hi B; registry_version B; codes_digest C80; rows_i B; rows_u B; "
        "rows_d B; created C40"
    ),
    "lineage": (
        "node H2!; cs_no B!; entity C20!; file_name C255; sha256 C80; lo B; hi B; rows_i B; rows_u B; rows_d B; "
        "extracts T; batch_id C64"
    ),
    "outbox": (
        "stream C16!; epoch B!; seq B!; batch_id C64; cs_no B; lo B; hi B; prev C80; digest C80; state C16; "
        "rows_i B; rows_u B; rows_d B; parts B; bytes B; manifest X; sealed_at C40; sent_at C40; decided_at C40; "
        "verdict C40"
    ),
    "inbox": (
        "party C8!; stream C16!; epoch B!; seq B!; batch_id C64; digest C80; verdict C40; codes T; received_at "
        "C40; decided_at C40; rows_i B; rows_u B; rows_d B; noop B; quarantined B; envelope X"
    ),
    "peer_stream": (
        "party C8!; direction C4!; stream C16!; epoch B; last_seq B; last_digest C80; hi B; state C16; base_digest C80"
    ),
    "receipt": (
        "party C8!; stream C16!; epoch B!; seq B!; receipt_no B!; type C40; digest C80; body X; name C80; "
        "published_at C40; created C40"
    ),
    "trust_state": ("name C80!; version B; digest C80; body X; seen_at C40"),
    "quarantine": (
        "entity C20!; src_rid C64!; rule C20!; field C30!; natural_key C255#; school C20; reason C400; severity "
        "C8; source C80; state C8; run_no B; closed_run B"
    ),
    "conflict": (
        "conflict_no B!; entity C20; pk H20; natural_key C255#; field C30; rule C20; state C16; source C80; value "
        "V#; winner_source C80; winner_value V#; clash C24; digest C24; "
        "src_rid C64; rows_named B; run_no B; closed_run B"
    ),
    "finding": (
        "entity C20!; src_rid C64!; rule C20!; field C30!; natural_key C255#; severity C8; source C80; detail "
        "C400; state C8; run_no B; closed_run B"
    ),
    "key_change": ("entity C20!; pk H20!; cs_no B!; old_key C255#; new_key C255#"),
    "audit_event": (
        "i B!; ts C40; node C8; actor C80; actor_role C40; action C40; object C255; purpose C400; result C16; "
        "detail T; prev C80; digest C80"
    ),
}


def upgrade() -> None:
    for name, columns in TABLES.items():
        made = [_column(text) for text in columns.split("; ")]
        keys = [c.name for c in made if c.info["key"]]
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))
    state = sa.table("node_state", sa.column("name", sa.String(80)), sa.column("value", sa.Text()))
    op.bulk_insert(state, [{"name": "audit.head", "value": f"0 {FIRST_DIGEST}"}])


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)


def _column(text: str) -> sa.Column[Any]:
    found = COLUMN.fullmatch(text)
    if found is None:
        raise RuntimeError(f"malformed column {text!r}")
    flags = found["flags"]
    return sa.Column(
        found["name"],
        _type(found["kind"], int(found["size"] or 0), int(found["scale"] or 0)),
        nullable=not set(flags) & {"!", "+"},
        autoincrement=False,
        comment=PRIVATE if "#" in flags else None,
        info={"key": "!" in flags},
    )


def _type(kind: str, size: int, scale: int) -> Any:
    """Text compares bytewise; SQLite keeps decimals of more than 15 digits exactly only as text."""
    if kind == "C":
        return sa.String(size).with_variant(sa.String(size, collation="C"), "postgresql")
    if kind == "H":
        return sa.CHAR(size).with_variant(sa.CHAR(size, collation="C"), "postgresql")
    if kind == "T":
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    if kind == "V":
        return sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.String(1333), "oracle")
    if kind == "N":
        number = sa.Numeric(size, scale)
        return number.with_variant(sa.String(size + 2), "sqlite") if size > SQLITE_EXACT_DIGITS else number
    return {"B": sa.BigInteger, "X": sa.LargeBinary}[kind]()
