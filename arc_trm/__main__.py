"""`python -m arc_trm`, the same as `arc-trm`; torchrun starts it so."""

from arc_trm.cli import main

if __name__ == "__main__":
    main(prog_name="arc-trm")
