"""The planted cases: what is wrong with whom, and what a hub that follows the rulings makes of it."""

from connectors.sample.cases.casting import Cast, cast_cases
from connectors.sample.cases.play import play_people
from connectors.sample.cases.scene import Scene
from connectors.sample.cases.school_cases import play_schools

__all__ = ["Cast", "Scene", "cast_cases", "play_people", "play_schools"]
