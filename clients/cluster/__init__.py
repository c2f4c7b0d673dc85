"""The local cluster of `recado up`: a plan, the checks before it, and the supervisor of its processes."""
