from __future__ import annotations

import pytest

from robot_bridge import isolation


def test_a_domain_that_somebody_uses_is_noticed_and_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")
    from rclpy.context import Context
    from rclpy.node import Node

    for name, value in isolation.isolated().items():
        monkeypatch.setenv(name, value)
    domain = int(isolation.isolated()["ROS_DOMAIN_ID"])
    assert not isolation.in_use(domain)
    # Another domain first: the process's second participant is number 1 in its domain, and holds other ports.
    contexts, nodes = [Context(), Context()], []
    for context, number in zip(contexts, (isolation.LAST_DOMAIN + 1, domain), strict=True):
        rclpy.init(context=context, domain_id=number)
        nodes.append(Node("somebody", context=context))
    try:
        assert isolation.in_use(domain)
        monkeypatch.setattr(isolation, "LAST_DOMAIN", domain)
        assert all(isolation.isolated()["ROS_DOMAIN_ID"] != str(domain) for _ in range(20)) or domain == 1
    finally:
        for context, node in zip(contexts, nodes, strict=True):
            node.destroy_node()
            rclpy.try_shutdown(context=context)


def test_a_given_domain_is_taken_and_kept_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    assert isolation.isolated(7) == {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert isolation.isolated(7) == {"ROS_DOMAIN_ID": "7", "ROS_LOCALHOST_ONLY": "1"}
