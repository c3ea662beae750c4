"""The virtual network switch: feed in, nftables program out."""
