"""Recipes: strict, immutable values read from TOML. An unknown key names its nearest relative."""

from .languages import by_language
from .limits import LIMITS, check_decoding, seconds
from .reading import parse_recipe, read_recipe
from .sections import SECTIONS, Card, Cleaning, Data, Decoding, Masking, Pictures, Recipe, Tokenizer, Training
from .tasks import TASKS
from .toml import override, write_toml

__all__ = [
    "LIMITS",
    "SECTIONS",
    "TASKS",
    "Card",
    "Cleaning",
    "Data",
    "Decoding",
    "Masking",
    "Pictures",
    "Recipe",
    "Tokenizer",
    "Training",
    "by_language",
    "check_decoding",
    "override",
    "parse_recipe",
    "read_recipe",
    "seconds",
    "write_toml",
]
