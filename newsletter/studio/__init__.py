"""What staff see. Until there are accounts it answers on this machine only."""
