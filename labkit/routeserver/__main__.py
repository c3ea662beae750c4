"""`python3 -m labkit.routeserver`: the process that ExaBGP starts."""

import sys

from labkit.routeserver.keeper import main

sys.exit(main())
