"""What staff are told by mail: an edition held, a send paused, attempts without an answer."""
