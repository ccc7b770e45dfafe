"""Rate limits: how many requests one caller may make in a sliding window, counted by all workers together."""
