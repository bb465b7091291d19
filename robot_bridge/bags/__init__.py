"""Recordings: read, judged, translated from other laboratories' names, written, made from episodes."""
