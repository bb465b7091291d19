"""`vidplan bridge` as others start it: it never outlives the program that minds it."""

from __future__ import annotations

import os
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")

from robot_bridge import children, cli

SAY = "import os; from robot_bridge.children import PARENT, abandoned; print(os.environ[PARENT], abandoned())"


def test_a_child_knows_its_parent(tmp_path, monkeypatch):
    shell = tmp_path / "python"
    shell.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{SAY}"\n')
    shell.chmod(0o755)
    monkeypatch.setattr(children.sys, "executable", str(shell))
    child = children.Child("bridge", [], tmp_path / "log")
    assert child.wait_for(r"^(\d+ \w+)$", 60).group(1) == f"{os.getpid()} False"


def test_without_a_parent_it_is_its_own_master(monkeypatch):
    monkeypatch.delenv(children.PARENT, raising=False)
    assert not children.abandoned()


def test_a_bridge_whose_operator_is_gone_stops(ros_context, monkeypatch, capsys):
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)  # Ctrl-C stays pytest's
    monkeypatch.setenv(children.PARENT, str(os.getppid() + 1))
    assert cli.main(["--no-autostart"]) == 0
    assert "the program that started this bridge is gone: stopping" in capsys.readouterr().err
