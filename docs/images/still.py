"""One picture of a run, as in the README: what plan N saw, imagined, doubted, and what then happened.

vidplan demo --seed 1 --out runs/readme && python docs/images/still.py runs/readme 5 docs/images/run.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from robot_bridge.report.run import load_run
from robot_bridge.report.video import GAP, TILE, TOP, WIDTH, draw


def main() -> None:
    """Draw the last imagined frame of a plan beside the real one."""
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    run, number = load_run(Path(sys.argv[1])), int(sys.argv[2])
    plan = next((plan for plan in run.plans if plan["plan"] == number), None)
    pictures = run.imagined(plan) if plan else None
    if plan is None or pictures is None:
        raise SystemExit(f"run {sys.argv[1]} has no plan {number} with pictures; it has {len(run.plans)} plans")
    height = TOP + len(pictures.observed) * (TILE[1] + GAP) + 40
    picture = draw(run, plan, pictures, len(pictures.frames) - 1, (height, WIDTH))
    cv2.imwrite(sys.argv[3], cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
