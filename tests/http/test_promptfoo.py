"""promptfoo: its OpenAI provider for chat, its HTTP provider for decisions."""
import json
import os
import subprocess
from pathlib import Path

from conftest import node_program

QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1",
         "PROMPTFOO_DISABLE_REMOTE_GENERATION": "true", "OPENAI_API_KEY": "none"}


def test_promptfoo(server, tmp_path):
    node, promptfoo = node_program(), node_program("promptfoo")
    out = tmp_path / "out.json"
    run = subprocess.run(
        [node, promptfoo, "eval", "--no-cache", "--no-table", "--no-progress-bar",
         "--no-write", "-c", str(Path(__file__).with_name("promptfoo.yaml")), "-o", str(out)],
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
        env={**os.environ, **QUIET, "SERVER_URL": server.url,
             "PROMPTFOO_CONFIG_DIR": str(tmp_path)})
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    rows = json.loads(out.read_text(encoding="utf-8"))["results"]["results"]
    assert len(rows) == 4 and all(r["success"] for r in rows)
    decided = [r["response"]["output"] for r in rows if r["provider"]["label"] == "decisions"]
    assert set(decided) <= {"billing", "travel"} and len(decided) == 2
