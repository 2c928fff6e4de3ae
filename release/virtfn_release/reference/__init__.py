"""The pages of docs/reference, generated from what they are about: CRDs, chart, parsers, metrics, reasons.

Each page has a module, whose functions are pure: text and values in, a page out. `pages` reads the files and puts the
pages together, for `make reference`, and for the test that compares what is committed.
"""
