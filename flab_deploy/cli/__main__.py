"""`python -m flab_deploy.cli`, the same as `flab`."""

from flab_deploy.cli.program import main

main()
