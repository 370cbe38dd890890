"""What every stage can be asked for, one light module per stage; each setting is declared once."""
