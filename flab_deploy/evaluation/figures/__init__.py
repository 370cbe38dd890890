"""From verdicts to the figures of one model."""
