"""What subscribers and mailbox providers see. A GET never changes anything."""
