"""From downloaded archives to data sets that training and scoring can read: ``iart data ...``."""
