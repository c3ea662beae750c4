"""What a running lab shows of itself: the controller's API, tables of routers, kernels.

`client` reaches nodes and the API, `running` finds the lab that is meant, `live_state` and `snapshot` read everything
at one moment, for `verify`, `diff`, `trace` and `whatif`. Reads only, and judges nothing. May import `predict` for
the types that both share.
"""
