"""The messages between a lab's processes, and how they travel: WebSockets over Unix sockets.

Each message has one type and one codec, used at both ends. May import `azure.model`, whose values messages carry, and
`errors`; every node service and the controller import it. Change a message here and the compiler shows who must
follow.
"""
