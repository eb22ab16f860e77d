"""litellm as a client: an OpenAI-compatible provider under its own name."""
import json
import subprocess
from pathlib import Path

import pytest
from conftest import CACHE, MODEL


def test_litellm(server):
    if not (CACHE / "litellm" / "stamp").exists():
        pytest.skip("litellm is not installed")
    run = subprocess.run(
        [str(CACHE / "litellm" / "bin" / "python"),
         str(Path(__file__).with_name("client_litellm.py")), server.url, MODEL],
        capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    got = json.loads(run.stdout.strip().split("\n")[-1])
    assert got["chat"] and got["chat"] == got["stream"] and got["tokens"] <= 8
    assert got["embeddings"] == 2 and got["error"] == 404
