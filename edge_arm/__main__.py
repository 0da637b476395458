"""`python -m edge_arm` is `edge-arm`."""

from __future__ import annotations

import sys

from edge_arm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
