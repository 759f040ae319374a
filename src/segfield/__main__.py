"""`python -m segfield` is the command line."""

import sys

from segfield.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
