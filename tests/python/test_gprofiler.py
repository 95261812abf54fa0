"""g:Profiler against a stub of its server: what is asked, what is read, and everything that can go wrong on the way."""

import contextlib
import http.server
import json
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from enrichment_made import tables, write_gmt
from test_enrich_cli import PLANTED, PREFIX, SYMBOLS, factor_genes, run, written

import hx_gprofiler
from hx_gprofiler import GPROFILER, ask, question

QUERIES = {"feature raw_0003": ["SFTPA1", "LAMP3", "NAPSA"], "factor SMRIN": ["ABL1"]}
ASKED = question(QUERIES, ["SFTPA1", "LAMP3", "NAPSA", "ABL1", "TP53"], "hsapiens")


def answer(asked: dict) -> dict:
    """What the server says: one term of each query, found through its first two genes."""
    metadata, rows = {}, []
    for query, genes in asked["query"].items():
        ensembl = [f"ENSG{k:011d}" for k in range(len(genes))]
        metadata[query] = {"ensgs": ensembl, "mapping": {g: [e] for g, e in zip(genes, ensembl, strict=True)}}
        rows.append(
            {
                "source": "GO:CC", "native": "GO:0042599", "name": "lamellar body", "p_value": 1.21e-15,
                "significant": True, "description": "", "term_size": 17, "query_size": len(genes),
                "intersection_size": 2, "effective_domain_size": len(asked["background"]), "precision": 1, "recall": 1,
                "query": query, "parents": [], "intersections": [["IDA"] if k < 2 else [] for k in range(len(genes))],
            }
        )  # fmt: skip
    meta = {"version": "e113_eg59", "genes_metadata": {"query": metadata}}
    return {"result": rows, "meta": meta | {"query_metadata": {"queries": asked["query"]}}}


