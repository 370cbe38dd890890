"""Where problems come from: files and hubs, their formats, and the suite that a model is given.

A suite holds only problems whose own solution passes its test on this machine.
"""
