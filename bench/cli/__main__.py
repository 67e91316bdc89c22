"""`python -m bench.cli` is `tracing-overhead`."""

import sys

from bench.cli.main import main

sys.exit(main())
