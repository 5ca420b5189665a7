"""What a provider tells of mails that it has accepted: taken in at once, applied later, as often as it comes."""
