"""The example tasks over their own route, beside what `stint decide` prints."""
import json
import subprocess

import pytest
from conftest import EXE, ROOT, fitted, status_of

HEADERS = {"Content-Type": "application/json"}


def ask(server, name, body):
    status, text = status_of(f"{server.url}/v1/tasks/{name}", json.dumps(body).encode(), HEADERS)
    assert status == 200, text
    return json.loads(text)


def test_a_choice_as_the_command_line_has_it(server):
    text = "my parcel never came"
    run = subprocess.run([EXE, "decide", str(fitted("support") / "task.yaml"), text],
                         capture_output=True, text=True, check=True)
    want, got = json.loads(run.stdout), ask(server, "support", {"input": text})
    assert got["choice"] == want["answer"]
    assert {p["value"]: p["probability"] for p in got["probabilities"]} == \
        pytest.approx(want["probabilities"], abs=1e-12)
    assert got["stint"]["route"] == want["route"] == "experts"


def test_many_at_once_are_as_one_by_one(server):
    rows = [json.loads(line)["input"] for line in
            (ROOT / "examples/support/golden.jsonl").read_text(encoding="utf-8").split("\n")[:12]]
    many = ask(server, "support", {"inputs": rows})["data"]
    assert [m["index"] for m in many] == list(range(12))
    for text, one in zip(rows, many):
        alone = ask(server, "support", {"input": text})
        assert alone["probabilities"] == one["probabilities"]


def test_an_extraction(server):
    got = ask(server, "orders", {"input": "three oak stools for 29.50 EUR each, order 4471-B"})
    assert got["output"]["order_id"] == "4471-B" and got["output"]["quantity"] == 3


def test_list(server):
    tasks = {t["id"]: t for t in json.loads(server.get("/v1/tasks"))["data"]}
    assert tasks["support"]["fitted"] and tasks["orders"]["type"] == "extract"
