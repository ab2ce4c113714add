"""The files of deploy/: options that exist, YAML that parses, and a real Prometheus that scrapes and evaluates."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from nilometer.service import Access, Spool, Store, Worker, serve_app

DEPLOY = Path(__file__).parents[2] / "deploy"
CODE = "from nilometer.cli import main; main()"


@pytest.fixture(scope="module")
def options():
    """Options of `nilometer serve` and `nilometer store token`."""
    found = set()
    for verb in (["serve"], ["store", "token"]):
        text = subprocess.run([sys.executable, "-c", CODE, *verb, "--help"], capture_output=True, text=True, check=True)
        found |= set(re.findall(r"--[a-z-]+", text.stdout))
    return found


@pytest.mark.parametrize("name", ["nilometer.service", "Dockerfile", "kubernetes.yml"])
def test_deployment_uses_options_that_there_are(name, options):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if re.search(r'serve[,"]? |nilometer serve|token[,"]? ', line)]
    given = {option for line in commands for option in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    assert given
    assert given <= options


@pytest.mark.parametrize("name", ["kubernetes.yml", "alerts.yml"])
def test_deployment_is_yaml(name):
    yaml = pytest.importorskip("yaml")
    parts = list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))
    assert all(isinstance(part, dict) for part in parts)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_unit_is_one_for_systemd(tmp_path):
    text = (DEPLOY / "nilometer.service").read_text(encoding="utf-8")
    unit = tmp_path / "nilometer.service"
    unit.write_text(text.replace("/opt/nilometer/bin/nilometer", sys.executable), encoding="utf-8")
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "Unknown" not in found.stderr


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _prometheus(folder, target):
    port = _free_port()
    config = f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{json.dumps(str(DEPLOY / "alerts.yml"))}]
scrape_configs:
  - job_name: nilometer
    static_configs: [{{targets: [{json.dumps(target.removeprefix("http://"))}]}}]
"""
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            yield f"http://127.0.0.1:{port}/api/v1"
        finally:
            process.terminate()


def _until(ask, *, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = ask()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is a package of Debian")
def test_prometheus_scrapes_the_store_and_evaluates_the_rules(gemma, frame_of, running, tmp_path):
    spool = Spool(tmp_path / "store" / "spool")
    for i, row in enumerate(gemma[0].slice(0, 300).to_pylist()):
        spool.write(frame_of(row, i, time=time.time_ns() // 1000))
    spool.close()
    store = Store(tmp_path / "store", keys=("domain",), sentinel=gemma[3])
    app = serve_app(store, Access(store.reader(), host="127.0.0.1"), Worker(store, pause=0.1))
    (tmp_path / "prometheus").mkdir()
    with running(app) as url, _prometheus(tmp_path / "prometheus", url) as api:

        def query(text):
            return httpx.get(f"{api}/query", params={"query": text}).json()["data"]["result"]

        found = _until(lambda: query('nilometer_estimated_accuracy_ratio{slice_key="domain",window="24h"}'))
        assert {one["metric"]["slice"] for one in found} <= set(gemma[2])
        (whole,) = _until(lambda: query('sum(nilometer_responses_total{outcome="scored"})'))
        assert float(whole["value"][1]) == 300
        rules = _until(
            lambda: [
                rule
                for group in httpx.get(f"{api}/rules").json()["data"]["groups"]
                for rule in group["rules"]
                if rule["health"] == "ok"
            ]
        )
        named = re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
        assert [rule["name"] for rule in rules] == named
    store.close()
