"""Listens to a running ROS graph for a moment, or as long as a trial runs, without taking part in it."""
