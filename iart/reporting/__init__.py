"""Reports to look at: result folders of ``iart test``, side by side, as a page, as text, as figures and as tables."""
