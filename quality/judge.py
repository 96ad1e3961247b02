"""The gate's second judge: looks at a round's change files with Great Expectations and says where it disagrees.

Decides whether what the SQL gate let pass holds by the suites too (`quality.suites`). It changes nothing and repairs
nothing: a hit of severity 错误 means that one of the two judges is wrong, so the round must stop (E3301).

Rules: memory is bounded by blocks; a rule that could not be evaluated is an error, never bad data; only counts and
record numbers leave, no value ever does. Importing this module costs nothing: Great Expectations (seconds) is imported
by the first judgement, or by a child process started early (`start_judge`), so that it loads while sources are read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from hub.catalog import Catalog, Entity, codes, load_catalog
from hub.catalog.authority import read_registry
from hub.catalog.tuning import tuned
from hub.changes import change_schema
from hub.errors import HubError, InputError
from hub.settings import Node
from quality.judgement import Judgement, Opinion
from quality.suites import ORIGIN, RECORD, Check, build_suite, by_rule, checks, quiet_context

# Rows of one block when everything is judged: about 100 MB of frames for the widest entity.
BLOCK_ROWS = 50_000
TIMEOUT_SECONDS = 1800.0
RuleSettings = Mapping[str, Mapping[str, Any]]


def judge(files: Mapping[str, Sequence[Path]], catalog: Catalog, *, rows: int, today: str) -> Judgement:
    """Judges the I and U rows of change files by entity; `rows` per entity, spread over its files, 0 for all of them.

    `today`: YYYY-MM-DD. Raises `InputError` E3303 for a file that is not a change file of its entity and `HubError`
    E3302 when a rule could not be evaluated.
    """
    looked: dict[str, int] = {}
    opinions: list[Opinion] = []
    for name, paths in files.items():
        entity = catalog.entities[name]
        found = checks(catalog, entity, today=today)
        blocks = [judge_block(name, found, block) for block in _blocks(entity, found, paths, rows)]
        merged = [_merged(several) for several in zip(*blocks, strict=True)]
        looked[name] = merged[0].checked if merged else 0
        opinions += merged
    return Judgement(looked, tuple(opinions))


def _merged(several: Sequence[Opinion]) -> Opinion:
    first = several[0]
    return Opinion(
        first.entity,
        first.rule,
        first.field,
        first.severity,
        sum(o.checked for o in several),
        sum(o.failed for o in several),
        tuple(r for o in several for r in o.records),
    )


def judge_block(name: str, found: Sequence[Check], frame: Any) -> list[Opinion]:
    """One opinion per check over one pandas block that holds `pk` and the columns the checks name.

    Asks yes or no per rule first, and field by field with failing rows only where that says no.
    """
    broad = by_rule(found)
    answers = _validate(name, [check for check, _ in broad], frame, "BOOLEAN_ONLY")
    wrong = [m for (_, members), answer in zip(broad, answers, strict=True) if not answer.success for m in members]
    details = _validate(name, wrong, frame, "COMPLETE") if wrong else []
    records = {_identity(c.meta()): _records(c, d) for c, d in zip(wrong, details, strict=True) if not d.success}
    if wrong and not records:
        raise RuntimeError(f"{name}: a rule fails as a whole and holds field by field")
    return [_opinion(name, check, len(frame), records.get(_identity(check.meta()), ())) for check in found]


def _opinion(name: str, check: Check, checked: int, records: tuple[str, ...]) -> Opinion:
    return Opinion(name, check.rule, check.field, check.severity, checked, len(records), records)


def _records(check: Check, detail: Any) -> tuple[str, ...]:
    """The record numbers of a failing check, complete; the index list holds values too, which stay here."""
    result = detail.to_json_dict()["result"]
    records = tuple(str(row[RECORD]) for row in result["unexpected_index_list"])
    if not records or len(records) != result["unexpected_count"]:
        raise RuntimeError(f"{check.rule}:{check.field}: {result['unexpected_count']} rows, {len(records)} named")
    return records


def _validate(name: str, found: Sequence[Check], frame: Any, form: str) -> list[Any]:
    asset = quiet_context().data_sources.add_pandas("change_set").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("block").get_batch(batch_parameters={"dataframe": frame})
    wanted = {
        "result_format": form,
        "unexpected_index_column_names": [RECORD],
        "return_unexpected_index_query": False,
    }
    suite = build_suite(name, tuple(found))
    results = {_identity(r.expectation_config.meta): r for r in batch.validate(suite, result_format=wanted).results}
    return [_evaluated(name, check, results[_identity(check.meta())]) for check in found]


def _identity(meta: Mapping[str, str]) -> tuple[str, str]:
    return meta["rule"], meta["field"]


def _evaluated(name: str, check: Check, result: Any) -> Any:
    """The result, unless the engine failed: that shows as `success=False` and must not read as bad data.

    The engine's own message may quote values, so it is not repeated.
    """
    info = result.exception_info or {}
    parts = [info] if "raised_exception" in info else list(info.values())
    if any(part.get("raised_exception") for part in parts):
        raise HubError(
            "E3302",
            "质量规则无法执行，本轮不能判定",
            where=f"{name}.{check.field} 规则 {check.rule}",
            step="本轮已停止，未发布任何数据；请报告该规则",
        )
    return result


def _blocks(entity: Entity, found: Sequence[Check], paths: Sequence[Path], rows: int) -> Iterator[Any]:
    """Frames of I and U rows: one of about `rows` rows, or all rows in frames of at most `BLOCK_ROWS`."""
    import pyarrow as pa

    wanted = list(dict.fromkeys(["op", RECORD, ORIGIN, *(c for check in found for c in check.columns)]))
    groups = [(path, index, size) for path in paths for index, size in enumerate(_group_sizes(entity, path))]
    total = sum(size for _, _, size in groups)
    if rows == 0:
        for path, index, size in groups:
            for part in _standing(path, index, wanted, size):
                if part.num_rows:
                    yield _frame(part)
    elif total:
        parts = [
            part for path, index, size in groups for part in _standing(path, index, wanted, -(-rows * size // total))
        ]
        if sampled := [p for p in parts if p.num_rows]:
            yield _frame(pa.concat_tables(sampled))


def _group_sizes(entity: Entity, path: Path) -> list[int]:
    """Rows of each row group; `InputError` E3303 unless the columns are exactly those of the definition."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            written, defined = file.schema_arrow, change_schema(entity)
            if written.names == defined.names and written.types == defined.types:
                return [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    except (OSError, pa.ArrowInvalid):
        pass
    raise _unreadable(f"变更文件与{entity.cn}的数据定义不符或读不出来", path.name)


def _unreadable(what: str, where: str) -> InputError:
    return InputError("E3303", what, where=where, step="本轮已停止，未发布任何数据；请保留现场并报告该错误")


def _standing(path: Path, group: int, columns: Sequence[str], quota: int) -> Iterator[Any]:
    """At most `quota` rows of a row group that are not deletes, as tables of at most `BLOCK_ROWS` rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(min(BLOCK_ROWS, max(quota, 1)), row_groups=[group], columns=list(columns))
        for batch in batches:
            table = pa.Table.from_batches([batch])
            kept = table.filter(pc.not_equal(table["op"], "D")).slice(0, quota)
            quota -= kept.num_rows
            yield kept
            if quota <= 0:
                return


def _frame(table: Any) -> Any:
    """A pandas frame; decimals as doubles, which hold the few digits that rules look at."""
    import pyarrow as pa

    for at, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(at, column.name, table.column(at).cast(pa.float64()))
    return table.to_pandas()


class RunningJudge:
    """A judge in a child process. Use as a context manager: leaving it ends the child, whatever happened."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._submitted = False

    def submit(
        self,
        files: Mapping[str, Sequence[Path]],
        *,
        rows: int,
        today: str,
        rules: RuleSettings | None = None,
        registry: str | None = None,
        tables: str | None = None,
    ) -> None:
        """Hands over the change files; the child judges while the caller goes on. `rules`: the node's own settings.

        `registry`, `tables`: document and code tables of the authority registry in force, where they are not the
        shipped ones.
        """
        if self._submitted:
            raise RuntimeError("a child judges once")
        self._submitted = True
        document: dict[str, Any] = {
            "files": {n: [str(p) for p in paths] for n, paths in files.items()},
            "rows": rows,
            "today": today,
            "rules": rules or {},
            "registry": registry,
            "tables": tables,
        }
        try:
            self._stdin().write(json.dumps(document).encode() + b"\n")
            self._stdin().flush()
        except OSError:
            raise _died() from None

    def finish(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Judgement:
        """Waits for the judgement. Raises what the child raised, or `HubError` E3304 when it died or hung."""
        if not self._submitted:
            raise RuntimeError("nothing was submitted")
        try:
            out, _ = self._process.communicate(timeout=timeout_seconds)
        except (subprocess.TimeoutExpired, OSError):
            self.close()
            raise _died() from None
        try:
            document = json.loads(out)
        except ValueError:
            raise _died() from None
        if error := document.get("error"):
            kind = InputError if error["code"] == "E3303" else HubError
            raise kind(error["code"], error["what"], where=error["where"], step=error["step"])
        return Judgement.from_json(document)

    def close(self) -> None:
        """Ends the child if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self._process.wait()

    def __enter__(self) -> RunningJudge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise RuntimeError("the child was started without a pipe")
        return self._process.stdin


def start_judge(site_dictionaries: Path | None = None) -> RunningJudge:
    """Starts the child that will judge this round; it imports Great Expectations and the catalogue at once.

    `site_dictionaries`: what the caller's catalogue was loaded with (ruling 8).
    """
    root = str(Path(__file__).resolve().parents[1])
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]))
    command = [sys.executable, "-m", "quality.judge", *([str(site_dictionaries)] if site_dictionaries else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    return RunningJudge(process)


def judge_round(node: Node, number: int, site_dictionaries: Path | None = None) -> Judgement:
    """Judges change set `number` of a province in a child process, as of its round's day and by the node's settings.

    Raises as `RunningJudge.finish`, also without a record of the round; `Judgement.require_clean` stops on a finding.
    """
    folder, files = node.changes / f"{number:08d}", dict[str, list[Path]]()
    try:
        record = json.loads((folder / "round.json").read_bytes())
    except (OSError, ValueError):
        raise _unreadable("变更集没有可读的本轮记录", folder.name) from None
    for file in record["files"]:
        files.setdefault(file["entity"], []).append(folder / file["path"])
    with start_judge(site_dictionaries) as running:
        running.submit(
            files,
            rows=node.settings.expectation_rows,
            today=record["today"],
            rules=node.settings.rules,
            registry=record.get("registry_document"),
            tables=record.get("registry_tables"),
        )
        return running.finish()


def _died() -> HubError:
    return HubError(
        "E3304",
        "质量复核进程没有给出结论",
        where="quality.judge",
        step="本轮已停止，未发布任何数据；检查内存与磁盘后重新运行",
    )


def main(arguments: Sequence[str]) -> int:
    """The child: one JSON line in, one JSON document out. Whatever goes wrong, no value and no traceback leaves it."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may end up in the answer
    catalog = load_catalog(Path(arguments[0]) if arguments else None)
    _warm_up(catalog)
    line = sys.stdin.readline()
    if not line:
        return 0  # the caller ended before it had anything to judge
    asked = json.loads(line)
    if asked["registry"]:
        catalog = replace(catalog, registry=read_registry(asked["registry"], catalog.entities))
    if asked["tables"]:
        catalog = codes.with_tables(catalog, codes.parse(asked["tables"]))
    try:
        files = {n: [Path(p) for p in paths] for n, paths in asked["files"].items()}
        catalog = tuned(catalog, asked["rules"])
        answer = judge(files, catalog, rows=asked["rows"], today=asked["today"]).to_json()
    except HubError as error:
        answer = {"error": {"code": error.code, "what": error.what, "where": error.where, "step": error.step}}
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        json.dump(answer, out)
    return 0


def _warm_up(catalog: Catalog) -> None:
    """Judges nothing: the libraries load their parts at first use, which should be before there is work to do."""
    entity = next(iter(catalog.entities.values()))
    judge_block(entity.name, checks(catalog, entity, today="2000-01-01"), _frame(change_schema(entity).empty_table()))


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # the answer is out; taking the libraries down in order would cost the caller a second
