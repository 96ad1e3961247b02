"""Settings of a node: flag > environment `HUB_*` > `hub.toml` > default (console §7).

Decides nothing; a node is a folder, and every path below it is named here once. Secrets are files under `keys/`, never
values in `hub.toml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from hub.errors import NotInitialisedError, UsageError

FILE = "hub.toml"
RULES = "rules.json"
# Minute and hour of a cron line: the days are the product's, increments from Monday to Saturday and all on Sunday.
SCHEDULE = r"^[0-9,*/-]+ [0-9,*/-]+ \* \* \*$"


class WebSettings(BaseModel):
    """The console, `[web]` in hub.toml. Files are relative to the node's folder; their content is never printed."""

    model_config = ConfigDict(extra="forbid")

    # Where it is reached from outside when a proxy stands in front; its scheme decides whether cookies are Secure.
    url: str = ""
    # Proxies whose X-Forwarded-For is believed.
    proxies: tuple[str, ...] = ()
    # Whom to ask for a role: name and telephone of the office, shown to people without one.
    contact: str = ""
    idle_minutes: int = Field(default=30, ge=1)
    # Plaintext views per account and day (console 1).
    plaintext_views: int = Field(default=50, ge=0)
    # Dagster's pages behind this login: loopback addresses of the two webservers.
    dagster: str = ""
    dagster_readonly: str = ""
    # Sign-in by 统一身份认证 (OIDC); `oidc_secret` names a file. Without an issuer, local accounts only.
    oidc_issuer: str = ""
    oidc_client: str = ""
    oidc_secret: str = ""
    oidc_label: str = "统一身份认证"
    # /metrics from elsewhere than this machine: a file with the token that has to come with the request.
    metrics_token: str = ""


