"""`python -m nat_lb` is `nat-lb`."""

from __future__ import annotations

from nat_lb.cli import main

if __name__ == "__main__":
    main()
