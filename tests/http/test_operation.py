"""What those who run a server see: metrics, load, clients that hang up, the shared check."""
import json
import re
import socket
import subprocess
import sys
import time

import pytest
from conftest import (EXE, MODEL, MODELS, SHARED, Server, contract_question,
                      find_program, status_of)

HEADERS = {"Content-Type": "application/json"}


def task_body():
    return {"model": "support", "input": "my parcel never came",
            "questions": [contract_question()]}


def test_a_fitted_task_decides(server):
    status, text = status_of(server.url + "/v1/decisions",
                             json.dumps(task_body()).encode(), HEADERS)
    assert status == 200, text
    got = json.loads(text)
    assert got["answers"][0]["choice"] in ("order_status", "delivery_problem")
    assert got["stint"]["answers"][0]["route"] == "experts"


def test_promtool(server):
    promtool = find_program("promtool")
    text = server.get("/metrics")
    run = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0 and not run.stderr, run.stderr + run.stdout
    assert "stint_" in text


def wrk(server, path, tmp_path, body=None, seconds=4):
    words = [find_program("wrk"), "-t2", "-c64", f"-d{seconds}s", "--timeout", "30s"]
    if body:
        script = tmp_path / "wrk.lua"
        script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n"
                          "wrk.headers['Content-Type'] = 'application/json'\n",
                          encoding="utf-8")
        words += ["-s", str(script)]
    out = subprocess.run([*words, server.url + path], capture_output=True, text=True,
                         check=True).stdout
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    return int(re.search(r"(\d+) requests in", out).group(1))


def test_wrk_health(server, tmp_path):
    assert wrk(server, "/health", tmp_path) > 1000


def test_wrk_decisions(server, tmp_path):
    body = json.dumps(task_body())
    assert wrk(server, "/v1/decisions", tmp_path, body) > 0
    body = json.dumps({"input": "my parcel never came"})
    assert wrk(server, "/v1/tasks/support", tmp_path, body) > 0


def counter(server, name):
    """The sum of a metric's series."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").split("\n")
               if re.match(re.escape(name) + r"[ {]", line))


def test_hang_up_ends_the_work(server):
    """A client that goes away takes its request with it: of 3000 tokens few are made."""
    body = json.dumps({"model": MODEL, "max_tokens": 3000, "ignore_eos": True, "stream": True,
                       "messages": [{"role": "user", "content": "Count for ever"}]})
    before = counter(server, "stint_generation_tokens_total")
    s = socket.create_connection(("127.0.0.1", server.port))
    s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
              f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
              f"{body}".encode())
    seen = b""
    while seen.count(b"data:") < 3:
        seen += s.recv(65536)
    assert counter(server, "stint_num_requests_running") >= 1
    s.close()
    gone = time.monotonic()
    while counter(server, "stint_num_requests_running") > 0:
        pass
    print(f"left after {(time.monotonic() - gone) * 1000:.0f} ms")
    assert counter(server, "stint_generation_tokens_total") - before < 1000


def test_shared_check():
    tool = SHARED / "tools" / "check_serve.py"
    if not tool.exists():
        pytest.skip(f"SKIP: {tool} is not here")
    run = subprocess.run([sys.executable, str(tool), EXE, str(MODELS / f"{MODEL}.gguf")],
                         capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stdout


def test_settings_from_everywhere(tmp_path):
    config = tmp_path / "stint.yaml"
    config.write_text(f"model: [{MODEL}]\nmax-body: 4096\n", encoding="utf-8")
    made = Server("--config", str(config), env={"STINT_LOG_LEVEL": "debug"})
    try:
        assert f'"id":"{MODEL}"' in made.get("/v1/models")
        made.get("/health")
        assert '"route":"/health"' in made.log()
    finally:
        made.stop()
