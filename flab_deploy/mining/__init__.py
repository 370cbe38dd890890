"""Instructions mined from source trees: what a function says it does becomes the prompt, its body
the completion.

`trees` finds the files, a module of `languages` the functions in them, `left_out` knows what must
not be learnt, `mine` puts all of it together. `installed` does so for the interpreter's own library
and the installed packages, once, and keeps the result.
"""

from flab_deploy.mining.found import Mined
from flab_deploy.mining.installed import mine_installed, split_of
from flab_deploy.mining.mine import mine
from flab_deploy.mining.trees import read_tree

__all__ = ["Mined", "mine", "mine_installed", "read_tree", "split_of"]
