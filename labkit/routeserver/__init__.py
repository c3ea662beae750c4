"""The process behind ExaBGP: its wire, Adj-RIB-In, policy, Adj-RIB-Out."""
