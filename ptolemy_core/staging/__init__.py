"""The folder where CARs appear: names, free space, attempts, removal.

It knows files, not the catalog: which CARs a project has, and which may be removed, is decided in `stages`.
"""
