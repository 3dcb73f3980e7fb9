"""The project's own penalty: --alpha.

Answer: The missing term is the mean of d f / d theta = d log pi / d theta over actions of pi, and that mean is 0.
With the KL of the state, E[f d log pi / d theta] is 0, too: what is left is what earlier actions did to bring about
this state.
"""

from bremen import imagine_paths as imagine  # noqa: F401
