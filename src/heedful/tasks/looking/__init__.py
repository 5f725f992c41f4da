"""Looking into the models of every task: what was attended to, as records for pages, pictures and files."""

from .looked import Look, look

__all__ = ["Look", "look"]
