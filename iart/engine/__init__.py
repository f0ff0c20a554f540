"""The work that commands do: training, scoring, reports."""
