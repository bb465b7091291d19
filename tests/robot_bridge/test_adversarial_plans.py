"""Thousands of plans, random and malicious: whatever comes, what is sent stays within every limit and never jumps.

`benchmarks/guard_soak.py` does the same with as many plans as there is time for.
"""

from __future__ import annotations

import pytest
from adversary import ordeal

PLANS = 75


@pytest.mark.parametrize(
    ("seed", "robot", "rate"),
    [*((seed, robot, 15.0) for seed in range(4) for robot in ("panda", "fr3")), (4, "panda", 100.0), (5, "fr3", 50.0)],
)
def test_nothing_bad_is_ever_sent(seed: int, robot: str, rate: float):
    went = ordeal(seed, PLANS if rate == 15.0 else PLANS // 3, robot, rate=rate)
    assert went.sent > 100, "the sensible plans among them were followed"
    refused = [reason for reason in went.rejected if reason.startswith("command_")]
    assert not refused, "the last gate had nothing to catch"
    assert {"plan_mismatched", "plan_non_finite"} <= set(went.rejected)


def test_the_judge_is_no_pushover():
    """What the guard would let through with its limits opened is caught: the judge can fail."""
    from robot_bridge.config import BridgeConfig
    from robot_bridge.execution.limits import JointLimits

    plain = JointLimits.of

    def wide(arm, config: BridgeConfig) -> JointLimits:
        limits = plain(arm, config)
        for name in ("acceleration", "approach", "velocity", "jerk"):
            object.__setattr__(limits, name, 1.3 * getattr(limits, name))
        return limits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JointLimits, "of", staticmethod(wide))
        with pytest.raises(AssertionError, match="of its limit"):
            ordeal(0, 100)
