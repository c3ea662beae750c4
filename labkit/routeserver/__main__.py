"""`python3 -m labkit.routeserver`: the process that ExaBGP starts."""

import sys

from labkit.routeserver.keeper import main

if __name__ == "__main__":
    sys.exit(main())
