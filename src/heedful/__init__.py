"""Train, run and look inside Transformers on the computer you have.

The public names are below; each is imported when it is first used, so that `import heedful` does not load torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Recipe, read_recipe
    from .errors import UserError
    from .model.model import Model
    from .model.plan import Plan
    from .model.presets import PRESETS, plan
    from .tasks.finding import load
    from .tasks.looking import look
    from .tasks.translate import Translator
    from .text.tokenizer import Tokenizer

# name: the module that holds it.
_HOMES = {
    "Model": "heedful.model.model",
    "PRESETS": "heedful.model.presets",
    "Plan": "heedful.model.plan",
    "Recipe": "heedful.config",
    "Tokenizer": "heedful.text.tokenizer",
    "Translator": "heedful.tasks.translate",
    "UserError": "heedful.errors",
    "load": "heedful.tasks.finding",
    "look": "heedful.tasks.looking",
    "plan": "heedful.model.presets",
    "read_recipe": "heedful.config",
}

__all__ = [
    "PRESETS",
    "Model",
    "Plan",
    "Recipe",
    "Tokenizer",
    "Translator",
    "UserError",
    "__version__",
    "load",
    "look",
    "plan",
    "read_recipe",
]

# OpenMP reads this once, when torch loads; every way to torch through this package passes here first. Spinning threads
# would make two slower than one on a busy machine (model/hardware.py). A value the user set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("heedful")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'heedful' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
