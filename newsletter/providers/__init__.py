"""What we know of those who carry mail: one module or folder for each, behind one contract."""
