"""What two evaluations say together: the claim, its power, and the sentences for it."""
