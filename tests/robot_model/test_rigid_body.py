from __future__ import annotations

import ctypes

import pytest

from robot_model import rigid_body


def refuse_all(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tried: list[str] = []

    def refuse(name: str, mode: int) -> None:
        tried.append(name)
        raise OSError(name)

    monkeypatch.setattr(rigid_body.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    return tried


def test_a_system_without_openmp_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_all(monkeypatch)
    monkeypatch.setattr(rigid_body, "_bundled_with_torch", list)
    with pytest.raises(ImportError, match="apt-get install libgomp1"):
        rigid_body.load_openmp()


def test_the_system_is_asked_first_and_torch_second(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = refuse_all(monkeypatch)
    monkeypatch.setattr(rigid_body, "_bundled_with_torch", lambda: ["/somewhere/torch/lib/libgomp.so.1"])
    with pytest.raises(ImportError):
        rigid_body.load_openmp()
    assert tried == ["libgomp.so.1", "/somewhere/torch/lib/libgomp.so.1"]


def test_other_systems_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = refuse_all(monkeypatch)
    monkeypatch.setattr(rigid_body.sys, "platform", "darwin")
    rigid_body.load_openmp()
    assert tried == []
