"""What runs inside the sandbox.

It imports only the standard library and the sandbox's own modules, so that a worker starts quickly
and an untrusted program finds nothing else around it.
"""
