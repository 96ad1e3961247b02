"""Synthetic sources: a province's three source databases and school supplements, with planted cases and their answers.

Decides what the synthetic province looks like; leaves reading, judging and settling to everybody else. No person in
it exists: names are combined from frequency lists, numbers come from a hash of (seed, position).
"""

from connectors.sample.run import generate

__all__ = ["generate"]
