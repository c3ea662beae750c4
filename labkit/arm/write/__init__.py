"""A lab as ARM resources: the same that `az … list` would print of it, a module for each sort of resource.

`bag_of` in `bag` is all of it. Each module yields the resources of one sort from Azure's objects as they are. What
Azure does not know of a lab, such as sites and what runs in an NVA, is not in it. Pure. May import `arm`, `azure`.
"""
