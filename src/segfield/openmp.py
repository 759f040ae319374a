"""How torch's threads wait for each other: a moment awake, then asleep, so that other work on the same cores gets on, too.

As they come, GNU's OpenMP threads ask for milliseconds and Intel's for 200 whether their partners are done. Beside other work a
partner may have no core at all, and then those who ask keep it from one: training becomes several times slower than its share.
https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

WAITING = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0"}
"""GNU's: so many questions. With fewer, threads sleep between the layers of a training that has the machine to itself; with many
more, one beside other work suffers. Intel's and LLVM's: milliseconds.
"""
_CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Set how OpenMP's threads wait, for this process and those it starts. To be called before torch is loaded.

    Returns:
        whether it was set: not where the user chose it by one of OpenMP's own variables, and not where torch is loaded, which
        has read them then.
    """
    if "torch" in sys.modules or any(name in environment for name in _CHOSEN):
        return False
    environment.update(WAITING)
    return True
