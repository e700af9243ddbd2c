"""`python -m pneg`."""

import sys

from pneg.cli import main

sys.exit(main())
