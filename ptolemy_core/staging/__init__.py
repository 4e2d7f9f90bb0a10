"""The folder where CARs appear: names, free space, attempts, removal."""
