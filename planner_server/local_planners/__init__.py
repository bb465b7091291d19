"""Local planners: ways to improve the global winner's chunk under the same objective, limits and budget."""
