"""The guard under as many random, adversarial and truncated plans as there is time for; every message sent is judged.

    python benchmarks/guard_soak.py [--plans 100000] [--minutes 15] [--seed 0] [--rate 15]

The plans, the faults of cameras, joints and clock, and the judge are those of `tests/robot_bridge/adversary.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "robot_bridge")]

from adversary import ordeal  # noqa: E402

CELL = 250
"""Plans per simulated cell."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=15.0, help="of processor time; Ctrl-C ends it earlier")
    parser.add_argument("--seed", type=int, default=0, help="of the first cell")
    parser.add_argument("--rate", type=float, default=15.0, help="control rate, Hz")
    given = parser.parse_args()
    plans = sent = cells = 0
    rejected: Counter[str] = Counter()
    worst: dict[str, float] = {}
    while plans < given.plans and time.process_time() < 60 * given.minutes:
        try:
            robot, sensible = ("panda", "fr3")[cells % 2], (0.5, 0.8)[cells // 2 % 2]
            went = ordeal(given.seed + cells, min(CELL, given.plans), robot, sensible, given.rate)
        except KeyboardInterrupt:
            break
        plans, sent, cells = plans + went.plans, sent + went.sent, cells + 1
        rejected.update(went.rejected)
        worst = {name: max(value, worst.get(name, value)) for name, value in went.worst.items()}
        print(f"{plans} plans, {sent} messages, {time.process_time():.0f} s", flush=True)
    print(f"{plans} plans in {cells} cells, {sent} messages sent and judged, {time.process_time():.0f} s: none bad")
    print("nearest to a limit:", ", ".join(f"{name} {value:.4f}" for name, value in sorted(worst.items())))
    print("refused:", ", ".join(f"{reason} {count}" for reason, count in rejected.most_common()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
