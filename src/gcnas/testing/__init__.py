"""Conformance kits: classes of tests that every built-in and every third-party extension must pass."""
