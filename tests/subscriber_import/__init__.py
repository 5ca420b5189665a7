"""Lists from elsewhere are brought in, and nobody's consent is raised by it."""
