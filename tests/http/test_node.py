"""The official Node client."""
import json
import os
import subprocess
from pathlib import Path

from conftest import CACHE, MODEL, node_program


def test_node_client(server):
    node = node_program()
    script = CACHE / "node" / "clients.mjs"  # beside node_modules, where imports are found
    script.write_text(Path(__file__).with_name("clients.mjs").read_text(encoding="utf-8"),
                      encoding="utf-8")
    run = subprocess.run([node, str(script), server.url, MODEL], capture_output=True,
                         text=True, timeout=120, env=dict(os.environ), check=False)
    assert run.returncode == 0, run.stderr
    got = json.loads(run.stdout)
    assert MODEL in got["models"]
    assert got["chat"] and got["chat"] == got["stream"]
    assert got["response"]
    assert got["embeddings"] == [384, 384]
    assert got["decision"]["name"] == "p" and 0 <= got["decision"]["probability"] <= 1
    assert got["error"]["status"] == 404 and got["error"]["code"] == "model_not_found"
    assert got["error"]["id"].startswith("req-")
