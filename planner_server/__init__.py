"""Algorithm 3 behind a server: propose, imagine, distrust, choose, refine."""
