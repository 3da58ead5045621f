"""`python -m napari_breast_ai` is the command line."""

import sys

from .cli import main

sys.exit(main())
