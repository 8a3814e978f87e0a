"""Conformance kits: classes of tests that every built-in and every third-party extension must pass."""

from gcnas.testing.space import SpaceTestCase
from gcnas.testing.strategy import StrategyTestCase

__all__ = ["SpaceTestCase", "StrategyTestCase"]
