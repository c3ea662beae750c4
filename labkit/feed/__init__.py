"""The messages between a lab's processes, and how they travel: WebSockets over Unix sockets.

Each message has one type and one codec, used at both ends. May import `azure` and `daemons.tables`, whose values
messages carry; every node service, the controller and `operate` import it. Change a message here and the type checker
shows who must follow.
"""
