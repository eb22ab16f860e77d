"""A real server for the tests of this folder: SmolLM2, MiniLM and the example tasks."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

EXE = os.environ["STINT_EXE"]
CACHE = Path(os.environ["HTTP_TESTS_CACHE"])
MODELS = Path(os.environ["STINT_MODELS"])
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MODEL = "smollm2-135m-instruct"


class Server:
    """`stint serve` on a free port; its log in a file."""

    def __init__(self, *words, env=None):
        self.folder = tempfile.mkdtemp(prefix="stint-http-")
        self.log_path = os.path.join(self.folder, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [EXE, "serve", "--listen", "127.0.0.1:0", *words], stderr=log,
                env={**os.environ, **(env or {})})
        self.port = self._wait(r'"listening".*port (\d+)')
        self._wait(r'"event":"ready"')
        self.url = f"http://127.0.0.1:{self.port}"

    def log(self):
        return open(self.log_path, encoding="utf-8").read()

    def _wait(self, pattern):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            found = re.search(pattern, self.log())
            if found:
                return int(found.group(1)) if found.groups() else 0
            if self.process.poll() is not None:
                raise RuntimeError(f"stint serve ended: {self.log()}")
            time.sleep(0.005)
        raise RuntimeError("stint serve does not get ready")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read().decode()

    def resident_kb(self):
        status = open(f"/proc/{self.process.pid}/status", encoding="utf-8").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        log = self.log()
        shutil.rmtree(self.folder)
        assert code == 0, log
        return log


def fitted(name):
    """A copy of an example whose experts are fitted; made once."""
    folder = CACHE / "tasks" / name
    made = folder / f"{name}.stint"
    sources = list((ROOT / "examples" / name).iterdir())
    newest = max(f.stat().st_mtime for f in sources)
    ready = made.exists() and made.stat().st_mtime > newest
    if ready:
        check = subprocess.run([EXE, "decide", str(folder / "task.yaml"), "where is it"],
                               capture_output=True, check=False)
        ready = check.returncode == 0
    if not ready:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "examples" / name, folder,
                        ignore=shutil.ignore_patterns("*.stint"))
        subprocess.run([EXE, "fit", "--no-readout", str(folder / "task.yaml")], check=True,
                       capture_output=True)
    return folder


def contract_question():
    """The question of examples/support as a request asks it: the fitted experts answer."""
    task = yaml.safe_load((ROOT / "examples/support/task.yaml").read_text(encoding="utf-8"))
    question = {"name": "team", **task["question"]}
    if question.pop("abstain", False):
        question["choices"].append({"value": "__none__"})
    return question


@pytest.fixture(scope="session")
def server():
    if not (MODELS / f"{MODEL}.gguf").exists():
        pytest.skip(f"{MODEL} is not in {MODELS}")
    made = Server("--model", MODEL, "--model", "all-minilm-l6-v2",
                  "--task", str(fitted("support")), "--task", str(ROOT / "examples/orders"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def client(server):
    from openai import OpenAI
    return OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)


def find_program(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed (tools/install.sh test)")
    return path


def node_program(name="node"):
    """A program of the Node environment, or Node from the system."""
    own = CACHE / "node" / "node_modules" / ".bin" / name
    if not (CACHE / "node" / "stamp").exists():
        pytest.skip("Node's clients are not installed")
    return str(own)


def status_of(url, body=None, headers=None):
    """(status, text) of one request, whatever the status is."""
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
