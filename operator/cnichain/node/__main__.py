"""`python -m cnichain.node`: the node agent."""

import sys

from cnichain.node.main import main

sys.exit(main())
