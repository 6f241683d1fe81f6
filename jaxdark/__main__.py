"""`python -m jaxdark`."""

import sys

from jaxdark.cli import main

if __name__ == "__main__":
    sys.exit(main())
