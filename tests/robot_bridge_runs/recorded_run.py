"""Write a run directory as the bridge does, from given real frames, for tests of the report."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

HORIZON, PERIOD, START = 5, 0.2, 1000.0
NAMES = ("previous", "+x", "-x", "+y", "-y", "+z", "-z close")


def moving_square(frames: int = 30, views: int = 3, size: tuple[int, int] = (160, 96)) -> np.ndarray:
    """Real frames ``(T, V, h, w, 3)``: a light square that walks to the right, a shade per view."""
    video = np.full((frames, views, size[1], size[0], 3), 50, np.uint8)
    for index in range(frames):
        for view in range(views):
            video[index, view, 30:50, 4 * index : 4 * index + 20, view] = 220
    return video


def write_run(path: Path, real: np.ndarray, mode: str = "live") -> Path:
    """A plan per second; imagined frames are the true future, blurred more the further ahead."""
    rng = np.random.default_rng(0)
    for folder in ("plans", "frames"):
        (path / folder).mkdir(parents=True)
    views, stamps = ("left", "right", "wrist"), START + PERIOD * np.arange(len(real))
    spec = {"model_name": "tabletop", "model_hash": "ab" * 32, "cameras": [{"name": v} for v in views]}
    meta = {"instruction": "put the <carrot> in the bowl", "mode": mode, "robot": "panda", "spec": spec}
    (path / "run.json").write_text(json.dumps({**meta, "cameras": list(views), "started": 1767268800.0}))
    for stamp, frame in zip(stamps, real, strict=True):
        stacked = cv2.cvtColor(frame.reshape(-1, *frame.shape[2:]), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path / "frames" / f"{round(stamp * 1e9)}.jpg"), stacked)
    events = [{"t": START, "event": "started"}]
    for number, first in enumerate(range(1, len(real) - HORIZON, HORIZON), 1):
        small = np.stack([[cv2.resize(v, (80, 48), interpolation=cv2.INTER_AREA) for v in f] for f in real])
        frames = np.stack([[_blur(small[first + k, v], k) for v in range(3)] for k in range(1, HORIZON + 1)])
        grid = np.clip(rng.random((HORIZON, 3, 12, 20)) * 0.3 * np.arange(1, 6)[:, None, None, None], 0, 1)
        heat = np.stack([[_heat(frames[k, v], grid[k, v]) for v in range(3)] for k in range(HORIZON)])
        times = stamps[first] + PERIOD * np.arange(1, HORIZON + 1)
        poses = _poses(times - START)
        arrays = {"observed": small[first], "frames": frames, "composites": heat, "uncertainty": grid}
        np.savez_compressed(path / "plans" / f"{number:05d}.npz", **arrays, times=times, poses=poses)
        rewards = rng.normal(0.3, 0.1, len(NAMES))
        candidates = [
            {
                "name": n,
                "reward": r,
                "relevance": r + 0.1,
                "distance": 0.1,
                "uncertainty": 0.4,
                "weight": 0.9,
                "value": 0.5,
            }
            for n, r in zip(NAMES, rewards.tolist(), strict=True)
        ]
        timings = {"queue": 0.2, "decode": 0.5, "encode_frames": 20.0, "propose": 1.0, "imagine": 180.0, "score": 30.0}
        events.append({"t": stamps[first], "wall": 0.0, "event": "plan_requested", "plan": number})
        plan = {"plan": number, "candidates": candidates, "chosen": int(rewards.argmax()), "refined": number % 2 == 0}
        plan |= {
            "objective": [0.5, 0.55],
            "uncertainty": float(grid.mean()),
            "times": times.tolist(),
            "timings": timings,
            "status": "uncertain" if number == 2 else "confident",
        }
        plan |= {"latency_ms": 300.0 + 10 * number, "accepted": number != 3, "t": stamps[first] + 0.3, "event": "plan"}
        events.append(plan)
        if number == 3:
            events.append(
                {"t": stamps[first] + 0.3, "event": "reject", "reason": "first_waypoint", "detail": "0.2 m away"}
            )
            events.append(
                {"t": stamps[first] + 0.9, "event": "hold", "reason": "no_plan", "detail": "no valid plan left"}
            )
            events.append({"t": stamps[first] + 1.4, "event": "hold", "reason": "awaiting_plan"})
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    for name, offset in (("states", 0.0), ("commands", 0.01)):
        times = np.arange(START, stamps[-1], 1 / 15)
        rows = [
            {"t": t, "joints": [0.0] * 7, "pose": p}
            for t, p in zip(times, (_poses(times - START) + offset).tolist(), strict=True)
        ]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _poses(t: np.ndarray) -> np.ndarray:
    wave = np.sin(np.outer(t, [0.5, 0.4, 0.3]))
    return np.column_stack([wave * 0.1 + [0.5, 0, 0.4], np.full((t.size, 3), [np.pi, 0, 0]), (t > 2).astype(float)])


def _blur(picture: np.ndarray, ahead: int) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 0.5 * ahead)


def _heat(picture: np.ndarray, grid: np.ndarray) -> np.ndarray:
    field = cv2.resize((grid * 255).astype(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return (0.5 * picture + 0.5 * cv2.applyColorMap(field, cv2.COLORMAP_JET)[..., ::-1]).astype(np.uint8)
