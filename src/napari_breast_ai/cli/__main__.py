"""`python -m napari_breast_ai.cli` is the command line."""

import sys

from . import main

sys.exit(main())
