"""The support bundle: what is in it, and what is taken out of it before it is written."""
