"""Training on real footage: in Stable Video Diffusion's latent space, and from pixels (docs/real-footage.md)."""
