"""What we ship and how to check it: lock files, images, bills of materials, licences.

The Makefile's targets call `python -m virtfn_release`. Nothing of this is in an image or on a node.
"""
