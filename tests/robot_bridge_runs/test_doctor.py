from __future__ import annotations

import json
import subprocess

import pytest

from robot_bridge import doctor


def test_the_doctor_finds_what_this_machine_has(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.main(["--json"])
    report = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["Python"]["state"] in ("ok", "note")
    assert "numpy" in checks["core"]["found"]
    assert checks["Pinocchio"]["state"] == "ok"
    assert code == int(any(check["state"] == "missing" for check in checks.values()))
    assert all(check["advice"] for check in checks.values() if check["state"] == "missing")


def test_missing_things_are_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(code: str) -> subprocess.CompletedProcess[str]:
        error = "ModuleNotFoundError: No module named 'rclpy'" if "rclpy" in code else "ImportError: libgomp.so.1"
        return subprocess.CompletedProcess([], 1, "", error)

    monkeypatch.setattr(doctor, "_python_says", broken)
    monkeypatch.setitem(doctor.EXTRAS, "core", ("numpy", "no-such-package"))
    monkeypatch.setattr(doctor, "_disk", lambda: 1 / 0)
    assert doctor.main([]) == 1
    text = capsys.readouterr().out
    for words in ("libgomp1", "source /opt/ros/jazzy/setup.bash", "without no-such-package", "division by zero"):
        assert words in text


def test_wheels_beside_a_sourced_ros_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "7.1.6")
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert doctor._ros_mixture().state == "missing"
    monkeypatch.delenv("ROS_DISTRO")
    assert doctor._ros_mixture().state in ("ok", "note")
