"""The Franka arm with a Robotiq 2F-85: kinematics, limits and the conventions of DROID."""
