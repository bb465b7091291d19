"""The packages of each part, and the shipped models."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from robot_bridge.doctor.check import MISSING, OK, ROOT, Cell, Check, last_line, python_says

EXTRAS = {
    "core": ("numpy", "pyzmq", "msgpack", "opencv-python-headless"),
    "planner": ("torch", "safetensors", "scipy"),
    "bridge": ("pin", "scipy", "rosbags", "rosbags-image", "pyyaml", "av", "matplotlib", "tqdm"),
    "sim": ("mujoco", "gym-hil"),
}
"""Parts and the distributions they need, as in pyproject.toml."""


def packages(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    for part in EXTRAS:
        yield extra(part)
    yield pinocchio()
    yield bundle()


def extra(part: str) -> Check:
    """Whether the distributions of one part are installed."""
    versions, absent = [], []
    for name in EXTRAS[part]:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        return Check(part, MISSING, f"without {', '.join(absent)}", f"make install, or pip install 'vidplan[{part}]'")
    return Check(part, OK, ", ".join(versions))


def pinocchio() -> Check:
    """Pinocchio needs an OpenMP runtime; torch brings one with it."""
    done = python_says("import robot_model.kinematics, pinocchio; print(pinocchio.__version__)")
    if done.returncode == 0:
        return Check("Pinocchio", OK, done.stdout.strip())
    advice = "install libgomp (apt-get install libgomp1), or torch, which brings it"
    return Check("Pinocchio", MISSING, last_line(done.stderr), advice if "gomp" in done.stderr else "make install")


def bundle() -> Check:
    """The shipped models."""
    folder = ROOT / "models" / "bundles" / "tabletop"
    if not (folder / "bundle.json").is_file():
        return Check("models", MISSING, f"no bundle in {folder}", "check out models/bundles, or train: vidplan train")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return Check("models", OK, f"{folder} ({size:.0f} MB)")
