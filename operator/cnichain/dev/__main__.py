"""`python -m cnichain.dev`: the group `cnichain dev` on its own."""

from cnichain.dev.cli import dev

dev(prog_name="cnichain dev")
