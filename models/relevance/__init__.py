"""R_u at full size: CLIP or SigLIP through transformers (docs/full-size.md). Needs the extra ``full``."""
