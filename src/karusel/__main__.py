"""`python -m karusel`."""

from karusel.cli import main

main()
