"""How batches come to be sent: by a thread of this process, or by workers on several machines."""