@contextlib.contextmanager
def server(*replies):
    """A server on this machine that gives each reply once, the last one for ever; yields its address and its requests.

    A reply: a number of seconds to wait before a good answer, or (status, body).
    """
    requests, left = [], list(replies)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.path, asked))
            reply = left.pop(0) if len(left) > 1 else left[0]
            if not isinstance(reply, tuple):
                time.sleep(reply)
                reply = (200, json.dumps(answer(asked)))
            with contextlib.suppress(OSError):
                self.send_response(reply[0])
                self.end_headers()
                self.wfile.write(reply[1].encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/gprofiler", requests
        listening.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting between attempts, no proxy on the way to this machine."""
    monkeypatch.setattr(hx_gprofiler, "WAITS", (0, 0, 0))
    monkeypatch.setattr(hx_gprofiler, "TIMEOUT", 20)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_what_is_asked_and_what_is_read(tmp_path):
    with server(0) as (url, requests):
        found = ask(ASKED, url, None, tmp_path)
    path, asked = requests[0]
    assert path == "/gprofiler/api/gost/profile/" and len(requests) == 1
    # Lists as they are, strongest gene first, against the tested genes.
    assert asked["query"] == QUERIES and asked["ordered"] is True and asked["organism"] == "hsapiens"
    assert asked["domain_scope"] == "custom" and asked["background"] == sorted(ASKED["background"])
    assert asked["significance_threshold_method"] == "g_SCS" and asked["no_evidences"] is False
    assert (found.status, found.attempts, found.version, found.message) == ("ok", 1, "e113_eg59", "")
    assert list(found.table) == GPROFILER
    row = found.table.set_index("query").loc["feature raw_0003"]
    assert (row["native"], row["p_value"], row["genes"]) == ("GO:0042599", 1.21e-15, "SFTPA1;LAMP3")


def test_an_answer_is_not_asked_for_twice(tmp_path):
    with server(0) as (url, requests):
        first = ask(ASKED, url, tmp_path / "none", tmp_path / "a")
        again = ask(ASKED, url, tmp_path / "a", tmp_path / "b")
        assert len(requests) == 1
        other = ask(ASKED | {"organism": "mmusculus"}, url, tmp_path / "a", tmp_path / "b")
    assert len(requests) == 2 and other.payload != first.payload
    assert (again.status, again.attempts, again.version) == ("cached", 0, "e113_eg59")
    pd.testing.assert_frame_equal(first.table, again.table)
    one, two = tmp_path / "a" / f"{first.payload}.json", tmp_path / "b" / f"{first.payload}.json"
    assert json.loads(one.read_text())["result"] == json.loads(two.read_text())["result"]


@pytest.mark.parametrize("bad", [(500, "oops"), (503, ""), (429, "{}"), (200, "<html>"), (200, '{"result": []}')])
def test_a_failure_that_passes(tmp_path, bad):
    with server(bad, bad, 0) as (url, requests):
        found = ask(ASKED, url, None, tmp_path)
    assert (found.status, found.attempts, len(requests)) == ("ok", 3, 3)


def test_a_server_that_stays_down(tmp_path, caplog):
    with server((502, "bad gateway")) as (url, requests):
        found = ask(ASKED, url, None, tmp_path)
    assert (found.status, found.attempts, len(requests)) == ("unreachable", 4, 4)
    assert "no answer in 4 attempts" in found.message and found.table.empty and not list(tmp_path.iterdir())
    assert "its terms are left out, everything else is there" in caplog.text
    found = ask(ASKED, url, None, tmp_path)  # nobody listens any more
    assert found.status == "unreachable" and "Connection" in found.message


def test_a_server_that_does_not_answer_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(hx_gprofiler, "TIMEOUT", 0.2)
    with server(1, 1, 1, 1) as (url, _):
        start = time.monotonic()
        found = ask(ASKED, url, None, tmp_path)
    assert found.status == "unreachable" and "Timeout" in found.message and time.monotonic() - start < 10


def test_a_question_that_is_refused_is_not_repeated(tmp_path):
    with server((400, '{"message": "organism hsapien is not known"}')) as (url, requests):
        found = ask(ASKED, url, None, tmp_path)
    assert (found.status, len(requests)) == ("refused", 1)
    assert found.message == "the server refused the lists: organism hsapien is not known"


def test_the_command(tmp_path):
    """Lists of features, setting and factors go out; without the server the run is whole and a row says so."""
    image, expression = tables(SYMBOLS, {"raw_0003": PLANTED})
    gmt = write_gmt(tmp_path / "sets.gmt", {"PLANTED": PLANTED})
    factors = factor_genes(tmp_path / "f.parquet", expression, {"SMRIN": SYMBOLS[100:140]})
    options = ["--confounder-genes", str(factors), "--gprofiler", "--controls", "none", "--aggregations", "mean"]
    with server(0) as (url, requests):
        assert run(tmp_path / "a", image, expression, gmt, *options, "--gprofiler-url", url) == 0
        kept = ["--gprofiler-cache", f"{tmp_path}/a/out/gprofiler"]
        assert run(tmp_path / "b", image, expression, gmt, *options, "--gprofiler-url", url, *kept) == 0
    assert len(requests) == 1
    asked = requests[0][1]
    assert {"feature raw_0003", f"setting {PREFIX}.raw.mean", "factor SMRIN"} <= set(asked["query"])
    # Ensembl ids without version, the strongest gene first; no empty list.
    background = sorted(name.split(".")[0] for name in expression.var_names)
    assert asked["background"] == background and set(asked["query"]["feature raw_0003"]) <= set(background)
    assert "factor SMRIN given model" not in asked["query"]
    assert asked["query"]["factor SMRIN"] == [name.split(".")[0] for name in expression.var_names[100:140]]
    found, again = written(tmp_path / "a"), written(tmp_path / "b")
    assert set(found["gprofiler"]["query"]) == set(asked["query"]) and found["gprofiler_status"]["status"][0] == "ok"
    assert again["gprofiler_status"]["status"][0] == "cached"
    pd.testing.assert_frame_equal(found["gprofiler"], again["gprofiler"])

    options += ["--gprofiler-url", url]
    assert run(tmp_path / "c", image, expression, gmt, *options) == 0
    status = written(tmp_path / "c")["gprofiler_status"].iloc[0]
    assert status["status"] == "unreachable" and status["attempts"] == 4 and status["terms"] == 0
    assert len(written(tmp_path / "c")["enrichment"]) and not list(Path(tmp_path / "c/out").glob("gprofiler/*"))


def test_no_request_unless_asked(tmp_path, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    image, expression = tables(SYMBOLS, {"raw_0003": PLANTED})
    gmt = write_gmt(tmp_path / "sets.gmt", {"PLANTED": PLANTED})
    assert run(tmp_path, image, expression, gmt) == 0
    assert written(tmp_path)["gprofiler_status"].empty
