"""Our own /openapi.json: valid, and kept to by every route (schemathesis)."""
import json
import os
import subprocess
import sys

import pytest


def test_is_openapi(server):
    api = json.loads(server.get("/openapi.json"))
    assert api["openapi"].startswith("3.1")
    ids = [op["operationId"] for path in api["paths"].values() for op in path.values()
           if isinstance(op, dict) and "operationId" in op]
    assert len(ids) == len(set(ids)) and "listModels" in ids


def test_schemathesis(server, tmp_path):
    """Requests made from the description: no 5xx, each status and body as described."""
    pytest.importorskip("schemathesis")
    run = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run",
         server.url + "/openapi.json", "--url", server.url, "--seed", "7",
         "--max-examples", "6", "--phases", "examples,fuzzing",
         "--exclude-path-regex", "/v1/admin/.*", "--request-timeout", "20",
         "--generation-database", "none",
         "--checks", "not_a_server_error,status_code_conformance,"
                     "content_type_conformance,response_schema_conformance"],
        capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-6000:]
