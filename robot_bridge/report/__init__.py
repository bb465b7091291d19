"""The report of a run: from the directory a bridge recorded to a summary, a video and a page for people."""
