"""Tests, and scripts that run longer versions of them."""

import os

# Two tests side by side with two spinning threads each are slower by orders of magnitude than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
