"""The read-only scripts that collect what `labkit import` takes in: az commands for bash and for PowerShell."""

from __future__ import annotations

from enum import StrEnum


class Shell(StrEnum):
    """What a script is for."""

    BASH = "bash"
    POWERSHELL = "powershell"


_SUBSCRIPTION = (
    ("virtualNetworks", "network vnet list"),
    ("routeTables", "network route-table list"),
    ("networkInterfaces", "network nic list"),
    ("virtualMachines", "vm list --query [].{id:id,name:name,location:location,networkProfile:networkProfile}"),
    ("virtualHubs", "network routeserver list"),
    ("expressRouteCircuits", "network express-route list"),
    ("loadBalancers", "network lb list"),
    ("networkSecurityGroups", "network nsg list"),
)
"""What az lists of a whole subscription, by the name of the file."""

_GROUP = (
    ("virtualNetworkGateways", "network vnet-gateway list"),
    ("connections", "network vpn-connection list"),
    ("localNetworkGateways", "network local-gateway list"),
)
"""What az lists of a resource group alone."""

_KEYS = (
    "[].{id:id,name:name,location:location,connectionType:connectionType,enableBgp:enableBgp,"
    "routingWeight:routingWeight,peer:peer,virtualNetworkGateway1:virtualNetworkGateway1,"
    "virtualNetworkGateway2:virtualNetworkGateway2,localNetworkGateway2:localNetworkGateway2}"
)
"""Of a connection, all but keys and tunnels' secrets."""


def script(shell: Shell) -> str:
    """A script that writes into the folder that it runs in. It changes nothing in Azure and asks for no secret."""
    return _bash() if shell is Shell.BASH else _powershell()


def _command(words: str) -> str:
    command, _, query = words.partition(" --query ")
    query = _KEYS if "vpn-connection" in words else query
    return f"{command} --query '{query}'" if query else command


def _bash() -> str:
    lines = [
        "#!/bin/bash",
        "# Collects the network of the current subscription for `labkit import`, into the current folder.",
        "# It lists and shows alone: Reader rights are enough.",
        "set -euo pipefail",
        "",
        *(f"az {_command(words)} -o json > {name}.json" for name, words in _SUBSCRIPTION),
        "for group in $(az group list --query '[].name' -o tsv); do",
        *(f'  az {_command(words)} -g "$group" -o json > "{name}.$group.json"' for name, words in _GROUP),
        "done",
        "az network routeserver list --query '[].[resourceGroup,name]' -o tsv | while read -r group server; do",
        '  az network routeserver peering list -g "$group" --routeserver "$server" -o json \\',
        '    > "bgpConnections.$group.$server.json"',
        '  peers=$(az network routeserver peering list -g "$group" --routeserver "$server" --query "[].name" -o tsv)',
        "  for peer in $peers; do",
        '    az network routeserver peering list-learned-routes -g "$group" --routeserver "$server" -n "$peer" \\',
        '      -o json > "learnedRoutes.$group.$server.$peer.json"',
        "  done",
        "done",
    ]
    return "\n".join(lines) + "\n"


def _powershell() -> str:
    lines = [
        "# Collects the network of the current subscription for `labkit import`, into the current folder.",
        "# It lists and shows alone: Reader rights are enough.",
        "$ErrorActionPreference = 'Stop'",
        "$PSDefaultParameterValues['Out-File:Encoding'] = 'utf8'",
        "",
        *(f"az {_command(words)} -o json | Out-File {name}.json" for name, words in _SUBSCRIPTION),
        "foreach ($group in az group list --query '[].name' -o tsv) {",
        *(f'  az {_command(words)} -g $group -o json | Out-File "{name}.$group.json"' for name, words in _GROUP),
        "}",
        "foreach ($server in az network routeserver list -o json | ConvertFrom-Json) {",
        "  $group = $server.resourceGroup; $name = $server.name",
        "  az network routeserver peering list -g $group --routeserver $name -o json |",
        '    Out-File "bgpConnections.$group.$name.json"',
        '  $peers = az network routeserver peering list -g $group --routeserver $name --query "[].name" -o tsv',
        "  foreach ($peer in $peers) {",
        "    az network routeserver peering list-learned-routes -g $group --routeserver $name -n $peer `",
        '      -o json | Out-File "learnedRoutes.$group.$name.$peer.json"',
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"
