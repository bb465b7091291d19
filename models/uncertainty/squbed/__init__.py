"""S-QUBED: uncertainty of a black-box video model from its prompts and videos alone."""

from models.uncertainty.squbed.vmf import VonMisesFisher, fit_vmf, vmf_concentration, vmf_entropy

__all__ = ["VonMisesFisher", "fit_vmf", "vmf_concentration", "vmf_entropy"]
