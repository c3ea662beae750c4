"""What withdraws an appliance's own prefixes while the service behind it is out of order."""
