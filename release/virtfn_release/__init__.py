"""What we ship and how it can be checked: lock files, images, bills of materials, licences.

`python -m virtfn_release` is what the Makefile's targets call. Nothing of this is in an image or on a node.
"""
