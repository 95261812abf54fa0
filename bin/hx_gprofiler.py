#!/usr/bin/env python3
"""Lists of genes sent to g:Profiler (Kolberg et al. 2023, Nucleic Acids Res. 51:W207), as the 2017 study did.

The package gprofiler-official asks; it has no time-out and tells of every failure by an AssertionError, so that both
are seen to here. An answer is kept in a file named by the SHA-256 of what was asked: the same question of a later run
that is given the folder is not asked again.
"""

import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hx_cli import log
from hx_io import reading, write_json

URL = "https://biit.cs.ut.ee/gprofiler"
TIMEOUT = 60.0  # seconds of one request
WAITS = (2.0, 4.0, 8.0)  # seconds before each of the retries
ALPHA = 0.05
GPROFILER = [
    *("query", "source", "native", "name", "p_value", "significant", "term_size", "query_size", "intersection_size"),
    *("effective_domain_size", "genes"),
]
STATUS = ["setting", "status", "url", "organism", "queries", "background", "terms", "attempts", "version", "payload"]
STATUS += ["message"]


class Answer(NamedTuple):
    """What came of a question. status: ok, cached, unreachable (no answer) or refused (the server says why)."""

    table: pd.DataFrame
    status: str
    attempts: int
    version: str
    payload: str
    message: str


class _Timed:
    """Stands for the module `requests` within gprofiler: its post, with a time-out."""

    @staticmethod
    def post(*args: object, **kwargs: object) -> object:
        import requests

        return requests.post(*args, timeout=TIMEOUT, **kwargs)


def question(queries: Mapping[str, Sequence[str]], background: Sequence[str], organism: str) -> dict[str, object]:
    """Arguments of GProfiler.profile: ordered lists (strongest gene first) against the tested genes."""
    return {
        "organism": organism,
        "query": {name: list(genes) for name, genes in queries.items()},
        "background": sorted(set(background)),
        "ordered": True,
        "user_threshold": ALPHA,
        "no_evidences": False,
        "significance_threshold_method": "g_SCS",
    }


def ask(asked: dict[str, object], url: str, kept: Path | None, out: Path) -> Answer:
    """The answer to `question`: from a file of folder `kept` where it has one, else from the server.

    The answer is written to folder `out` under its payload's name. Nothing that goes wrong on the way is an error of
    the run: the answer says what it was.

    Raises:
        DataError: the kept answer is damaged.
    """
    payload = sha256(json.dumps([url, asked], sort_keys=True).encode()).hexdigest()
    earlier = kept / f"{payload}.json" if kept else None
    if earlier is not None and earlier.is_file():
        with reading(earlier, "answer of g:Profiler"):
            content = json.loads(earlier.read_text())
            answer = Answer(_table(content["result"]), "cached", 0, content["version"], payload, "")
        write_json(content, out / f"{payload}.json")
        return answer
    status, message = "unreachable", ""
    for attempt, wait in enumerate((0.0, *WAITS), 1):
        time.sleep(wait)
        try:
            result, version = _ask_once(asked, url)
        except _Refused as error:
            status, message = "refused", str(error)
            break
        except _NoAnswer as error:
            message = str(error)
            log.info("g:Profiler at %s, attempt %d: %s", url, attempt, message)
            continue
        write_json({"result": result, "version": version, "asked": asked, "url": url}, out / f"{payload}.json")
        return Answer(_table(result), "ok", attempt, version, payload, "")
    told = "the server refused the lists" if status == "refused" else f"no answer in {attempt} attempts"
    log.warning("g:Profiler at %s: %s (%s): its terms are left out, everything else is there", url, told, message)
    return Answer(pd.DataFrame(columns=GPROFILER), status, attempt, "", payload, f"{told}: {message}")


class _NoAnswer(Exception):
    """Nothing came, or the server failed: another attempt may go through."""


class _Refused(Exception):
    """The server says that the question is wrong."""


def _ask_once(asked: dict[str, object], url: str) -> tuple[list[dict], str]:
    """(rows, version of the server's data).

    Raises:
        _NoAnswer, _Refused: see there.
    """
    import gprofiler.gprofiler as package
    import requests

    package.requests = _Timed
    client = package.GProfiler(user_agent="histogex", base_url=url)
    try:
        result = client.profile(**asked)
    except (requests.RequestException, ValueError, KeyError) as error:
        raise _NoAnswer(f"{type(error).__name__}: {error}"[:300]) from error
    except AssertionError as error:
        # `query failed with error 503` is what the package makes of a failure without a message.
        if "query failed with error 5" in str(error) or "query failed with error 429" in str(error):
            raise _NoAnswer(str(error)) from error
        raise _Refused(str(error)[:300]) from error
    return result, str((client.meta or {}).get("version", ""))


def _table(result: list[dict]) -> pd.DataFrame:
    """GPROFILER, by query and p."""
    rows = pd.DataFrame(result)
    if rows.empty:
        return pd.DataFrame(columns=GPROFILER)
    rows["genes"] = [";".join(genes) for genes in rows["intersections"]]
    return rows.reindex(columns=GPROFILER).sort_values(["query", "p_value", "native"], ignore_index=True)


def status_row(setting: str, asked: dict[str, object], url: str, answer: Answer) -> dict[str, object]:
    """STATUS."""
    return {
        "setting": setting, "status": answer.status, "url": url, "organism": asked["organism"],
        "queries": len(asked["query"]), "background": len(asked["background"]), "terms": len(answer.table),
        "attempts": answer.attempts, "version": answer.version, "payload": answer.payload, "message": answer.message,
    }  # fmt: skip
