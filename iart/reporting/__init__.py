"""Reports of result folders of ``iart test``, side by side: as a page, text, figures and tables."""
