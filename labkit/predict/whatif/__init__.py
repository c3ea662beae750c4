"""What a change would change, by the rules. Pure.

It converges the network before and after and compares routes (`routes`), reachability (`reach`) and what leaves Azure
(`outside`); `ways` has how packets end in words. May import `azure`, `daemons`, `lab` and `predict`. A change itself
belongs in `azure.changes`.
"""
