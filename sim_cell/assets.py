"""Where the robot's model files are: inside the installed gym-hil wheel, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sim_cell.errors import MissingAssetsError

INSTALL_COMMAND = "pip install --no-deps --require-hashes -r sim_cell/assets.txt"


def panda_xml() -> Path:
    """Path of the MJCF of a Panda with a 2F-85 mounted on it.

    Raises:
        MissingAssetsError: gym-hil is not installed, or this version of it has no such file.
    """
    package = importlib.util.find_spec("gym_hil")  # never imported: its imports open input devices
    if package is None or package.origin is None:
        raise MissingAssetsError(
            f"the meshes of the simulated robot are not installed. In the checkout, run: {INSTALL_COMMAND}"
        )
    path = Path(package.origin).parent / "assets" / "panda.xml"
    if not path.is_file():
        raise MissingAssetsError(f"{path} does not exist in the installed gym-hil. Run: {INSTALL_COMMAND}")
    return path
