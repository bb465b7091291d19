"""`vidplan doctor`: what of VidPlan works on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {
    "core": ("numpy", "pyzmq", "msgpack", "opencv-python-headless"),
    "planner": ("torch", "safetensors", "scipy"),
    "bridge": ("pin", "scipy", "rosbags", "rosbags-image", "pyyaml", "av", "matplotlib", "tqdm"),
    "sim": ("mujoco", "gym-hil"),
}
"""Parts and the distributions they need, as in pyproject.toml."""
ENOUGH_DISK = 5.0
ENOUGH_CORES = 2


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``note`` (works, but worth knowing) or ``missing``.
        found: What there is.
        advice: What to do, where there is something to do.
    """

    name: str
    state: str
    found: str
    advice: str = ""


def main(argv: list[str]) -> int:
    """Run `vidplan doctor`; 0 when nothing is missing."""
    parser = argparse.ArgumentParser(
        prog="vidplan doctor",
        description="Check this machine: Python, the packages of each part, ROS 2, GPU, shipped models, disk, cores.",
        epilog="Exit code 0 when nothing is missing.",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    arguments = parser.parse_args(argv)
    checks = list(examine())
    missing = any(check.state == "missing" for check in checks)
    if arguments.json:
        print(json.dumps({"ok": not missing, "checks": [asdict(check) for check in checks]}))
        return int(missing)
    for check in checks:
        print(f"{check.state:<8} {check.name:<18} {check.found}")
        if check.advice:
            print(f"{'':<27} -> {check.advice}")
    print("\nsomething is missing, see above" if missing else "\neverything VidPlan needs is here")
    return int(missing)


def examine() -> Iterator[Check]:
    """All checks, each guarded: a check that fails in an unforeseen way says so instead of ending the others."""
    examinations: list[Callable[[], Check]] = [_python, _openmp]
    examinations += [lambda part=part: _packages(part) for part in EXTRAS]  # type: ignore[misc]
    examinations += [_ros, _ros_mixture, _torch, _bundle, _disk, _cores]
    for examination in examinations:
        try:
            yield examination()
        except Exception as error:
            yield Check(getattr(examination, "__name__", "check").strip("_"), "missing", f"check failed: {error!r}")


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "missing", found, "VidPlan needs Python 3.10 to 3.13: make PYTHON=python3.12 demo")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Check("Python", "note", found, "the ROS wheels exist for Linux x86_64 only; use a ROS installation here")
    return Check("Python", "ok", found)


def _openmp() -> Check:
    """Pinocchio needs an OpenMP runtime; torch brings one with it."""
    code = "import robot_model.kinematics, pinocchio; print(pinocchio.__version__)"
    done = _python_says(code)
    if done.returncode == 0:
        return Check("Pinocchio", "ok", done.stdout.strip())
    advice = "install libgomp (apt-get install libgomp1), or torch, which brings it"
    return Check("Pinocchio", "missing", _last_line(done.stderr), advice if "gomp" in done.stderr else "make install")


def _packages(part: str) -> Check:
    versions, absent = [], []
    for name in EXTRAS[part]:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        return Check(part, "missing", f"without {', '.join(absent)}", f"make install, or pip install 'vidplan[{part}]'")
    return Check(part, "ok", ", ".join(versions))


def _ros() -> Check:
    """Import rclpy and make a context, in a process of its own: a broken installation may crash."""
    code = (
        "import rclpy, os; from rclpy.context import Context; c = Context(); rclpy.init(context=c); "
        "print(rclpy.get_rmw_implementation_identifier(), rclpy.__file__); rclpy.shutdown(context=c)"
    )
    done = _python_says(code)
    if done.returncode == 0:
        return Check("ROS 2", "ok", done.stdout.strip())
    if "No module named 'rclpy'" in done.stderr:
        advice = "source a ROS 2 installation (source /opt/ros/jazzy/setup.bash), or make install for the wheels"
        return Check("ROS 2", "missing", "no rclpy", advice)
    return Check(
        "ROS 2", "missing", _last_line(done.stderr), "see 'ROS mixture' below; else make clean && make install"
    )


def _ros_mixture() -> Check:
    """Wheels and an installed ROS must not meet in one environment: their libraries are of different builds."""
    try:
        wheels = metadata.version("ros-jazzy-rclpy")
    except metadata.PackageNotFoundError:
        wheels = None
    sourced = os.environ.get("ROS_DISTRO") or ""
    installed = sorted(path.name for path in Path("/opt/ros").glob("*")) if Path("/opt/ros").is_dir() else []
    found = f"wheels {wheels or 'no'}, sourced {sourced or 'no'}, installed {', '.join(installed) or 'none'}"
    if wheels and sourced:
        advice = "open a shell without 'source /opt/ros/...', or rebuild .venv in this one: make clean && make install"
        return Check("ROS mixture", "missing", found, advice)
    if not wheels and not sourced and installed:
        return Check(
            "ROS mixture", "note", found, f"source /opt/ros/{installed[-1]}/setup.bash before using the bridge"
        )
    return Check("ROS mixture", "ok", found)


def _torch() -> Check:
    """Ask torch in another process: the bridge's room never loads it."""
    code = (
        "import torch; c = torch.cuda.is_available(); "
        "print(torch.__version__, torch.cuda.get_device_name(0) if c else 'no CUDA GPU')"
    )
    done = _python_says(code)
    if done.returncode:
        return Check("GPU", "note", "no torch", "only the planner needs it: pip install 'vidplan[planner]'")
    found = done.stdout.strip()
    if "no CUDA GPU" in found and shutil.which("nvidia-smi"):
        return Check("GPU", "note", found, "there is an NVIDIA driver: install torch with CUDA and serve --device cuda")
    return Check("GPU", "ok", found)


def _bundle() -> Check:
    folder = ROOT / "models" / "bundles" / "tabletop"
    if not (folder / "bundle.json").is_file():
        return Check("models", "missing", f"no bundle in {folder}", "check out models/bundles, or train: vidplan train")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return Check("models", "ok", f"{folder} ({size:.0f} MB)")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < ENOUGH_DISK:
        return Check("disk", "note", f"{free:.1f} GB free here", f"runs and training data want {ENOUGH_DISK:.0f} GB")
    return Check("disk", "ok", f"{free:.0f} GB free here")


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < ENOUGH_CORES:
        return Check("cores", "note", str(cores), "the demo will run slower than real time; give it two")
    return Check("cores", "ok", str(cores))


def _python_says(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no message"
