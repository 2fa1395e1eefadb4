"""`make demo`: draw a data set, train on it, evaluate, and show it all on one page."""
