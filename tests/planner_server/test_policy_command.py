"""`vidplan policy`: a policy file behind openpi's protocol, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.policy import ClonedPolicy, PolicyConfig, save_policy
from planner_server.policy.cli import DEFAULT_POLICY
from planner_server.policy.client import PolicyClient
from planner_server.policy.cloned import ServedPolicy
from planner_server.policy.droid import PROMPT, checked_actions, droid_observation
from planner_server.policy.errors import MessageError, RefusedError
from robot_model.conventions import DROID_RESET_JOINTS

ROOT = Path(__file__).resolve().parents[2]
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
ASKED = droid_observation(PICTURE, PICTURE, np.array(DROID_RESET_JOINTS), 0.0, "put the carrot in the bowl")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    policy = ClonedPolicy(PolicyConfig(width=16, hidden=32))
    policy.scale.fill_(0.6)
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policy(policy, path)
    return path


def test_velocities_leave_in_droids_units(file: Path) -> None:
    served = ServedPolicy(file)
    actions = checked_actions(served.infer(ASKED))
    assert actions.shape == (30, 8)
    assert ((actions[:, 7] > 0) & (actions[:, 7] < 1)).all()
    served._policy.scale.fill_(1.2)
    assert np.allclose(checked_actions(served.infer(ASKED))[:, :7], 2 * actions[:, :7], atol=1e-6)
    served._policy.scale.fill_(1e6)
    assert np.abs(checked_actions(served.infer(ASKED))[:, :7]).max() == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prompt", None),
        ("observation/joint_position", np.zeros(6)),
        ("observation/joint_position", np.full(7, np.nan)),
        ("observation/gripper_position", 0.5),
        ("observation/wrist_image_left", np.zeros((224, 224, 3))),
        ("observation/wrist_image_left", np.zeros((48, 80, 3), np.uint8)),
    ],
)
def test_what_does_not_fit_is_named(file: Path, key: str, value: object) -> None:
    with pytest.raises(MessageError, match=key):
        ServedPolicy(file).infer({**ASKED, key: value})


def test_the_command_serves_until_it_is_stopped(file: Path) -> None:
    command = [sys.executable, "-m", "vidplan", "policy", "serve", "--policy", str(file), "--address"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "ws://127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        address = re.search(r"ws://\S+", process.stdout.readline())
        assert address is not None
        client = PolicyClient(address[0], timeout=20)
        assert client.metadata["action_horizon"] == 30
        assert client.metadata["action_adapter"] == "integrate"
        assert checked_actions(client.infer(ASKED, 20)).shape == (30, 8)
        with pytest.raises(RefusedError, match="prompt"):
            client.infer({k: v for k, v in ASKED.items() if k != "prompt"}, 20)
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
        client.close()
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "stopped" in rest
    assert "Traceback" not in errors, "a client that is still there must not disturb the end"


def test_a_missing_policy_and_missing_data_end_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from planner_server.policy.cli import main

    assert main(["serve", "--policy", str(tmp_path / "none")]) == 1
    assert "vidplan policy train" in capsys.readouterr().err
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "vidplan sim record" in capsys.readouterr().err


def test_the_shipped_policy_understands_a_carrot_and_not_a_pea() -> None:
    policy = ServedPolicy(DEFAULT_POLICY)
    carrot, towel, pea, tape = (
        policy.infer(ASKED | {PROMPT: f"put the {name} in the bowl"})["actions"]
        for name in ("carrot", "towel", "pea", "measuring tape")
    )
    assert carrot.shape == (30, 8)
    said, unheard = np.abs(carrot - towel)[:, :7].max(), np.abs(pea - tape)[:, :7].max()
    assert said > 5 * unheard, "words that no demonstration had say next to nothing"
