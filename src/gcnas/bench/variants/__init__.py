"""Policies and a learner that only the experiments need: each differs from the package's own in one respect."""
