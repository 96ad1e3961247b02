"""`python -m hub.cli`: the command `hub` of this very interpreter."""

import sys

from hub.cli import main

sys.exit(main())
