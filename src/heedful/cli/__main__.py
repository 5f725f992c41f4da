"""`python -m heedful.cli`."""

from . import main

main()
