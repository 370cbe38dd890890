"""What every stage can be asked for, one light module per stage; each setting is declared once.

Options of the command line, parameters of flows and the stored configuration are these fields.
"""