class NodeSettings(BaseSettings):
    """One node. Sizes in rows or megabytes, shares 0..1, times in the unit their name ends with."""

    model_config = SettingsConfigDict(env_prefix="HUB_", extra="forbid")

    role: Literal["province", "ministry"]
    party: str = Field(pattern=r"^([1-6][0-9]|moe)$")
    name: str
    database: str = "sqlite:///hub.db"
    transport: str = "folder:exchange"
    sources: str = "sources"
    # Engine.
    memory_mb: int = Field(default=1100, ge=256)
    threads: int = Field(default=2, ge=1)
    # Finding change: how far the watermark is read again, and what share of a table may vanish in one run.
    overlap_hours: float = Field(default=24.0, ge=0)
    max_delete_share: float = Field(default=0.05, ge=0, le=1)
    # Below this many deletes in a table the share is not looked at (small tables move in large shares).
    min_braked_deletes: int = Field(default=50, ge=0)
    # When a province's rounds run under Dagster, in China's time (`pipelines.province`).
    schedule: str = Field(default="30 2 * * *", pattern=SCHEDULE)
    # Batches (protocol 11.2; both sides share these through the trust list later).
    max_batch_rows: int = Field(default=2_000_000, ge=1)
    # The quality gate's second judge: rows per entity that Great Expectations looks at in a run, 0 for all.
    expectation_rows: int = Field(default=20_000, ge=0)
    # Quality rules as this node applies them: thresholds by rule, and `enabled = false` for a rule that does not block
    # (`hub.catalog.tuning` checks names and kinds). In hub.toml: [rules.YZ12] men = 63.
    rules: dict[str, dict[str, bool | int | float | str | list[int | float | str]]] = Field(default_factory=dict)
    # Signing by a device (protocol 10.3): the adapter's command line, and how long one signature may take.
    signer_command: tuple[str, ...] = ()
    signer_seconds: float = Field(default=20.0, gt=0)
    # Puts a newly received authority registry in force by itself; otherwise `hub registry plan` and `apply` come first.
    registry_auto: bool = False
    web: WebSettings = Field(default_factory=WebSettings)
    # SFTP.
    sftp_key: str = "keys/ssh"
    sftp_host_keys: tuple[str, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the node's file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class Node:
    """A node's folder and settings. Paths are made absolute here; nothing is created."""

    def __init__(self, folder: Path, settings: NodeSettings) -> None:
        self.folder = folder.resolve()
        self.settings = settings

    @property
    def party(self) -> str:
        return self.settings.party

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def trust(self) -> Path:
        return self.folder / "trust"

    @property
    def extracts(self) -> Path:
        """Immutable Parquet of what the sources said."""
        return self.folder / "extracts"

    @property
    def changes(self) -> Path:
        """Sealed change sets: history, recovery and lineage read these."""
        return self.folder / "changes"

    @property
    def archive(self) -> Path:
        """Versions that ended, moved out of the database: Parquet by year (`hub.archive`)."""
        return self.folder / "archive"

    @property
    def spool(self) -> Path:
        """Sealed ciphertext until applied (protocol 5.6)."""
        return self.folder / "spool"

    @property
    def store(self) -> Path:
        """The ministry's evidence: envelopes, ciphertext, receipts (protocol 2.1)."""
        return self.folder / "store"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def state(self) -> Path:
        """The settling state (DuckDB): contributions and golden image."""
        return self.work / "settling.duckdb"

    @property
    def quality_docs(self) -> Path:
        """Validation results per run as static pages: counts and record numbers, no values."""
        return self.folder / "quality"

    @property
    def lock(self) -> Path:
        return self.work / "lock"

    @property
    def database_url(self) -> str:
        """The store's URL; a relative SQLite path is relative to the node's folder."""
        return _absolute(self.settings.database, "sqlite:///", self.folder)

    @property
    def transport_url(self) -> str:
        return _absolute(self.settings.transport, "folder:", self.folder)

    @property
    def sources(self) -> Path:
        return (self.folder / self.settings.sources).resolve()

    def secret(self) -> bytes:
        """The node's secret for record numbers; `NotInitialisedError` without one."""
        path = self.keys / "record.secret"
        if not path.is_file():
            raise NotInitialisedError("E1001", "节点密钥不存在", where="keys/record.secret", step="从备份恢复该文件")
        return bytes.fromhex(path.read_text().strip())


def _absolute(url: str, prefix: str, folder: Path) -> str:
    if not url.startswith(prefix):
        return url
    path = url.removeprefix(prefix)
    return prefix + str(folder / path) if not path.startswith("/") else url


def approved_rules(folder: Path) -> dict[str, Any]:
    """Rule settings that two persons approved in the console (`rules.json`); they stand above `[rules]` of hub.toml,
    name by name. `UsageError` E1003 for a file that is none."""
    file = folder / RULES
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_bytes())
        return {str(rule): dict(own) for rule, own in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise UsageError(
            "E1003", "节点设置有误：规则变更记录不可读", where=RULES, step="在控制台的【质量规则】重新确认一次变更"
        ) from None


def keep_rules(folder: Path, rules: Mapping[str, Mapping[str, Any]]) -> None:
    """Puts approved rule settings in force for whatever opens the node from now on; whole or not at all."""
    part = folder / f".{RULES}.part"
    part.write_text(json.dumps(rules, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
    part.replace(folder / RULES)


def open_node(folder: Path, **flags: object) -> Node:
    """The node in a folder; flags that are None do not count. `NotInitialisedError` without a `hub.toml`."""
    file = folder / FILE
    if not file.is_file():
        raise NotInitialisedError(
            "E1002",
            "这里没有节点",
            where=str(file.name),
            step="用 --node 指定含 hub.toml 的节点目录；新建用 hub init，试验用 hub lab init",
        )
    try:
        given = {k: v for k, v in flags.items() if v is not None}
        approved = approved_rules(folder)
        if approved and "rules" not in given:
            given["rules"] = approved
        config = SettingsConfigDict(env_prefix="HUB_", extra="forbid", toml_file=file)
        bound: type[NodeSettings] = type("BoundSettings", (NodeSettings,), {"model_config": config})
        settings = bound(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        fields = "、".join(".".join(str(p) for p in e["loc"]) for e in error.errors())
        raise UsageError("E1003", f"节点设置有误：{fields}", where=FILE, step="更正这些设置后重试") from error
    return Node(folder, settings)


def write_settings(folder: Path, settings: dict[str, str | int | float | list[str]]) -> None:
    """Writes `hub.toml`; values are text, numbers or lists of text."""
    lines = []
    for key, value in settings.items():
        if not re.fullmatch(r"[a-z_]+", key):
            raise RuntimeError(f"setting name {key!r}")
        lines.append(f"{key} = {_toml(value)}")
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: str | int | float | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
