"""The server with real networks of random weights: spec, a plan over TCP, heartbeats meanwhile, start and stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.testing import random_bundle
from plan_protocol.client import PlanClient
from plan_protocol.errors import InvalidFieldError
from plan_protocol.keys_cli import client_keys, make_keys
from plan_protocol.messages import Hello, Plan, PlanRequest
from plan_protocol.server import Context, PlanServer
from planner_server import cli
from planner_server.config import PROPOSERS, PlannerConfig
from planner_server.errors import StartError
from planner_server.limits import project
from planner_server.planner import Planner
from planner_server.proposers.biased import BiasedProposer
from planner_server.service import (
    blank_request,
    build_planner,
    choose_proposers,
    measure_latency,
    open_bundle,
    planner_spec,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("planner"))


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    torch.set_num_threads(1)
    return open_bundle(folder, "cpu")


@pytest.fixture
def planner(bundle: Bundle) -> Planner:
    # Random weights are unsure of everything; these tests are about plans that choose and refine.
    return build_planner(bundle, PlannerConfig(iterations=2, unsure=1.0))


def test_the_spec_is_the_bundles(bundle: Bundle) -> None:
    spec = planner_spec(bundle, 0.5)
    assert [(c.name, c.height, c.width) for c in spec.cameras] == [(n, 48, 80) for n in ("left", "right", "wrist")]
    assert spec.model_hash == bundle.hash
    assert spec.history_offsets == (-1, 0)
    assert (spec.frame_period, spec.horizon, spec.plan_latency) == (0.2, 5, 0.5)
    assert spec.workspace_lower == bundle.config.workspace_lower


def test_latency_is_measured_and_leaves_no_memory(planner: Planner, bundle: Bundle) -> None:
    assert 0.0 < measure_latency(planner, bundle) < 30.0
    plan = planner.plan(blank_request(bundle, 5), Context("start-up", ""))
    assert plan.proposers["previous"].startswith("skipped")


def test_a_plan_of_real_networks_is_feasible_and_repeatable(planner: Planner, bundle: Bundle) -> None:
    request = replace(blank_request(bundle), frames_wanted=True, seed=11)
    first = planner.plan(request, Context("a", "s"))
    again = planner.plan(request, Context("b", "s"))
    assert np.array_equal(first.poses, again.poses)
    assert first.objective[1] >= first.objective[0]
    assert np.allclose(project(first.poses, request.committed[-1], planner.limits), first.poses, atol=1e-9)
    assert first.imagination is not None
    assert first.imagination.frames.shape == (5, 3, 48, 80, 3)
    rewards = [candidate.reward for candidate in first.candidates]
    assert first.chosen == int(np.argmax(rewards))
    assert len(set(rewards)) == len(rewards), "candidates must be told apart"


class Gate:
    """A planner that waits in the middle of a plan until it is let go."""

    def __init__(self, planner: Planner):
        self._planner = planner
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, request: PlanRequest, context: Context) -> Plan:
        self.entered.set()
        assert self.go.wait(20)
        return self._planner(request, context)


@pytest.fixture
def served(planner: Planner, bundle: Bundle) -> Iterator[tuple[Gate, PlanClient]]:
    gate = Gate(planner)
    with PlanServer("tcp://127.0.0.1:*", planner_spec(bundle, 0.1), gate) as server:
        client = PlanClient(server.address, "arm")
        try:
            yield gate, client
        finally:
            gate.go.set()
            client.close()


def test_a_plan_over_tcp_with_heartbeats_while_it_is_made(served: tuple[Gate, PlanClient], bundle: Bundle) -> None:
    gate, client = served
    assert client.hello(Hello("panda", "test"), timeout=10).model_hash == bundle.hash
    request = blank_request(bundle)
    asked = client.request(request)
    assert gate.entered.wait(10)
    begun = time.monotonic()
    assert client.status(timeout=5).busy
    assert time.monotonic() - begun < 2.0
    gate.go.set()
    answers, stages = [], []
    while not answers and time.monotonic() - begun < 30:
        for number, message in client.poll(timeout=0.5):
            assert number == asked
            if hasattr(message, "stage"):
                stages.append(message.stage)
            else:
                answers.append(message)
    (plan,) = answers
    assert plan.observation_stamp == request.observation_stamp
    assert np.allclose(plan.times, request.observation_stamp + 0.2 * np.arange(2, 7))
    assert {"queue", "decode", "encode_frames", "propose", "imagine", "score", "refine", "total"} <= set(plan.timings)
    assert stages[:2] == ["encode_frames", "propose"]


def test_a_bad_request_is_the_clients_fault_and_the_server_goes_on(
    served: tuple[Gate, PlanClient], bundle: Bundle
) -> None:
    gate, client = served
    gate.go.set()
    with pytest.raises(InvalidFieldError, match="instruction"):
        client.plan(replace(blank_request(bundle), instruction=" "), timeout=20)
    assert client.plan(blank_request(bundle), timeout=20).poses.shape == (5, 7)


class Policy:
    name = "policy"

    def chunk(self, situation: object) -> None:
        return None

    remember = forget = chunk


@pytest.mark.parametrize(
    ("names", "policy", "chosen"),
    [
        (PROPOSERS, None, ["basis", "previous"]),
        (PROPOSERS, Policy(), ["basis", "policy", "previous"]),
        (("basis",), None, ["basis"]),
        (("previous",), None, ["previous"]),
        (("basis", "biased"), Policy(), ["basis", "policy"]),
    ],
)
def test_proposers_by_name(names: tuple[str, ...], policy: Policy | None, chosen: list[str]) -> None:
    assert [p.name for p in choose_proposers(names, PlannerConfig(), policy)] == chosen  # type: ignore[arg-type]


def test_the_warm_start_alone_is_not_perturbed() -> None:
    biased, previous = choose_proposers(("biased", "previous"), PlannerConfig(), Policy())  # type: ignore[arg-type]
    assert isinstance(biased, BiasedProposer)
    assert isinstance(previous, BiasedProposer)
    assert (biased.perturbations, previous.perturbations) == (PlannerConfig().perturbations, 0)


@pytest.mark.parametrize(
    ("names", "policy", "words"),
    [((), None, "no proposer is named"), (("basis", "magic"), None, "'magic'"), (("basis",), Policy(), "'biased'")],
)
def test_proposers_that_do_not_fit_are_refused(names: tuple[str, ...], policy: Policy | None, words: str) -> None:
    with pytest.raises(StartError, match=words):
        choose_proposers(names, PlannerConfig(), policy)  # type: ignore[arg-type]


def test_a_missing_or_damaged_bundle_is_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"bundle\.json is missing"):
        open_bundle(tmp_path / "nowhere", "cpu")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "denoiser.safetensors").write_bytes(b"not weights")
    with pytest.raises(StartError, match=r"denoiser\.safetensors"):
        open_bundle(broken, "cpu")


def serve(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidplan", "serve", "--threads", "1", "--iterations", "1", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_help_names_every_option_without_loading_torch() -> None:
    code = "import sys, planner_server.cli as cli; print(cli.parser().format_help()); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for option in (
        "bundle",
        "address",
        "device",
        "threads",
        "steps",
        "iterations",
        "candidates",
        "local-planner",
        "no-refine",
        "no-uncertainty",
        "unsure",
        "proposers",
        "curve-keys",
        "allow-remote",
    ):
        assert f"--{option}" in done.stdout


@pytest.mark.parametrize(("stop", "keyed"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_the_command_serves_until_it_is_stopped(
    folder: Path, bundle: Bundle, stop: signal.Signals, keyed: bool, tmp_path: Path
) -> None:
    keys = None
    options = ["--bundle", str(folder), "--address", "tcp://127.0.0.1:*", "--no-uncertainty"]
    if keyed:
        make_keys(tmp_path, "robot")
        keys = client_keys(tmp_path / "robot")
        options += ["--curve-keys", str(tmp_path / "server"), "--no-refine", "--proposers", "basis"]
    process = serve(*options)
    try:
        assert process.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("ready")):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            lines.append(line)
        address = re.search(r"tcp://\S+", lines[-1])
        assert address is not None
        client = PlanClient(address[0], "arm", keys=keys)
        spec = client.hello(Hello("panda", "test"), timeout=10)
        client.close()
        assert spec.model_hash == bundle.hash
        assert spec.plan_latency > 0
        process.send_signal(stop)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "stopped" in rest


def test_a_port_in_use_and_a_missing_bundle_end_the_command_with_a_message(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = serve("--bundle", str(folder), "--address", f"tcp://127.0.0.1:{port}")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert str(port) in errors
    assert "Traceback" not in errors
    process = serve("--bundle", str(folder), "--curve-keys", str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "make it with `vidplan keys`" in errors
    process = serve("--bundle", str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "bundle.json is missing" in errors
    assert "Traceback" not in errors


def test_an_adapter_without_a_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--policy-adapter", "droid"])
    assert "--policy ws://" in capsys.readouterr().err
