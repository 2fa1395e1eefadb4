"""Files of weights, whatever model they are of: `writing.py` puts them on disk whole or not at all, `reading.py` reads
them without running code, `integrity.py` says which entry is damaged."""
