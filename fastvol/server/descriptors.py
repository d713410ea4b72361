"""As many open files as the system lets this process have.

Every volume holds two files open, and a shell's usual soft limit is 1024. Go programs raise theirs by
themselves (os/rlimit.go), so nobody who comes from one has set a limit for us.
"""

import logging
import resource

from fastvol.observability.logs import verbose

log = logging.getLogger(__name__)


def raise_descriptor_limit() -> int:
    """Raises the soft limit of descriptors to the hard one; returns what it is then.

    Where that is not allowed it stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.log(verbose(1), "the limit of open files cannot be raised to %d: %s", hard, error)
        else:
            soft = hard
    log.log(verbose(1), "up to %d open files", soft)
    return soft
