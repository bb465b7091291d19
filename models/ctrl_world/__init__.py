"""V_theta at full size: Ctrl-World, the action-conditioned Stable Video Diffusion (docs/full-size.md)."""

from __future__ import annotations

from importlib.util import find_spec

from models.errors import BundleError


def require_full() -> None:
    """Check that what the rest of this package needs is installed.

    Raises:
        BundleError: It is not.
    """
    missing = [name for name in ("diffusers", "transformers", "accelerate") if find_spec(name) is None]
    if missing:
        raise BundleError(f"full-size models need {', '.join(missing)}: pip install 'vidplan[full]'")
