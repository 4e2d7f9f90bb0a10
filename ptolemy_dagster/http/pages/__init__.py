"""Our own pages: all projects, and each project. Made on the server, without scripts or anything from elsewhere."""
