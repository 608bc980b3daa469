"""The inspector: the pages in the browser. What is not needed to turn people away is loaded with
the first page that somebody opens."""
